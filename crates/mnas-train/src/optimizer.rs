//! Optimisers by name and setting; their arithmetic lies in `mnas-kernels`.

use serde::{Deserialize, Serialize};

/// How a gradient becomes a change of weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent: `m = momentum·m + g`, `w -= lr·m`;
    /// with Nesterov's momentum `w -= lr·(g + momentum·m)`.
    Sgd {
        /// Share of the last update that is kept; 0 for plain descent.
        momentum: f32,
        /// Nesterov's variant.
        nesterov: bool,
    },
    /// RMSProp as TensorFlow 1 computes it, which the MnasNet reference code trains with:
    /// `s = decay·s + (1-decay)·g²`, `m = momentum·m + lr·g/sqrt(s + epsilon)`, `w -= m`.
    /// `s` starts at 1 (`tf.train.RMSPropOptimizer`, slot `rms`), `m` at 0. PyTorch's differs:
    /// its epsilon stands outside the root and its `s` starts at 0.
    RmsProp {
        /// Share of the mean square that is kept.
        decay: f32,
        /// Share of the last update that is kept.
        momentum: f32,
        /// Added to the mean square under the root.
        epsilon: f32,
    },
    /// Muon (Jordan et al. 2024) as its reference code for CIFAR-10 has it: kernels of convolutions that
    /// only a batch norm reads are scaled to a norm of `sqrt(outputs)` before each step, and move by
    /// `lr·kernels` times an almost orthogonal matrix ([`mnas_kernels::muon`]); weight decay would do
    /// nothing to them. Every other tensor moves as by [`Optimizer::Sgd`] with Nesterov's momentum 0.9.
    Muon {
        /// Share of a kernel's momentum that is kept.
        momentum: f32,
        /// The kernels' learning rate as a multiple of the run's.
        kernels: f32,
    },
}
