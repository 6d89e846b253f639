//! How commands speak: one JSON object or text on standard output, progress on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Where a command's answer goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether the answer is one JSON object.
    pub json: bool,
}

impl Output {
    /// Prints the answer: `value` as JSON, or the text. A closed pipe ends quietly.
    pub(crate) fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let body = if self.json {
            serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"))
        } else {
            text()
        };
        // A reader that has gone (`mnas zoo | head`) is no error.
        let _ = writeln!(std::io::stdout(), "{}", body.trim_end());
    }
}

/// Progress of long work: a bar with an ETA on a terminal, a line now and then elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    printed: Instant,
    every: Duration,
}

impl Progress {
    /// Progress on standard error.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let style =
            ProgressStyle::with_template("{prefix:>9} {wide_bar:.cyan/dim} {pos}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = terminal.then(|| ProgressBar::new(0).with_style(style));
        let every = Duration::from_secs(10);
        Self {
            bar,
            printed: Instant::now() - every,
            every,
        }
    }

    /// Shows `done` of `total` with a phase and a message, and the seconds that remain.
    pub(crate) fn show(
        &mut self,
        phase: &str,
        done: u64,
        total: u64,
        message: &str,
        eta_seconds: Option<f64>,
    ) {
        let eta = eta_seconds
            .map(|s| format!("  {} left", clock(s)))
            .unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_prefix(phase.to_string());
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("{message}{eta}"));
        } else if self.printed.elapsed() >= self.every {
            self.printed = Instant::now();
            eprintln!("{phase} {done}/{total} {message}{eta}");
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Seconds as `m:ss` or `h:mm:ss`.
pub(crate) fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// A table of text: headers, rows, numbers to the right.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let numeric = |column: usize| {
        rows.iter()
            .all(|r| r[column].starts_with(|c: char| c.is_ascii_digit() || "-±<".contains(c)))
    };
    let width = |column: usize| {
        let cells = rows.iter().map(|r| r[column].chars().count());
        cells
            .chain([headers[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let right: Vec<bool> = (0..headers.len()).map(numeric).collect();
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().enumerate().map(|(i, cell)| {
            let space = " ".repeat(widths[i].saturating_sub(cell.chars().count()));
            if right[i] {
                format!("{space}{cell}")
            } else {
                format!("{cell}{space}")
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let mut lines = vec![line(headers.to_vec())];
    lines.extend(
        rows.iter()
            .map(|r| line(r.iter().map(String::as_str).collect())),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_reads_well() {
        assert_eq!(
            [clock(5.2), clock(65.0), clock(3725.0)],
            ["0:05", "1:05", "1:02:05"]
        );
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = vec![
            vec!["a".into(), "1".into()],
            vec!["bcd".into(), "10.5".into()],
        ];
        assert_eq!(
            table(&["name", "n"], &rows),
            "name     n\na        1\nbcd   10.5"
        );
    }
}
