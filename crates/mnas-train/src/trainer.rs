//! The training loop.

use std::path::{Path, PathBuf};

use mnas_net::{Graph, Shape, Weights};
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError, Evaluation, Meta, Recipe, RecipeError, Split};

/// One training run.
pub struct TrainJob<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Images trained on.
    pub train: &'a Split,
    /// Images evaluated on at the end (and every [`Recipe::eval_every`] epochs).
    pub validation: Option<&'a Split>,
    /// Facts of the data set.
    pub meta: &'a Meta,
    /// How to train.
    pub recipe: &'a Recipe,
    /// Seed of the study; fixes order, augmentation and initial weights.
    pub seed: u64,
    /// Trial within the study; fixes initial weights and dropout. All trials of a seed see the
    /// same images in the same order.
    pub trial: u64,
    /// Threads of the engine.
    pub threads: usize,
    /// Weights to start from; freshly drawn where absent.
    pub start: Option<&'a Weights>,
    /// File that keeps the run's state, so that a run with the same job continues from it.
    pub checkpoint: Option<&'a Path>,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs done.
    pub epoch: f64,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Mean training loss since the last curve point.
    pub loss: f64,
    /// Training images per second so far in this process.
    pub images_per_second: f64,
    /// Seconds left at this speed.
    pub eta_seconds: f64,
}

/// What the caller wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Write the checkpoint, if one was asked for, and return.
    Stop,
}

/// A point of the learning curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Epochs done.
    pub epoch: f64,
    /// Mean training loss since the point before.
    pub loss: f64,
    /// Validation accuracy, where evaluated here.
    pub accuracy: Option<f64>,
}

/// What a run hands back.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Weights for evaluation and export.
    pub weights: Weights,
    /// About ten points, the last at the end.
    pub curve: Vec<Point>,
    /// On the validation split; absent where there is none or the run was stopped.
    pub evaluation: Option<Evaluation>,
    /// Wall time, evaluations and the parts before a resume included.
    pub seconds: f64,
    /// Training speed of this process, evaluations not counted.
    pub images_per_second: f64,
    /// Memory held by the session.
    pub memory_bytes: u64,
    /// True where the caller stopped the run.
    pub stopped: bool,
}

/// Why a network could not be trained or evaluated.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss left the finite numbers.
    #[error(
        "training diverged at step {step} (epoch {epoch:.2}): the loss is not finite; a lower learning rate may help"
    )]
    Diverged {
        /// The first step whose loss was not finite; the first of a run is 1.
        step: u64,
        /// Epochs done before it.
        epoch: f64,
    },
    /// The engine failed for another reason.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A setting that can't be used.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A network for another image size.
    #[error("the network takes {network} images, the data set {data} has {images}")]
    Shape {
        /// The network's input.
        network: Shape,
        /// The data set's name.
        data: String,
        /// The data set's images.
        images: Shape,
    },
    /// A network with another number of answers.
    #[error("the network has {network} outputs, the data set {data} has {classes} classes")]
    Classes {
        /// The network's outputs.
        network: usize,
        /// The data set's name.
        data: String,
        /// The data set's classes.
        classes: usize,
    },
    /// An empty split.
    #[error("no images to work on: the split is empty")]
    NoImages,
    /// A checkpoint of another job.
    #[error(
        "{path}: the checkpoint belongs to another run (network, data, recipe, seed or trial differ); delete it to start afresh"
    )]
    OtherCheckpoint {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A checkpoint that can't be read.
    #[error("{path}: no valid checkpoint ({reason}); delete it to start afresh")]
    BadCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint could not be read or written.
    #[error("{path}: can't {action} the checkpoint: {error}")]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// Read or write.
        action: &'static str,
        /// The system's words.
        error: std::io::Error,
    },
}

/// Trains a network.
///
/// # Errors
/// [`TrainError`]; a diverged run is [`TrainError::Diverged`].
pub fn train(
    _engine: &dyn Engine,
    _job: &TrainJob,
    _on_progress: &mut dyn FnMut(&Progress) -> Control,
) -> Result<Trained, TrainError> {
    Err(TrainError::NoImages)
}
