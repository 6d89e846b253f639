//! How a network is trained: everything that changes the outcome besides data, network and seed.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{Augment, Meta, Optimizer, PadFill, Storage};

#[cfg(test)]
mod tests;

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

impl Schedule {
    /// The factor at `epoch` of a run of `epochs`.
    pub fn factor(&self, epoch: f64, epochs: f64) -> f64 {
        let half_cosine = |share: f64| 0.5 + 0.5 * (PI * share.clamp(0.0, 1.0)).cos();
        match *self {
            Self::OneCycle { warmup } => {
                let (first, last) = (1.0 / 25.0, 1.0 / 1000.0);
                let done = epoch / epochs;
                if done < warmup {
                    first + (1.0 - first) * done / warmup
                } else {
                    let share = (done - warmup) / (1.0 - warmup);
                    last + (1.0 - last) * half_cosine(share)
                }
            }
            Self::Cosine { warmup_epochs } if epoch < warmup_epochs => epoch / warmup_epochs,
            Self::Cosine { warmup_epochs } => {
                half_cosine((epoch - warmup_epochs) / (epochs - warmup_epochs))
            }
            Self::StepDecay { warmup_epochs, .. } if epoch < warmup_epochs => epoch / warmup_epochs,
            Self::StepDecay {
                rate, every_epochs, ..
            } => rate.powi((epoch / every_epochs).floor() as i32),
            Self::Constant => 1.0,
        }
    }
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
    /// How activations lie in memory between layers.
    #[serde(default, skip_serializing_if = "Storage::is_f32")]
    pub storage: Storage,
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
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting outside its range.
    pub fn check(&self) -> Result<(), RecipeError> {
        let settings = [
            (
                "epochs",
                self.epochs,
                0.0,
                1e5,
                "more than 0, at most 100000",
            ),
            ("batch", self.batch as f64, 0.5, 65_536.0, "1 to 65536"),
            (
                "learning_rate",
                self.learning_rate.into(),
                0.0,
                1e3,
                "more than 0, at most 1000",
            ),
        ];
        for (setting, value, above, most, expected) in settings {
            check(setting, value, value > above && value <= most, expected)?;
        }
        let shares = [
            ("label_smoothing", Some(self.label_smoothing)),
            ("bn_momentum", Some(self.bn_momentum)),
            ("ema_decay", self.ema_decay),
        ];
        for (setting, value) in shares {
            let value = f64::from(value.unwrap_or(0.0));
            check(setting, value, (0.0..1.0).contains(&value), "0 to below 1")?;
        }
        let decay = f64::from(self.weight_decay);
        check(
            "weight_decay",
            decay,
            (0.0..=1.0).contains(&decay),
            "0 to 1",
        )?;
        let n = self.train_images.unwrap_or(1) as f64;
        check("train_images", n, n >= 1.0, "1 or more")?;
        let every = self.eval_every.unwrap_or(1.0);
        let positive = every > 0.0 && every.is_finite();
        check("eval_every", every, positive, "more than 0 epochs")?;
        let shift = self.augment.pad_crop as f64;
        let alone = !(self.augment.random_resized_crop && shift > 0.0);
        check(
            "augment.pad_crop",
            shift,
            alone,
            "0 beside random_resized_crop",
        )?;
        self.check_schedule()
    }

    fn check_schedule(&self) -> Result<(), RecipeError> {
        let warmup = |epochs: f64| {
            let fits = epochs >= 0.0 && epochs < self.epochs;
            check(
                "warmup_epochs",
                epochs,
                fits,
                "0 to less than the run's epochs",
            )
        };
        match self.schedule {
            Schedule::OneCycle { warmup } => check(
                "warmup",
                warmup,
                (0.0..1.0).contains(&warmup),
                "0 to below 1",
            ),
            Schedule::Cosine { warmup_epochs } => warmup(warmup_epochs),
            Schedule::StepDecay {
                rate,
                every_epochs,
                warmup_epochs,
            } => {
                check(
                    "rate",
                    rate,
                    rate > 0.0 && rate <= 1.0,
                    "more than 0, at most 1",
                )?;
                let positive = every_epochs > 0.0;
                check("every_epochs", every_epochs, positive, "more than 0 epochs")?;
                warmup(warmup_epochs)
            }
            Schedule::Constant => Ok(()),
        }
    }

    /// A short training that ranks networks: 6 epochs over 1,500 images (150 per class, if that is
    /// more), with [`Recipe::full`]'s settings but smaller batches at a lower rate, and no change of the
    /// images other than mirroring, and small shifts where a margin is kept. Batch and rate halve the noise of
    /// a seed on the built-in set (`docs/paper-studies.md`, `benches/src/bin/proxy_rank.rs`).
    pub fn proxy(meta: &Meta) -> Self {
        let full = Self::full(meta, 6.0);
        let margin = if full.augment.random_resized_crop {
            meta.shape.h / 16
        } else {
            0
        };
        Self {
            batch: 16,
            learning_rate: 0.015,
            train_images: Some((150 * meta.classes.len()).max(1500)),
            augment: Augment {
                random_resized_crop: false,
                pad_crop: margin,
                ..full.augment
            },
            ..full
        }
    }

    /// Epochs of [`Recipe::full`] where nothing is said.
    pub const FULL_EPOCHS: f64 = 30.0;

    /// The training of finalists and references: SGD in small batches, one cycle.
    /// Random crops from 64 pixels up, below that shifts by an eighth in
    /// [`Recipe::FULL_EPOCHS`] and by less in fewer, which see too few images to learn from as many
    /// places; only images with colour are mirrored, as gray ones are often written signs.
    pub fn full(meta: &Meta, epochs: f64) -> Self {
        let small = meta.shape.h.max(meta.shape.w) < 64;
        let length = (epochs / Self::FULL_EPOCHS).clamp(0.0, 1.0);
        let shift = (meta.shape.h as f64 / 8.0 * length).ceil() as usize;
        Self {
            epochs,
            batch: 32,
            optimizer: Optimizer::Sgd {
                momentum: 0.9,
                nesterov: true,
            },
            learning_rate: 0.05,
            schedule: Schedule::OneCycle { warmup: 0.25 },
            weight_decay: 1e-4,
            label_smoothing: 0.1,
            bn_momentum: 0.9,
            ema_decay: None,
            storage: Storage::F32,
            augment: Augment {
                random_resized_crop: !small,
                pad_crop: if small { shift } else { 0 },
                pad_fill: PadFill::Reflect,
                flip: meta.shape.c == 3,
                cutout: 0,
            },
            train_images: None,
            eval_every: None,
        }
    }

    /// [`Recipe::full`] with Muon in larger batches, which its steps along whole matrices take well
    /// (`docs/decisions/0009-muon.md`).
    pub fn muon(meta: &Meta, epochs: f64) -> Self {
        Self {
            batch: 256,
            optimizer: Optimizer::Muon {
                momentum: 0.6,
                kernels: 0.4,
            },
            learning_rate: 0.15,
            weight_decay: 5e-4,
            ..Self::full(meta, epochs)
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
            storage: Storage::F32,
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

fn check(
    setting: &'static str,
    value: f64,
    ok: bool,
    expected: &'static str,
) -> Result<(), RecipeError> {
    if ok {
        return Ok(());
    }
    Err(RecipeError {
        setting,
        value,
        expected,
    })
}
