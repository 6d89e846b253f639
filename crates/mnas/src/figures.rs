//! Figures as files.

use std::path::Path;

use mnas_report::View;

use crate::exit::{Blame, Blamed, CommandError};
use crate::files::write_atomically;

/// Writes every figure of a study into a folder and says what was written.
pub(crate) fn write(folder: &Path, view: &View) -> Result<String, CommandError> {
    std::fs::create_dir_all(folder)
        .map_err(|e| anyhow::anyhow!("{}: {e}", folder.display()))
        .blame(Blame::Store)?;
    let figures = mnas_report::figures(view);
    for (name, svg) in &figures {
        write_atomically(&folder.join(name), svg.as_bytes())?;
    }
    let drawn = draw(folder, &figures)?;
    Ok(format!("{} as SVG{drawn}", figures.len()))
}

#[cfg(not(feature = "png"))]
fn draw(_: &Path, _: &[(String, String)]) -> Result<&'static str, CommandError> {
    Ok(" (PNG needs a mnas built with `--features png`)")
}

/// Draws the figures as PNG, two dots per pixel, with the fonts of this machine.
#[cfg(feature = "png")]
fn draw(folder: &Path, figures: &[(String, String)]) -> Result<&'static str, CommandError> {
    use resvg::{tiny_skia, usvg};

    const SCALE: f32 = 2.0;
    /// Families that stand in for "sans-serif", in order of liking.
    const FAMILIES: [&str; 5] = [
        "Inter",
        "Helvetica",
        "Arial",
        "Liberation Sans",
        "DejaVu Sans",
    ];

    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_system_fonts();
    let has = |fonts: &usvg::fontdb::Database, family: &str| {
        fonts
            .faces()
            .any(|f| f.families.iter().any(|n| n.0 == family))
    };
    match FAMILIES.iter().find(|f| has(fonts, f)) {
        Some(family) => fonts.set_sans_serif_family(*family),
        None if fonts.is_empty() => {
            return Ok(" (no PNG: this machine has no fonts to draw text with)");
        }
        None => {}
    }
    for (name, svg) in figures {
        let bug = |e: String| CommandError::new(Blame::Bug, anyhow::anyhow!("{name}: {e}"));
        let tree = usvg::Tree::from_str(svg, &options).map_err(|e| bug(e.to_string()))?;
        let size = tree.size().to_int_size().scale_by(SCALE);
        let picture = size.and_then(|s| tiny_skia::Pixmap::new(s.width(), s.height()));
        let mut picture = picture.ok_or_else(|| bug("has no size".into()))?;
        let scale = tiny_skia::Transform::from_scale(SCALE, SCALE);
        resvg::render(&tree, scale, &mut picture.as_mut());
        let png = picture.encode_png().map_err(|e| bug(e.to_string()))?;
        write_atomically(&folder.join(name).with_extension("png"), &png)?;
    }
    Ok(" and PNG")
}
