//! How often a network is right.

use mnas_net::{Graph, Weights};
use serde::{Deserialize, Serialize};

use crate::{Engine, Meta, Split, TrainError};

/// How a network does on a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images evaluated.
    pub images: u64,
    /// Share of images whose largest logit is their label's.
    pub top1: f64,
    /// Share of images whose label is among the five largest logits (all, of fewer classes).
    pub top5: f64,
    /// Top-1 share of each class's images; 0 for a class without images in the split.
    pub per_class: Vec<f64>,
    /// Images by `[label][answer]`.
    pub confusion: Vec<Vec<u32>>,
    /// Mean cross-entropy, without label smoothing.
    pub loss: f64,
}

/// Evaluates `weights` on every image of `split`, in evaluation mode.
///
/// # Errors
/// [`TrainError`] where graph, weights and data don't fit together or the engine fails.
pub fn evaluate(
    _engine: &dyn Engine,
    _graph: &Graph,
    _weights: &Weights,
    _split: &Split,
    _meta: &Meta,
    _threads: usize,
) -> Result<Evaluation, TrainError> {
    Err(TrainError::NoImages)
}
