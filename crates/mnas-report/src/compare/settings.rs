//! Settings that differ between studies.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::view::View;

/// Longest value that is shown; of a longer one, a hash.
const SHOWN_MAX: usize = 48;

/// A setting and what it is in which studies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Its key in the plan, as `controller.algorithm`.
    pub setting: String,
    /// Each value with the names of the studies that have it, in their order.
    pub values: Vec<(String, Vec<String>)>,
}

/// Leaves of the plans that aren't the same in all studies.
pub(super) fn differences(names: &[&str], views: &[&View]) -> Vec<Difference> {
    let leaves: Vec<BTreeMap<String, String>> = views
        .iter()
        .map(|v| {
            let mut leaves = BTreeMap::new();
            flatten(&v.facts.plan, String::new(), &mut leaves);
            leaves
        })
        .collect();
    let mut keys: Vec<&String> = leaves.iter().flat_map(BTreeMap::keys).collect();
    keys.sort();
    keys.dedup();
    let of = |key: &String| {
        let mut values: Vec<(String, Vec<String>)> = vec![];
        for (name, leaves) in names.iter().zip(&leaves) {
            let value = leaves.get(key).cloned().unwrap_or_else(|| "absent".into());
            match values.iter_mut().find(|v| v.0 == value) {
                Some((_, with)) => with.push((*name).into()),
                None => values.push((value, vec![(*name).into()])),
            }
        }
        Difference {
            setting: key.clone(),
            values,
        }
    };
    let all = keys.into_iter().map(of);
    all.filter(|d| d.values.len() > 1).collect()
}

/// Values of a plan by dotted key. A list is one value.
fn flatten(value: &Value, key: String, leaves: &mut BTreeMap<String, String>) {
    if let Value::Object(map) = value {
        for (name, value) in map {
            let key = match key.is_empty() {
                true => name.clone(),
                false => format!("{key}.{name}"),
            };
            flatten(value, key, leaves);
        }
        return;
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".into(),
        other => other.to_string(),
    };
    let long = text.chars().count() > SHOWN_MAX || text.contains('\n');
    let text = match long {
        true => {
            let hash = Sha256::digest(&text);
            let hex: String = hash.iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!("a text with hash {hex}")
        }
        false => text,
    };
    leaves.insert(key, text);
}
