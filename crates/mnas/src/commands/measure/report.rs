//! What `mnas measure` prints.

use std::cmp::Reverse;

use mnas_deploy::{DeviceInfo, OperatorTime, Ratio, ratio};
use serde_json::{Value, json};

use super::Row;
use crate::output::{Output, table};

/// Prints the rows in the order asked for; with `rounds`, also how they rank.
pub(super) fn print(rows: &[Row], info: &DeviceInfo, rounds: Option<usize>, out: Output) {
    let ranking = rounds.map(|rounds| rank(rows, rounds)).unwrap_or_default();
    let networks: Vec<Value> = rows.iter().map(network).collect();
    let ranked: Vec<Value> = ranking
        .iter()
        .map(|(row, r)| {
            json!({ "name": row.name, "median_ms": row.samples.median_ms(), "ratio_to_fastest": r.ratio,
                "interval_95": [r.interval.0, r.interval.1], "differs": r.differs() })
        })
        .collect();
    let mut value = json!({ "device": info, "networks": networks });
    if !ranked.is_empty() {
        value["ranking"] = json!(ranked);
    }
    out.print(&value, || {
        let core = rows.iter().find_map(|r| r.samples.core);
        let notes = rows.iter().flat_map(|row| {
            let name = short(&row.name);
            row.samples
                .notes
                .iter()
                .map(move |note| format!("\n{name}: {note}"))
        });
        let profiles = rows.iter().filter(|r| !r.profile.is_empty());
        format!(
            "{} {} on {}{}\n{}{}{}{}",
            if info.predicted {
                "predicted by"
            } else {
                "measured with"
            },
            info.engine,
            info.device,
            core.map(|c| format!(", core {c}")).unwrap_or_default(),
            latencies(rows),
            notes.collect::<String>(),
            comparison(&ranking),
            profiles.map(operators).collect::<String>()
        )
    });
}

fn network(row: &Row) -> Value {
    let s = &row.samples;
    let mut value = json!({
        "name": row.name, "median_ms": s.median_ms(), "p25_ms": s.p25_ms(), "p90_ms": s.p90_ms(),
        "iqr_ms": s.iqr_ms(), "cv": s.cv(), "kept": s.times_ms.len(), "dropped": s.dropped,
        "runs_per_sample": s.runs_per_sample, "core": s.core, "noisy": s.noisy, "notes": s.notes,
        "predicted": s.predicted, "stated_error": s.stated_error, "samples_ms": s.times_ms });
    if !row.profile.is_empty() {
        value["profile"] = json!(row.profile);
    }
    value
}

fn latencies(rows: &[Row]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let s = &row.samples;
            let kept = s.times_ms.len();
            vec![
                short(&row.name),
                ms(s.median_ms()),
                ms(s.p25_ms()),
                ms(s.p90_ms()),
                ms(s.iqr_ms()),
                format!("{kept}/{}", kept + s.dropped as usize),
                if s.noisy { "noisy" } else { "" }.into(),
            ]
        })
        .collect();
    table(
        &["network", "median ms", "p25", "p90", "iqr", "kept", ""],
        &cells,
    )
}

/// All networks, the fastest first, each beside that one.
fn rank(rows: &[Row], rounds: usize) -> Vec<(&Row, Ratio)> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| a.samples.median_ms().total_cmp(&b.samples.median_ms()));
    let Some(fastest) = sorted.first().copied() else {
        return vec![];
    };
    sorted
        .into_iter()
        .map(|row| (row, ratio(&row.samples, &fastest.samples, rounds)))
        .collect()
}

fn comparison(ranking: &[(&Row, Ratio)]) -> String {
    if ranking.is_empty() {
        return String::new();
    }
    let cells: Vec<Vec<String>> = ranking
        .iter()
        .enumerate()
        .map(|(i, (row, r))| {
            let (low, high) = r.interval;
            let verdict = match (i, r.differs()) {
                (0, _) => "fastest",
                (_, true) => "slower",
                (_, false) => "no difference seen",
            };
            vec![
                (i + 1).to_string(),
                short(&row.name),
                format!("{:.3}", r.ratio),
                if i == 0 {
                    String::new()
                } else {
                    format!("{low:.3} to {high:.3}")
                },
                verdict.into(),
            ]
        })
        .collect();
    let heads = ["", "network", "ratio to fastest", "95 % interval", ""];
    format!("\n\n{}", table(&heads, &cells))
}

/// Rows of operators that are printed; JSON has all.
const OPERATORS_SHOWN: usize = 20;

/// Times by kind of operator, then the slowest operators.
fn operators(row: &Row) -> String {
    let total: f64 = row.profile.iter().map(|o| o.ms).sum();
    let share = |v: f64| format!("{:.1} %", 100.0 * v / total);
    let mut kinds: Vec<(&str, usize, f64)> = vec![];
    for o in &row.profile {
        match kinds.iter_mut().find(|(kind, ..)| *kind == o.kind) {
            Some((_, count, sum)) => {
                *count += 1;
                *sum += o.ms;
            }
            None => kinds.push((&o.kind, 1, o.ms)),
        }
    }
    kinds.sort_by(|a, b| b.2.total_cmp(&a.2));
    let by_kind: Vec<Vec<String>> = kinds
        .iter()
        .map(|(kind, count, sum)| vec![kind.to_string(), count.to_string(), ms(*sum), share(*sum)])
        .collect();
    let mut slowest: Vec<&OperatorTime> = row.profile.iter().collect();
    // Microseconds are whole numbers here, so the sort is one of integers.
    slowest.sort_by_key(|o| Reverse((1e6 * o.ms) as u64));
    slowest.truncate(OPERATORS_SHOWN);
    let by_operator: Vec<Vec<String>> = slowest
        .iter()
        .map(|o| vec![o.name.clone(), o.kind.clone(), ms(o.ms), share(o.ms)])
        .collect();
    format!(
        "\n\n{}: {:.4} ms in {} operators, as the engine counts\n{}\n\n{}",
        short(&row.name),
        total,
        row.profile.len(),
        table(&["kind", "operators", "ms", "share"], &by_kind),
        table(&["slowest", "kind", "ms", "share"], &by_operator)
    )
}

fn ms(v: f64) -> String {
    format!("{v:.4}")
}

/// What distinguishes a network in a table: its first line, cut.
fn short(name: &str) -> String {
    let line = name.lines().next().unwrap_or_default();
    line.chars().take(40).collect()
}
