//! What a page was asked to show, read from its address. Whatever makes no sense is ignored: an
//! address is typed by anyone.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use crate::view::{TrialView, View};

/// Rows of a page of the table.
pub(super) const ROWS: usize = 50;

/// Trials compared at most.
pub(super) const COMPARED: usize = 4;

/// A column by which trials can be sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Trial,
    State,
    Accuracy,
    Latency,
    Reward,
    Params,
    Macs,
}

impl Column {
    /// Columns with the names that addresses and pages give them.
    pub(super) const ALL: [(Column, &'static str, &'static str); 7] = [
        (Column::Trial, "trial", "Trial"),
        (Column::State, "state", "State"),
        (Column::Accuracy, "accuracy", "Accuracy, %"),
        (Column::Latency, "latency", "Latency, ms"),
        (Column::Reward, "reward", "Reward"),
        (Column::Params, "params", "Params"),
        (Column::Macs, "macs", "MACs"),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|c| c.1 == name).map(|c| c.0)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|c| c.0 == self).map_or("", |c| c.1)
    }

    /// Whether the first click on it shows the greatest first.
    pub(super) fn best_is_greatest(self) -> bool {
        matches!(self, Column::Accuracy | Column::Reward)
    }

    /// Rows without a value come last either way.
    fn key(self, t: &TrialView) -> Option<f64> {
        match self {
            Column::Trial => Some(t.trial as f64),
            Column::State => Some(f64::from(t.state as u8)),
            Column::Accuracy => t.accuracy,
            Column::Latency => t.latency_ms,
            Column::Reward => t.reward,
            Column::Params => t.params.map(|n| n as f64),
            Column::Macs => t.macs.map(|n| n as f64),
        }
    }
}

/// What the table of trials shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TableQuery {
    pub(super) words: String,
    pub(super) sort: Column,
    pub(super) down: bool,
    pub(super) page: usize,
}

impl TableQuery {
    /// What an address asks for.
    pub(super) fn of(query: &HashMap<String, String>) -> Self {
        let get = |key: &str| query.get(key).map_or("", String::as_str);
        Self {
            words: get("q").chars().take(200).collect(),
            sort: Column::named(get("sort")).unwrap_or(Column::Trial),
            down: get("order") == "down",
            page: get("page").parse().unwrap_or(1).max(1),
        }
    }

    /// The address of the table with this column or page.
    pub(super) fn address(&self, sort: Column, down: bool, page: usize) -> String {
        let mut text = format!("?sort={}", sort.name());
        if down {
            text += "&order=down";
        }
        if page > 1 {
            // Formatting into a String cannot fail.
            let _ = write!(text, "&page={page}");
        }
        if !self.words.is_empty() {
            text += "&q=";
            text += &encoded(&self.words);
        }
        text
    }

    /// The trials found, in order.
    pub(super) fn find<'a>(&self, view: &'a View) -> Vec<&'a TrialView> {
        let words: Vec<String> = self
            .words
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let front = view.front_ids();
        let finalists: BTreeSet<u64> = view.finals.iter().filter_map(|f| f.trial).collect();
        let holds = |t: &TrialView, word: &str| {
            t.state.words().contains(word)
                || t.spec.contains(word)
                || t.hash.contains(word)
                || (word == "front" && front.contains(&t.trial))
                || (word == "finalist" && finalists.contains(&t.trial))
                || (word == "duplicate" && t.duplicate_of.is_some())
                || (word == "noisy" && t.latency.as_ref().is_some_and(|l| l.noisy))
                || t.failure.as_ref().is_some_and(|f| f.kind.contains(word))
        };
        let mut found: Vec<&TrialView> = view
            .trials
            .iter()
            .filter(|t| words.iter().all(|w| holds(t, w)))
            .collect();
        if (self.sort, self.down) != (Column::Trial, false) {
            found.sort_by(|a, b| self.order(a, b));
        }
        found
    }

    fn order(&self, a: &TrialView, b: &TrialView) -> Ordering {
        match (self.sort.key(a), self.sort.key(b)) {
            (Some(x), Some(y)) if self.down => y.total_cmp(&x),
            (Some(x), Some(y)) => x.total_cmp(&y),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

/// A text as part of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The distinct numbers of `t=1&t=5`, at most [`COMPARED`].
pub(super) fn numbers(query: &str) -> Vec<u64> {
    let mut list = vec![];
    for n in query.split('&').filter_map(|p| p.strip_prefix("t=")) {
        // A text field gives them apart by commas or spaces.
        for n in n.split(['+', ',']).flat_map(|n| n.split("%2C")) {
            match n.parse() {
                Ok(n) if !list.contains(&n) && list.len() < COMPARED => list.push(n),
                _ => {}
            }
        }
    }
    list
}
