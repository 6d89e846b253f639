//! Published figures that a comparison shows beside ours.

use serde::{Deserialize, Serialize};

/// A table of published figures, as `--published FILE` reads it (TOML).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// What it is, as `MnasNet (arXiv 1807.11626), Table 5`.
    pub title: String,
    /// A sentence on what carries over to studies of another scale, and what can't.
    pub carries_over: String,
    /// The figures.
    #[serde(rename = "row")]
    pub rows: Vec<PublishedRow>,
}

/// A published network or experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRow {
    /// Its name there.
    pub name: String,
    /// Top-1 accuracy, 0 to 1.
    pub accuracy: Option<f64>,
    /// Latency there, on the device there.
    pub latency_ms: Option<f64>,
    /// Where it stands, as `Table 1, ImageNet, Pixel 1`.
    pub source: String,
}

impl Published {
    /// What is wrong with the figures, in words, if anything is.
    pub fn mistake(&self) -> Option<String> {
        let wrong = |row: &PublishedRow| {
            let accuracy = row.accuracy.is_none_or(|a| (0.0..=1.0).contains(&a));
            let latency = row.latency_ms.is_none_or(|l| l > 0.0 && l.is_finite());
            match (accuracy, latency) {
                (false, _) => Some(format!("{}: accuracy is a share, as 0.752", row.name)),
                (_, false) => Some(format!("{}: latency_ms is a positive number", row.name)),
                _ => None,
            }
        };
        match self.rows.is_empty() {
            true => Some("there is no [[row]]".into()),
            false => self.rows.iter().find_map(wrong),
        }
    }
}
