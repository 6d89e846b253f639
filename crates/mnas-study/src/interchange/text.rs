//! Tables as text: CSV and JSON lines.

use super::table::{Table, Values};
use mnas_search::utc;

/// Comma-separated values after RFC 4180, with a header; lines end in a line feed. What a trial
/// doesn't have is empty.
pub(super) fn csv(table: &Table) -> String {
    let names = table.columns().iter().map(|c| quoted(&c.name));
    let mut out = names.collect::<Vec<_>>().join(",");
    out.push('\n');
    for row in 0..table.rows() {
        let cells = table.columns().iter().map(|c| match cell(&c.values, row) {
            None => String::new(),
            Some(Cell::Bare(text)) => text,
            Some(Cell::Text(text)) => quoted(&text),
        });
        out += &cells.collect::<Vec<_>>().join(",");
        out.push('\n');
    }
    out
}

/// A JSON object per line, with every column as a key; `null` where a trial has no value.
pub(super) fn json_lines(table: &Table) -> String {
    let mut out = String::new();
    let json = |text: &str| serde_json::Value::from(text).to_string();
    for row in 0..table.rows() {
        let fields = table.columns().iter().map(|c| {
            let value = match cell(&c.values, row) {
                None => "null".into(),
                Some(Cell::Bare(text)) => text,
                Some(Cell::Text(text)) => json(&text),
            };
            format!("{}:{value}", json(&c.name))
        });
        out += &format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","));
    }
    out
}

/// A value: a number or a truth value, which both formats write alike, or a text.
enum Cell {
    Bare(String),
    Text(String),
}

fn cell(values: &Values, row: usize) -> Option<Cell> {
    Some(match values {
        Values::Whole(v) => Cell::Bare(v[row]?.to_string()),
        // JSON has no infinity; nor does a study's number, unless a store was tampered with.
        Values::Real(v) => Cell::Bare(v[row].filter(|v| v.is_finite())?.to_string()),
        Values::Flag(v) => Cell::Bare(v[row]?.to_string()),
        Values::Text(v) => Cell::Text(v[row].clone()?),
        Values::Time(v) => Cell::Text(format!("{}Z", utc(v[row]?, 'T'))),
    })
}

fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}
