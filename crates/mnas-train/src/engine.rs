//! The training engine: compiles a graph once into a session that trains and evaluates it.
//!
//! The seam is coarse, never per operation, and batches cross it as bytes, so that an engine may
//! keep weights, activations and optimiser state on its own device.

use mnas_net::{Graph, Weights, WeightsError};
use serde::{Deserialize, Serialize};

use crate::Optimizer;

mod arena;
mod pass;
mod plan;
mod session;
mod tensors;
#[cfg(test)]
mod tests;

use session::CpuSession;

/// Makes sessions; one per kind of processor.
pub trait Engine: Send + Sync {
    /// Lower-case name, as `cpu`.
    fn name(&self) -> &'static str;

    /// Plans the training of `graph`: memory, fusions, order of work. Weights are zero until
    /// [`Session::load`].
    ///
    /// # Errors
    /// [`EngineError::Unsupported`], [`EngineError::OutOfMemory`] or [`EngineError::Spec`].
    fn compile(&self, graph: &Graph, spec: &SessionSpec) -> Result<Box<dyn Session>, EngineError>;
}

/// What a session needs to know besides the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionSpec {
    /// Most images in one step.
    pub batch: usize,
    /// Threads of the session's own pool; 1 means the caller's thread and no pool.
    pub threads: usize,
    /// How gradients become changes of weights.
    pub optimizer: Optimizer,
    /// `d` of the penalty `d/2·Σw²` over the tensors whose role decays
    /// ([`mnas_net::ParamRole::decays`]), but for kernels that [`Optimizer::Muon`] moves; its
    /// gradient `d·w` is added to the loss's. The loss
    /// that [`Session::step`] reports doesn't include it.
    pub weight_decay: f32,
    /// Share of each target spread evenly over all classes.
    pub label_smoothing: f32,
    /// Share of batch norm's running mean and variance kept per step (0.99 keeps 99 %).
    pub bn_momentum: f32,
    /// Decay of the exponential moving average of weights and running statistics;
    /// [`Session::logits`] and [`Session::weights`] use the average where this is set.
    /// The decay of step `t` (first is 1) is `min(decay, (1+t)/(10+t))`, as
    /// `tf.train.ExponentialMovingAverage` with `num_updates`.
    pub ema_decay: Option<f32>,
    /// How bytes become network inputs.
    pub normalize: Normalize,
    /// How activations and their gradients lie in memory between layers.
    pub storage: Storage,
    /// Seed of the study.
    pub seed: u64,
    /// Trial within the study; with `seed` it fixes the dropout masks.
    pub trial: u64,
}

/// How activations, and the gradients at them, lie in memory between layers. Everything else is
/// f32 either way: arithmetic, sums, weights, their gradients and the optimiser's state, and of the
/// activations images, answers, vectors (features of one pixel, as squeeze-excitation's) and what
/// pooling windows, concatenations, dropout and activations that stand alone read and write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// As single precision.
    #[default]
    F32,
    /// As bfloat16, f32 rounded to 8 bits of precision: half the bytes to hold and to move.
    Bf16,
}

impl Storage {
    /// Bfloat16 where `yes`, else f32.
    pub fn bf16_if(yes: bool) -> Self {
        if yes { Self::Bf16 } else { Self::F32 }
    }

    /// Whether it is the default.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

/// Input normalisation: `(byte/255 - mean) / std`, per channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalize {
    /// Mean of each channel on the scale 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel on the scale 0 to 1.
    pub std: Vec<f32>,
}

impl Normalize {
    /// An image of bytes, channels last, as the network sees it.
    pub fn apply(&self, image: &[u8]) -> Vec<f32> {
        let channels = self.mean.len();
        let value = |(i, p): (usize, &u8)| {
            let c = i % channels;
            (f32::from(*p) / 255.0 - self.mean[c]) / self.std[c]
        };
        image.iter().enumerate().map(value).collect()
    }
}

/// What one training step reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepStats {
    /// Mean cross-entropy of the batch, label smoothing included, weight decay not.
    pub loss: f32,
    /// Images whose largest logit is their label's.
    pub correct: u32,
}

/// One network in training. Results are the same bits for the same inputs and thread count.
pub trait Session: Send {
    /// Trains on `labels.len()` images, at most [`SessionSpec::batch`]. `images` are bytes
    /// `n x h x w x c`, already augmented.
    ///
    /// # Errors
    /// [`EngineError::Diverged`] where the loss is not finite, in which case weights are left as
    /// they were; [`EngineError::Batch`] or [`EngineError::Label`] where the inputs don't fit.
    fn step(
        &mut self,
        images: &[u8],
        labels: &[u16],
        learning_rate: f32,
    ) -> Result<StepStats, EngineError>;

    /// Replaces `out` by the answers `n x outputs` for at most [`SessionSpec::batch`] images
    /// `n x h x w x c`, with running statistics, without dropout, with averaged weights where on.
    ///
    /// # Errors
    /// [`EngineError::Batch`] where the length is no whole number of images or too large.
    fn logits(&mut self, images: &[u8], out: &mut Vec<f32>) -> Result<(), EngineError>;

    /// The weights that [`Session::logits`] uses, running statistics included.
    fn weights(&self) -> Weights;

    /// Starts afresh from these weights: optimiser state, averages and step counter are reset.
    ///
    /// # Errors
    /// [`EngineError::Weights`] where they are not the graph's.
    fn load(&mut self, weights: &Weights) -> Result<(), EngineError>;

    /// Everything that an exact continuation needs: raw weights under their own names, averages
    /// as `ema/NAME`, optimiser slots as `optimizer/SLOT/NAME`, and `step` (two values: high and
    /// low 24 bits of the number of steps taken).
    fn state(&self) -> Weights;

    /// Continues from a state of the same graph and kind of spec.
    ///
    /// # Errors
    /// [`EngineError::Weights`] where a tensor is missing, of another shape or not known.
    fn load_state(&mut self, state: &Weights) -> Result<(), EngineError>;

    /// Bytes held by the session: activations, gradients, weights, optimiser and scratch.
    fn memory_bytes(&self) -> u64;
}

/// Why an engine could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The loss is not a finite number.
    #[error("training diverged at step {step}: the loss is not finite")]
    Diverged {
        /// Step whose loss was not finite; the first is 1.
        step: u64,
    },
    /// The plan does not fit in memory.
    #[error("out of memory: the plan needs {bytes} bytes")]
    OutOfMemory {
        /// What the plan needs.
        bytes: u64,
    },
    /// Weights or state that don't belong to the graph.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A primitive, or a use of it, that the engine does not train.
    #[error("{node}: the {engine} engine does not support {op} here")]
    Unsupported {
        /// The primitive's name.
        op: &'static str,
        /// The node's name.
        node: String,
        /// The engine's name.
        engine: &'static str,
    },
    /// Images that are no whole number, not as many as labels, none, or more than the batch.
    #[error(
        "a batch of {bytes} bytes for {labels} label(s): expected 1 to {batch} images of {image_bytes} bytes"
    )]
    Batch {
        /// Bytes given.
        bytes: usize,
        /// Labels given; equal to the whole images where none were needed.
        labels: usize,
        /// Most images in one batch.
        batch: usize,
        /// Bytes of one image.
        image_bytes: usize,
    },
    /// A label outside the network's classes.
    #[error("label {label} at position {position}: the network has {classes} classes")]
    Label {
        /// The label.
        label: u16,
        /// Its position in the batch.
        position: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// A setting outside its range.
    #[error("session setting {setting} = {value}: expected {expected}")]
    Spec {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        expected: &'static str,
    },
    /// The operating system refused the session's threads.
    #[error("could not start {threads} threads: {reason}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's words.
        reason: rayon::ThreadPoolBuildError,
    },
}

/// Trains on the host's processor, with SIMD kernels chosen at run time.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuEngine;

/// The engine for the host's processor.
pub fn cpu() -> CpuEngine {
    CpuEngine
}

impl Engine for CpuEngine {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn compile(&self, graph: &Graph, spec: &SessionSpec) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(CpuSession::new(graph, spec)?))
    }
}
