//! How a network is trained: everything that changes the outcome besides data, network and seed.

use serde::{Deserialize, Serialize};

use crate::{Augment, Meta, Optimizer, PadFill};

/// How the learning rate moves over a run; each is a factor on [`Recipe::learning_rate`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Rises linearly from 1/25 to 1 over the first `warmup` of the run, then falls along half a
    /// cosine to 1/1000.
    OneCycle {
        /// Share of the run that rises, 0 to 1.
        warmup: f64,
    },
    /// Rises linearly from 0 over `warmup_epochs`, then falls along half a cosine to 0.
    Cosine {
        /// Epochs that rise.
        warmup_epochs: f64,
    },
    /// Rises linearly from 0 over `warmup_epochs`, then is `rate^floor(epoch / every_epochs)`,
    /// epochs counted from the start of the run (MnasNet's reference code).
    StepDecay {
        /// Factor of one step down.
        rate: f64,
        /// Epochs between steps.
        every_epochs: f64,
        /// Epochs that rise.
        warmup_epochs: f64,
    },
    /// Stays 1.
    Constant,
}

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training images; may be a fraction.
    pub epochs: f64,
    /// Images per step.
    pub batch: usize,
    /// How gradients become changes of weights.
    pub optimizer: Optimizer,
    /// Peak learning rate of this batch size.
    pub learning_rate: f32,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// See [`crate::SessionSpec::weight_decay`].
    pub weight_decay: f32,
    /// Share of each target spread evenly over all classes.
    pub label_smoothing: f32,
    /// Share of batch norm's running statistics kept per step.
    pub bn_momentum: f32,
    /// Decay of the moving average of weights that is evaluated and exported, if any.
    pub ema_decay: Option<f32>,
    /// Random changes of training images.
    pub augment: Augment,
    /// Trains on a stratified subset of this many images; all where absent.
    pub train_images: Option<usize>,
    /// Epochs between validations during the run; only at its end where absent.
    pub eval_every: Option<f64>,
}

/// A setting of a recipe that can't be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("recipe: {setting} = {value}: expected {expected}")]
pub struct RecipeError {
    /// The setting's name.
    pub setting: &'static str,
    /// What was given.
    pub value: f64,
    /// What is allowed.
    pub expected: &'static str,
}

impl Recipe {
    /// A short training that ranks networks: 5 epochs, one cycle.
    pub fn proxy(meta: &Meta) -> Self {
        Self {
            epochs: 5.0,
            ..Self::full(meta)
        }
    }

    /// The training of finalists and references.
    pub fn full(meta: &Meta) -> Self {
        let small = meta.shape.h.max(meta.shape.w) < 64;
        Self {
            epochs: 30.0,
            batch: 64,
            optimizer: Optimizer::Sgd {
                momentum: 0.9,
                nesterov: true,
            },
            learning_rate: 0.1,
            schedule: Schedule::OneCycle { warmup: 0.25 },
            weight_decay: 1e-4,
            label_smoothing: 0.1,
            bn_momentum: 0.9,
            ema_decay: None,
            augment: Augment {
                random_resized_crop: !small,
                pad_crop: if small { meta.shape.h.div_ceil(8) } else { 0 },
                pad_fill: PadFill::Reflect,
                flip: meta.shape.c == 3,
                cutout: 0,
            },
            train_images: None,
            eval_every: None,
        }
    }

    /// The recipe of MnasNet's reference code for ImageNet (tensorflow/tpu,
    /// `models/official/mnasnet`): 350 epochs, batch 1024, RMSProp, learning rate 0.016 per 256
    /// images, label smoothing 0.1, moving average 0.9999.
    pub fn mnasnet() -> Self {
        Self {
            epochs: 350.0,
            batch: 1024,
            optimizer: Optimizer::RmsProp {
                decay: 0.9,
                momentum: 0.9,
                epsilon: 1e-3,
            },
            learning_rate: 0.064,
            schedule: Schedule::StepDecay {
                rate: 0.97,
                every_epochs: 2.4,
                warmup_epochs: 5.0,
            },
            weight_decay: 1e-5,
            label_smoothing: 0.1,
            bn_momentum: 0.99,
            ema_decay: Some(0.9999),
            augment: Augment {
                random_resized_crop: true,
                flip: true,
                ..Augment::NONE
            },
            train_images: None,
            eval_every: None,
        }
    }
}
