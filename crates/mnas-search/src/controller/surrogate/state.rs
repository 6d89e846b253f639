//! The surrogate's state as JSON.

use serde::{Deserialize, Serialize};

use super::super::{RestoreError, Setup, fits, same_algorithm};
use super::Known;
use super::belief::Learnt;
use super::points::Point;
use crate::Tokens;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    algorithm: String,
    points: Vec<Point>,
    names: Vec<u64>,
    lost: Vec<(Tokens, u8)>,
    accuracy: Vec<Learnt>,
    latency: Vec<Learnt>,
    learnt_at: usize,
    observed: usize,
}

pub(super) fn write(algorithm: &str, known: &Known) -> String {
    let known = known.clone();
    serde_json::json!(State {
        algorithm: algorithm.to_owned(),
        points: known.points,
        names: known.names,
        lost: known.lost,
        accuracy: known.accuracy,
        latency: known.latency,
        learnt_at: known.learnt_at,
        observed: known.observed,
    })
    .to_string()
}

pub(super) fn read(
    algorithm: &'static str,
    snapshot: &str,
    setup: &Setup,
) -> Result<Known, RestoreError> {
    let state: State = serde_json::from_str(snapshot)?;
    same_algorithm(state.algorithm, algorithm)?;
    let expected = setup.choices.len();
    let samples = state.points.iter().map(|p| &p.tokens);
    for tokens in samples.chain(state.lost.iter().map(|(tokens, _)| tokens)) {
        if !fits(&setup.choices, tokens) {
            return Err(RestoreError::Size {
                field: "tokens",
                found: tokens.len(),
                expected,
            });
        }
    }
    for (field, learnt) in [("accuracy", &state.accuracy), ("latency", &state.latency)] {
        for on in learnt {
            if on.decisions() != expected {
                return Err(RestoreError::Size {
                    field,
                    found: on.decisions(),
                    expected,
                });
            }
            if !on.is_sound() {
                return Err(RestoreError::Numbers { field });
            }
        }
    }
    Ok(Known {
        points: state.points,
        names: state.names,
        lost: state.lost,
        accuracy: state.accuracy,
        latency: state.latency,
        learnt_at: state.learnt_at,
        observed: state.observed,
    })
}
