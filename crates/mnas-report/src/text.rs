//! The report for a terminal: 80 columns, the winner first.

use std::fmt::Write;

use crate::format::{clip, count, ms, percent, si, significant};
use crate::provenance::origins;
use crate::view::{FinalView, View};
use crate::words;

#[cfg(test)]
mod tests;

const COLUMNS: usize = 80;

/// The terminal's summary: the winner and what it means, the table against the references, counts,
/// where the numbers come from, and what to do next. `DIR` stands for the study's directory.
pub fn text(view: &View) -> String {
    let mut out = String::new();
    paragraph(&mut out, "", &words::subject(view));
    paragraph(&mut out, "", &format!("Study {}.", view.facts.status));
    heading(&mut out, &words::headline(view));
    for sentence in words::findings(view) {
        paragraph(&mut out, "  ", &sentence);
    }
    if !view.finals.is_empty() {
        heading(&mut out, "Finalists and references");
        finals(&mut out, view);
    } else if !view.front.is_empty() {
        heading(&mut out, "Front, after the search's short training");
        front(&mut out, view);
    }
    heading(&mut out, "The search");
    paragraph(&mut out, "  ", &words::counts(view));
    for (kind, n) in &view.totals.failures {
        paragraph(
            &mut out,
            "  ",
            &format!("{}: {kind}.", count(*n, "network")),
        );
    }
    heading(&mut out, "Where the numbers come from");
    for origin in origins(view) {
        let text = format!("{}: {}", origin.what, origin.from.join(" "));
        paragraph(&mut out, "  ", &text);
    }
    heading(&mut out, "Next");
    next(&mut out, view);
    out
}

pub(crate) fn heading(out: &mut String, text: &str) {
    out.push('\n');
    paragraph(out, "", text);
}

/// A paragraph wrapped to the terminal's width, every line indented and continued two further.
pub(crate) fn paragraph(out: &mut String, indent: &str, text: &str) {
    let text = printable(text);
    let (mut line, mut empty) = (indent.to_string(), true);
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out.push_str(&line);
            out.push('\n');
            line = if indent.is_empty() {
                String::new()
            } else {
                format!("{indent}  ")
            };
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// A text without control characters: a name from a file can't move the cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A row of seven cells, 80 columns at most.
fn row(out: &mut String, cells: [&str; 7]) {
    let name = clip(&printable(cells[0]), 24);
    let mut line = format!("  {name:<24}");
    for (cell, width) in cells[1..].iter().zip([9, 9, 9, 9, 8, 8]) {
        // Formatting into a String cannot fail.
        let _ = write!(line, "{cell:>width$}");
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn finals(out: &mut String, view: &View) {
    row(
        out,
        ["", "test", "valid.", "latency", "IQR", "params", "MACs"],
    );
    let wins = |f: &FinalView| view.winning_final().is_some_and(|w| w.name == f.name);
    for f in &view.finals {
        let name = if wins(f) {
            format!("{} (winner)", f.name)
        } else {
            f.name.clone()
        };
        if let Some(failure) = &f.failure {
            let line = format!("{}: {}: {}", name, failure.kind, failure.message);
            paragraph(out, "  ", &line);
            continue;
        }
        let iqr = f.latency.as_ref().map(|l| significant(l.iqr_ms));
        row(
            out,
            [
                &name,
                &f.test_accuracy.map_or("-".into(), percent),
                &f.accuracy.map_or("-".into(), percent),
                &f.latency_ms.map_or("-".into(), ms),
                &iqr.unwrap_or("-".into()),
                &f.params.map_or("-".into(), si),
                &f.macs.map_or("-".into(), si),
            ],
        );
    }
    for f in &view.finals {
        if let (Some(int8), Some(source)) = (f.int8_test_accuracy, &f.int8_source) {
            let float = f.test_accuracy.map_or("-".into(), percent);
            let line = format!(
                "{} in 8 bits: test {}, in float {float} ({source}).",
                f.name,
                percent(int8)
            );
            paragraph(out, "  ", &line);
        }
    }
    for f in &view.finals {
        if let Some(failure) = &f.int8_failure {
            let line = format!("{} has no 8-bit form: {failure}.", f.name);
            paragraph(out, "  ", &line);
        }
    }
    let noisy: Vec<&str> = view
        .finals
        .iter()
        .filter(|f| f.latency.as_ref().is_some_and(|l| l.noisy))
        .map(|f| &*f.name)
        .collect();
    if !noisy.is_empty() {
        paragraph(out, "  ", &format!("Noisy latency: {}.", noisy.join(", ")));
    }
}

/// The front before there are finals: at most ten of its trials, the most accurate.
fn front(out: &mut String, view: &View) {
    const SHOWN: usize = 10;
    row(out, ["", "", "valid.", "latency", "", "params", "MACs"]);
    let hidden = view.front.len().saturating_sub(SHOWN);
    for t in &view.front[hidden..] {
        row(
            out,
            [
                &format!("trial {}", t.trial),
                "",
                &t.accuracy.map_or("-".into(), percent),
                &t.latency_ms.map_or("-".into(), ms),
                "",
                &t.params.map_or("-".into(), si),
                &t.macs.map_or("-".into(), si),
            ],
        );
    }
    if hidden > 0 {
        paragraph(out, "  ", &format!("and {hidden} faster ones"));
    }
}

fn next(out: &mut String, view: &View) {
    let mut lines = vec![];
    if view.winner.as_ref().is_some_and(|w| w.fully_trained) {
        lines.push((
            "mnas export DIR:best --format tflite --out FILE",
            "the winner for deployment",
        ));
        lines.push(("mnas predict DIR:best IMAGE", "what it says of an image"));
    } else {
        lines.push(("mnas resume DIR", "go on where it stopped"));
    }
    lines.push((
        "mnas report DIR --figures FOLDER",
        "the charts as SVG files",
    ));
    for (command, why) in lines {
        let _ = writeln!(out, "  {command:<50}{why}");
    }
}
