//! How often a network is right.

use mnas_net::{Graph, Weights};
use serde::{Deserialize, Serialize};

use crate::trainer::check_fit;
use crate::{
    Engine, Meta, Optimizer, Session, SessionSpec, Split, Storage, TrainError, TrainedFacts,
};

#[cfg(test)]
mod tests;

/// Images per call where no recipe says.
const BATCH: usize = 64;

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

/// Evaluates `weights` on every image of `split`, in evaluation mode and single precision. Images
/// are normalised as the weights' metadata says ([`crate::TrainedFacts`], written by [`crate::train`]), else as `meta` does.
///
/// # Errors
/// [`TrainError`] where graph, weights and data don't fit together, an answer is not finite or the
/// engine fails.
pub fn evaluate(
    engine: &dyn Engine,
    graph: &Graph,
    weights: &Weights,
    split: &Split,
    meta: &Meta,
    threads: usize,
) -> Result<Evaluation, TrainError> {
    check_fit(graph, meta, split)?;
    let normalize = TrainedFacts::read(weights).map(|facts| facts.normalize);
    let spec = SessionSpec {
        batch: BATCH.min(split.len()),
        threads,
        optimizer: Optimizer::Sgd {
            momentum: 0.0,
            nesterov: false,
        },
        weight_decay: 0.0,
        label_smoothing: 0.0,
        bn_momentum: 0.99,
        ema_decay: None,
        normalize: normalize.unwrap_or_else(|_| meta.normalize.clone()),
        storage: Storage::F32,
        seed: 0,
        trial: 0,
    };
    let mut session = engine.compile(graph, &spec)?;
    session.load(weights)?;
    tally(&mut *session, split, spec.batch, meta.classes.len())
}

/// An answer that can't be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer to image {image} is not {classes} finite values")]
pub struct AnswerError {
    /// The image's position in the split.
    pub image: usize,
    /// Values expected.
    pub classes: usize,
}

/// Evaluates whatever answers images with logits, one image at a time: an exported file in an
/// inference engine, say. `answer` takes image bytes `h x w x c` and gives a logit per class.
///
/// # Errors
/// What `answer` says, or an [`AnswerError`].
pub fn evaluate_with<E: From<AnswerError>>(
    split: &Split,
    classes: usize,
    mut answer: impl FnMut(&[u8]) -> Result<Vec<f32>, E>,
) -> Result<Evaluation, E> {
    let mut tally = Tally::new(classes);
    for i in 0..split.len() {
        let row = answer(&split.image(i))?;
        if row.len() != classes || !tally.count(usize::from(split.label(i)), &row) {
            return Err(AnswerError { image: i, classes }.into());
        }
    }
    Ok(tally.finish())
}

/// Evaluates what a session holds.
pub(crate) fn tally(
    session: &mut dyn Session,
    split: &Split,
    batch: usize,
    classes: usize,
) -> Result<Evaluation, TrainError> {
    let mut tally = Tally::new(classes);
    let (mut images, mut logits) = (vec![], vec![]);
    for start in (0..split.len()).step_by(batch) {
        let end = (start + batch).min(split.len());
        images.clear();
        (start..end).for_each(|i| images.extend_from_slice(&split.image(i)));
        session.logits(&images, &mut logits)?;
        for (i, row) in (start..end).zip(logits.chunks_exact(classes)) {
            if !tally.count(usize::from(split.label(i)), row) {
                return Err(TrainError::NotFinite { image: i });
            }
        }
    }
    Ok(tally.finish())
}

/// Answers counted so far.
struct Tally {
    confusion: Vec<Vec<u32>>,
    in_five: u64,
    loss: f64,
}

impl Tally {
    fn new(classes: usize) -> Self {
        Self {
            confusion: vec![vec![0; classes]; classes],
            in_five: 0,
            loss: 0.0,
        }
    }

    /// Counts an answer; false where it is not finite.
    fn count(&mut self, label: usize, row: &[f32]) -> bool {
        if !row.iter().all(|v| v.is_finite()) {
            return false;
        }
        self.confusion[label][largest(row)] += 1;
        self.in_five += u64::from(rank(row, label) < 5);
        self.loss += cross_entropy(row, label);
        true
    }

    fn finish(self) -> Evaluation {
        let confusion = self.confusion;
        let images: u64 = confusion.iter().flatten().map(|n| u64::from(*n)).sum();
        let n = images as f64;
        let right: u32 = (0..confusion.len()).map(|c| confusion[c][c]).sum();
        let share = |(c, row): (usize, &Vec<u32>)| {
            let all: u32 = row.iter().sum();
            f64::from(row[c]) / f64::from(all.max(1))
        };
        Evaluation {
            images,
            top1: f64::from(right) / n,
            top5: self.in_five as f64 / n,
            per_class: confusion.iter().enumerate().map(share).collect(),
            loss: self.loss / n,
            confusion,
        }
    }
}

/// The first of the largest values.
fn largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Values ahead of `label`'s: larger ones, and equal ones that stand before it.
fn rank(row: &[f32], label: usize) -> usize {
    let own = row[label];
    let ahead = |(i, v): &(usize, &f32)| **v > own || (**v == own && *i < label);
    row.iter().enumerate().filter(ahead).count()
}

/// `-ln softmax(row)[label]`.
fn cross_entropy(row: &[f32], label: usize) -> f64 {
    let top = f64::from(row[largest(row)]);
    let sum: f64 = row.iter().map(|v| (f64::from(*v) - top).exp()).sum();
    sum.ln() + top - f64::from(row[label])
}
