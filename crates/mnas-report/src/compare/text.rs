//! A comparison for a terminal of 80 columns.

use std::fmt::Write;

use super::{Comparison, FinalPoint, Group};
use crate::format::{clip, ms, percent, significant};
use crate::text::{heading, paragraph, printable};

/// The comparison as text: the ranking first.
pub fn text(c: &Comparison) -> String {
    let mut out = String::new();
    let names: Vec<&str> = c.studies.iter().map(|s| &*s.name).collect();
    let studies = if names.len() == 1 { "study" } else { "studies" };
    let all = format!("{} {studies}: {}", names.len(), names.join(", "));
    paragraph(&mut out, "", &all);
    for note in &c.notes {
        paragraph(&mut out, "", note);
    }
    for group in &c.groups {
        heading(&mut out, &group_name(group));
        ranking(&mut out, c, group);
    }
    if c.studies.iter().any(|s| !s.finals.is_empty()) {
        heading(&mut out, "Fully trained, with 95 % intervals");
        finals(&mut out, c);
    }
    if names.len() > 1 {
        heading(&mut out, "Settings that differ");
        if c.differences.is_empty() {
            paragraph(&mut out, "  ", "None.");
        }
    }
    for d in &c.differences {
        let values = d.values.iter();
        let values: Vec<String> = values
            .map(|(value, names)| format!("{value} ({})", names.join(", ")))
            .collect();
        paragraph(
            &mut out,
            "  ",
            &format!("{}: {}", d.setting, values.join("; ")),
        );
    }
    published(&mut out, c);
    out
}

/// What the studies of a group share.
pub(super) fn group_name(group: &Group) -> String {
    let sources = match group.latency_sources.is_empty() {
        true => "latency of unknown source".into(),
        false => format!("latency {}", group.latency_sources.join(", ")),
    };
    format!("{}, {sources}", group.data)
}

/// How hypervolume was taken, in a sentence.
pub(super) fn reference_words(group: &Group) -> Option<String> {
    let (floor, ceiling) = group.reference?;
    Some(format!(
        "Hypervolume is the share of the plane between {} and 100 % accuracy, and 0 and {}, that \
         a study's front commands.",
        percent(floor),
        ms(ceiling)
    ))
}

fn ranking(out: &mut String, c: &Comparison, group: &Group) {
    row(
        out,
        [
            "",
            "hypervol.",
            "best",
            "latency",
            "target",
            "front",
            "trained",
        ],
    );
    for s in group.ranking.iter().map(|i| &c.studies[*i]) {
        let best = s.best_within_target.as_ref();
        row(
            out,
            [
                &s.name,
                &s.hypervolume.map_or("-".into(), |v| format!("{v:.4}")),
                &best.map_or("none".into(), |b| percent(b.accuracy)),
                &best.map_or("-".into(), |b| ms(b.latency_ms)),
                &s.target_ms.map_or("-".into(), ms),
                &s.front.len().to_string(),
                &s.trained.to_string(),
            ],
        );
    }
    if let Some(words) = reference_words(group) {
        paragraph(out, "  ", &words);
    }
    let best = "Best: the validation accuracy, after short training, of the trial of greatest \
                reward within the study's own target.";
    paragraph(out, "  ", best);
}

fn row(out: &mut String, cells: [&str; 7]) {
    let name = clip(&printable(cells[0]), 22);
    let mut line = format!("  {name:<22}");
    for (cell, width) in cells[1..].iter().zip([10, 9, 10, 10, 7, 9]) {
        // Formatting into a String cannot fail.
        let _ = write!(line, "{cell:>width$}");
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn finals(out: &mut String, c: &Comparison) {
    for study in c.studies.iter().filter(|s| !s.finals.is_empty()) {
        paragraph(out, "  ", &study.name);
        for f in &study.finals {
            let name = clip(&printable(&f.name), 22);
            let line = format!("    {name:<22}  {}", final_words(f));
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

fn final_words(f: &FinalPoint) -> String {
    format!("{:<24} {}", accuracy_words(f), latency_words(f))
}

/// `83.90 (82.2 to 85.5) % test`.
pub(super) fn accuracy_words(f: &FinalPoint) -> String {
    let interval = f.accuracy_interval.map_or(String::new(), |(low, high)| {
        format!(" ({:.1} to {:.1})", 100.0 * low, 100.0 * high)
    });
    let split = if f.split == "test" { "" } else { " valid." };
    format!("{:.2}{interval} %{split}", 100.0 * f.accuracy)
}

/// `0.812 (0.810 to 0.815) ms`.
pub(super) fn latency_words(f: &FinalPoint) -> String {
    let interval = f.latency_interval_ms.map_or(String::new(), |(low, high)| {
        format!(" ({} to {})", significant(low), significant(high))
    });
    format!("{}{interval} ms", significant(f.latency_ms))
}

fn published(out: &mut String, c: &Comparison) {
    let Some(published) = &c.published else {
        return;
    };
    heading(out, &format!("Published: {}", published.title));
    for r in &published.rows {
        let accuracy = r.accuracy.map_or("-".into(), percent);
        let latency = r.latency_ms.map_or("-".into(), ms);
        let name = clip(&printable(&r.name), 30);
        let line = format!(
            "  {name:<30}{accuracy:>9}{latency:>10}  {}",
            printable(&r.source)
        );
        out.push_str(&clip(line.trim_end(), 80));
        out.push('\n');
    }
    paragraph(out, "  ", &published.carries_over);
}
