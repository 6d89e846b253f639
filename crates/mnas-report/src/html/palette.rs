//! Colours, light and dark. Text on its ground has a contrast of at least 4.5 in both.

/// Name, light colour, dark colour. Hues keep apart for colour-blind eyes; marks differ in shape
/// as well.
pub(crate) const COLOURS: &[(&str, &str, &str)] = &[
    ("paper", "#f7f7f5", "#121518"),
    ("card", "#ffffff", "#1a1e23"),
    ("ink", "#1c2126", "#e8e8e4"),
    ("muted", "#5a636e", "#9ea8b3"),
    ("rule", "#e3e5e6", "#2c333a"),
    ("edge", "#b9c0c7", "#4b5560"),
    ("link", "#0f5a96", "#7db9ea"),
    ("tint", "#fdf1e2", "#33291c"),
    ("dot", "#7b8a9c", "#8494a6"),
    ("front", "#1463a5", "#5aa5e2"),
    ("winner", "#d9480f", "#ff8a4c"),
    ("reference", "#7b3fa0", "#c08be0"),
    ("slow", "#c3cad2", "#46515d"),
    ("end", "#e9ebed", "#2b3138"),
    ("conv", "#f8e9d0", "#41341b"),
    ("separable", "#d7ecd9", "#24412c"),
    ("bottleneck", "#d5e5f5", "#1f3b57"),
    ("gate", "#f3dceb", "#4b2942"),
    ("fourth", "#2f7d4f", "#6cc08b"),
    ("choice-0", "#1463a5", "#5aa5e2"),
    ("choice-1", "#9cc6ea", "#2c5f8c"),
    ("choice-2", "#d9812a", "#e8a45c"),
    ("choice-3", "#7b3fa0", "#b583d8"),
    ("choice-4", "#5c9e70", "#6cc08b"),
    ("choice-5", "#a5abb3", "#6d7884"),
];

/// The style sheet that gives every colour its name, in light and dark: as the system asks, unless
/// the page's root says which by `data-theme`.
pub(crate) fn css() -> String {
    let list = |pick: fn(&(&str, &str, &str)) -> String| {
        COLOURS.iter().map(pick).collect::<Vec<String>>().join(";")
    };
    format!(
        ":root{{{light};color-scheme:light}}\
         @media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark};color-scheme:dark}}}}\
         :root[data-theme=dark]{{{dark};color-scheme:dark}}\
         @media print{{:root,:root[data-theme]{{{light};color-scheme:light}}}}",
        light = list(|c| format!("--{}:{}", c.0, c.1)),
        dark = list(|c| format!("--{}:{}", c.0, c.2)),
    )
}

#[cfg(test)]
mod tests {
    use super::COLOURS;

    /// Relative luminance (WCAG 2.1).
    fn luminance(hex: &str) -> f64 {
        let channel = |i: usize| {
            let byte = u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
            let c = f64::from(byte) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_is_readable_on_every_ground() {
        let of = |name: &str| COLOURS.iter().find(|c| c.0 == name).unwrap();
        let grounds = [
            "paper",
            "card",
            "tint",
            "end",
            "conv",
            "separable",
            "bottleneck",
            "gate",
        ];
        for ground in grounds.map(of) {
            for text in ["ink", "muted"].map(of) {
                for (a, b) in [(text.1, ground.1), (text.2, ground.2)] {
                    let ratio = contrast(a, b);
                    assert!(ratio >= 4.5, "{} on {}: {ratio:.2}", text.0, ground.0);
                }
            }
        }
        for mark in ["front", "winner", "reference", "fourth", "link", "dot"].map(of) {
            for (a, b) in [(mark.1, of("card").1), (mark.2, of("card").2)] {
                assert!(contrast(a, b) >= 3.0, "{}: {:.2}", mark.0, contrast(a, b));
            }
        }
    }
}
