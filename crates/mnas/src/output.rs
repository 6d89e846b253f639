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
    began: Instant,
    /// When the last line was printed, and of which phase.
    printed: Option<(Instant, String)>,
}

/// Time between two lines of a log: a tenth of the time so far, so that a run of minutes shows that
/// it lives and one of days doesn't fill the log.
fn interval(since_began: Duration) -> Duration {
    (since_began / 10).clamp(Duration::from_secs(10), Duration::from_secs(300))
}

impl Progress {
    /// Progress on standard error.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        // The message is cut where the line ends; the time left stands before it.
        let style =
            ProgressStyle::with_template("{prefix} {bar:16.cyan/dim} {pos}/{len} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = terminal.then(|| ProgressBar::new(0).with_style(style));
        Self {
            bar,
            began: Instant::now(),
            printed: None,
        }
    }

    /// Whether what is shown is seen at once and replaced, as on a terminal.
    pub(crate) fn is_live(&self) -> bool {
        self.bar.is_some()
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
        let eta = eta_seconds.map(|s| format!("{} left", clock(s)));
        let parts = [eta.as_deref().unwrap_or_default(), message];
        let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        let message = parts.join(", ");
        if let Some(bar) = &self.bar {
            bar.set_prefix(phase.to_string());
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message);
            return;
        }
        let every = interval(self.began.elapsed());
        let due = self
            .printed
            .as_ref()
            .is_none_or(|(at, of)| of != phase || at.elapsed() >= every);
        if due {
            self.printed = Some((Instant::now(), phase.into()));
            let share = 100.0 * done as f64 / total.max(1) as f64;
            eprintln!("{phase} {done}/{total} ({share:.0} %) {message}");
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
    fn lines_come_less_often_the_longer_it_takes() {
        let seconds = |s: u64| interval(Duration::from_secs(s)).as_secs();
        assert_eq!(
            [seconds(0), seconds(60), seconds(1200), seconds(86_400)],
            [10, 10, 120, 300]
        );
        // A day's log has a few hundred lines.
        let (mut at, mut lines) = (0, 0);
        while at < 86_400 {
            (at, lines) = (at + seconds(at), lines + 1);
        }
        assert!(lines < 400, "{lines}");
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
