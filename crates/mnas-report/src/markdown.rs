//! The report as Markdown (GitHub's flavour), for issues, pull requests and wikis.

use std::fmt::Write;

use crate::format::{count, ms, percent, si, significant, thousands};
use crate::provenance::origins;
use crate::text::printable;
use crate::view::{FinalView, TrialView, View};
use crate::words;

/// Trials of the front listed at most, the most accurate.
const FRONT_MAX: usize = 20;

/// The same facts as the terminal's summary, with tables.
pub fn markdown(view: &View) -> String {
    let mut out = String::new();
    line(&mut out, &format!("# {}", plain(&words::headline(view))));
    let subject = plain(&words::subject(view));
    line(
        &mut out,
        &format!("{subject}. Study {}.", plain(&view.facts.status)),
    );
    let findings: Vec<String> = words::findings(view).iter().map(|s| plain(s)).collect();
    if !findings.is_empty() {
        line(&mut out, &findings.join(" "));
    }
    if !view.finals.is_empty() {
        line(&mut out, "## Finalists and references");
        finals(&mut out, view);
    }
    if !view.front.is_empty() {
        line(&mut out, "## Front, after the search's short training");
        front(&mut out, view);
    }
    if let Some(winner) = &view.winner {
        line(
            &mut out,
            &format!("## The network of {}", plain(&winner.name)),
        );
        line(
            &mut out,
            &format!("```\n{}\n```", printable_lines(&winner.spec)),
        );
    }
    line(&mut out, "## The search");
    line(&mut out, &plain(&words::counts(view)));
    for (kind, n) in &view.totals.failures {
        line(
            &mut out,
            &format!("- {}: {}", count(*n, "network"), plain(kind)),
        );
    }
    devices(&mut out, view);
    line(&mut out, "## Where the numbers come from");
    let rows = origins(view).into_iter();
    let rows = rows.map(|o| vec![o.what.to_string(), o.from.join(" ")]);
    table(&mut out, &["What", "From"], "ll", rows);
    let version = concat!("Written by mnas ", env!("CARGO_PKG_VERSION"), ".");
    line(&mut out, version);
    out
}

/// A paragraph.
fn line(out: &mut String, text: &str) {
    // Formatting into a String cannot fail.
    let _ = writeln!(out, "{text}\n");
}

/// A table; `align` has a letter per column, `l` or `r`.
fn table(out: &mut String, head: &[&str], align: &str, rows: impl Iterator<Item = Vec<String>>) {
    let rule = |c: char| if c == 'r' { "---:" } else { "---" };
    let rules: Vec<&str> = align.chars().map(rule).collect();
    let _ = writeln!(out, "| {} |\n| {} |", head.join(" | "), rules.join(" | "));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|c| plain(c)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
}

fn finals(out: &mut String, view: &View) {
    let wins = |f: &FinalView| view.winning_final().is_some_and(|w| w.name == f.name);
    let rows = view.finals.iter().map(|f| {
        let kind = match (wins(f), f.is_finalist()) {
            (true, _) => "winner",
            (_, true) => "finalist",
            _ => "reference",
        };
        let mut cells = vec![f.name.clone(), kind.into()];
        if let Some(failure) = &f.failure {
            cells.push(format!("failed: {}", failure.kind));
            cells.extend(std::iter::repeat_n(String::new(), 6));
            return cells;
        }
        cells.extend([
            f.test_accuracy.map_or("–".into(), percent),
            f.int8_test_accuracy.map_or("–".into(), percent),
            f.accuracy.map_or("–".into(), percent),
            f.latency_ms.map_or("–".into(), ms),
            f.latency
                .as_ref()
                .map_or("–".into(), |l| significant(l.iqr_ms)),
            f.params.map_or("–".into(), si),
            f.macs.map_or("–".into(), si),
        ]);
        cells
    });
    let head = [
        "Network",
        "",
        "Test",
        "Test, int8",
        "Validation",
        "Latency",
        "IQR, ms",
        "Params",
        "MACs",
    ];
    table(out, &head, "llrrrrrrr", rows);
}

fn front(out: &mut String, view: &View) {
    let hidden = view.front.len().saturating_sub(FRONT_MAX);
    let rows = view.front[hidden..].iter().map(|t: &TrialView| {
        vec![
            format!("trial {}", t.trial),
            t.accuracy.map_or("–".into(), percent),
            t.latency_ms.map_or("–".into(), ms),
            t.reward.map_or("–".into(), |r| format!("{r:.4}")),
            t.params.map_or("–".into(), si),
            t.macs.map_or("–".into(), si),
        ]
    });
    let head = [
        "Network",
        "Validation",
        "Latency",
        "Reward",
        "Params",
        "MACs",
    ];
    table(out, &head, "lrrrrr", rows);
    if hidden > 0 {
        line(out, &format!("and {hidden} faster ones"));
    }
}

fn devices(out: &mut String, view: &View) {
    if view.devices.is_empty() {
        return;
    }
    let rows = view.devices.iter().map(|d| {
        vec![
            d.source.clone(),
            thousands(d.networks),
            d.spread
                .filter(|_| !d.predicted)
                .map_or("–".into(), percent),
            thousands(d.noisy),
            thousands(d.dropped),
        ]
    });
    let head = ["Latency", "Networks", "Spread", "Noisy", "Samples dropped"];
    table(out, &head, "lrrrr", rows);
}

/// A text that Markdown shows as it is: names and messages come from users' files.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// A network's lines, which can't end the block they stand in.
fn printable_lines(text: &str) -> String {
    let lines = text.lines().map(|l| printable(l).replace('`', "'"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    const SAMPLE: Sample = Sample {
        trials: 120,
        mishaps: true,
        finals: true,
        seed: 7,
    };

    #[test]
    fn a_finished_study() {
        let text = markdown(&View::of(&SAMPLE.study()));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn tables_keep_their_columns_whatever_a_name_holds() {
        let mut view = View::of(&SAMPLE.study());
        view.finals[0].name = "a | b <script> `c` *d*\n# e".into();
        view.facts.data = Some("[x](http://y) @someone".into());
        let text = markdown(&view);
        assert!(
            text.contains(r"| a \| b &lt;script> \`c\` \*d\* \# e |"),
            "{text}"
        );
        assert!(text.contains(r"\[x\](http://y) @someone"), "{text}");
        let unescaped = |l: &str| l.replace(r"\|", "").matches('|').count();
        let mut widths = vec![];
        for block in text.split("\n\n").filter(|b| b.starts_with('|')) {
            let columns: Vec<usize> = block.lines().map(unescaped).collect();
            assert!(columns.windows(2).all(|w| w[0] == w[1]), "{block}");
            widths.push(columns[0]);
        }
        assert!(widths.len() >= 4);
    }

    #[test]
    fn a_study_without_anything() {
        let empty = Sample {
            trials: 0,
            finals: false,
            ..SAMPLE
        };
        let text = markdown(&View::of(&empty.study()));
        assert!(text.starts_with("# No network proposed yet\n"), "{text}");
    }
}
