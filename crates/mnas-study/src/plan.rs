//! Everything that decides a study's course, resolved and written out before the first event.

mod executor;

use mnas_deploy::{DeviceInfo, MeasurePlan};
use mnas_net::Shape;
use mnas_net::zoo;
use mnas_search::{BuildError, ControllerSpec, EarlyStop, ObjectiveKind, Space, SpaceError};
use mnas_train::{Meta, Normalize, Recipe, RecipeError};
use serde::{Deserialize, Serialize};

pub use executor::{ClusterPlan, ExecutorPlan, RayPlan, SlurmPlan};

/// A study's plan. The store's first event holds it; nothing in it has a default here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The images.
    pub data: DataPlan,
    /// The device, resolved to what stood behind its name when the study was planned.
    pub device: DevicePlan,
    /// The search space, whole.
    pub space: SpacePlan,
    /// How accuracy and latency become one number.
    pub objective: ObjectiveKind,
    /// Where the latency target comes from.
    pub target: Target,
    /// The algorithm and its settings.
    pub controller: ControllerSpec,
    /// Seed of every random stream.
    pub seed: u64,
    /// Proposals, duplicates included.
    pub trials: u64,
    /// Most seconds of searching (not of the final stage), summed over all runs. A batch that is
    /// expected to overrun is not begun.
    pub seconds_max: Option<f64>,
    /// Proposals per batch. A batch sees the results of earlier batches only, so this and not the
    /// number of workers decides what is proposed.
    pub batch: u32,
    /// Trials trained at a time.
    pub workers: usize,
    /// Threads of each training.
    pub threads: usize,
    /// How trials are trained.
    pub proxy: Recipe,
    /// How finalists and references are trained.
    pub full: Recipe,
    /// Networks of the search that are trained in full; 0 ends the study with the search.
    pub finalists: usize,
    /// Families of the zoo that finalists are compared with, as `mobilenet-v2`; each is represented
    /// by its widest member within the target.
    pub references: Vec<String>,
    /// How trials are measured.
    pub measure: MeasurePlan,
    /// How finalists and references are measured, interleaved.
    pub measure_final: MeasurePlan,
    /// Limits besides latency.
    pub limits: Limits,
    /// A network whose latency is over `too_slow` times the target isn't trained.
    pub too_slow: f64,
    /// When a trial's training is cut short; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    /// Attempts at a trial whose worker dies.
    pub attempts_max: u32,
    /// Most seconds of one training, after which its worker is ended and the trial has failed.
    pub job_seconds_max: Option<f64>,
    /// When failures end the study.
    pub failures: FailureBudget,
    /// Where trials are trained.
    #[serde(default)]
    pub executor: ExecutorPlan,
    /// Batches that may be proposed before an earlier one is observed. Batch `b` is proposed in the
    /// state that batch `b - 1 - staleness` left, whenever that comes, so that proposals depend on
    /// it and not on who is quick. 0 is one batch after the other; more keeps many workers busy.
    #[serde(default)]
    pub staleness: u32,
    /// Whether TensorBoard's event files are written while the study runs.
    #[serde(default = "yes")]
    pub tensorboard: bool,
}

/// Plans of before the key existed want the files too.
fn yes() -> bool {
    true
}

/// The images of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPlan {
    /// A name or path that [`mnas_train::open`] knows.
    pub source: String,
    /// Side that images are resized to, where the data set's own isn't kept.
    pub image_size: Option<usize>,
    /// Share of the training images that is held out to validate.
    pub validation_fraction: f64,
    /// Seed of the splits that are cut from the images.
    pub split_seed: u64,
    /// Hash of the images and labels as opened; resume refuses others.
    pub fingerprint: String,
    /// Height, width and channels of an image.
    pub shape: [usize; 3],
    /// Class names, in the order of labels.
    pub classes: Vec<String>,
    /// Normalisation of the training split.
    pub normalize: Normalize,
}

impl DataPlan {
    /// The plan of an opened data set.
    pub fn of(meta: &Meta, image_size: Option<usize>, split_seed: u64) -> Self {
        Self {
            source: meta.source.clone(),
            image_size,
            validation_fraction: meta.validation_fraction,
            split_seed,
            fingerprint: meta.fingerprint.clone(),
            shape: [meta.shape.h, meta.shape.w, meta.shape.c],
            classes: meta.classes.clone(),
            normalize: meta.normalize.clone(),
        }
    }

    /// The shape of an image.
    pub fn input(&self) -> Shape {
        let [h, w, c] = self.shape;
        Shape::new(h, w, c)
    }
}

/// The device of a study; see [`mnas_deploy::DeviceInfo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicePlan {
    /// The name that opens it, as `host:rten`.
    pub name: String,
    /// What the device is, as the processor's model name.
    pub device: String,
    /// Inference engine and version.
    pub engine: String,
    /// Hash of the engine's library, where it is loaded at run time.
    pub library_hash: Option<String>,
    /// Whether latency is predicted rather than measured.
    pub predicted: bool,
}

impl From<&DeviceInfo> for DevicePlan {
    fn from(info: &DeviceInfo) -> Self {
        Self {
            name: info.name.clone(),
            device: info.device.clone(),
            engine: info.engine.clone(),
            library_hash: info.library_hash.clone(),
            predicted: info.predicted,
        }
    }
}

impl std::fmt::Display for DevicePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let library = self.library_hash.as_deref().unwrap_or("built in");
        write!(
            f,
            "{} ({}, {}, library {library})",
            self.name, self.device, self.engine
        )
    }
}

/// A search space by name and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacePlan {
    /// Its name, for people.
    pub name: String,
    /// Its text; what counts.
    pub text: String,
}

/// Where the latency target comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Target {
    /// Given.
    Fixed {
        /// Milliseconds per image.
        target_ms: f64,
    },
    /// The latency of a network of the zoo, measured before the search.
    Reference {
        /// Its name, as `mobilenet-v2-0.5x`.
        name: String,
    },
}

/// Limits besides latency; a network over one is infeasible and neither measured nor trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most trainable values.
    pub params: Option<u64>,
    /// Most bytes of the ONNX file.
    pub file_bytes: Option<u64>,
    /// Most bytes of float32 activations alive at once.
    pub activation_bytes: Option<u64>,
}

/// When failures end the study: they mean that something is wrong with the machine, the data or
/// the plan rather than with a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureBudget {
    /// The study ends where all of the first so many evaluated trials failed; 0 for never.
    pub first: u32,
    /// Number of the newest evaluated trials looked at.
    pub window: u32,
    /// The study ends where a larger share of a full window failed.
    pub share: f64,
}

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The space's text.
    #[error("search space {name}: {source}")]
    Space {
        /// The space's name.
        name: String,
        /// Where and why.
        source: SpaceError,
    },
    /// A setting outside its range.
    #[error("{setting} is {value}: expected {expected}")]
    Range {
        /// The setting's name.
        setting: &'static str,
        /// What the plan says.
        value: f64,
        /// What is allowed.
        expected: &'static str,
    },
    /// A reference or target that the zoo doesn't hold.
    #[error("{name} is no network of the zoo: {source}")]
    Zoo {
        /// The name.
        name: String,
        /// The zoo's words.
        source: zoo::ZooError,
    },
    /// An address that isn't one of Ray's.
    #[error(
        "the Ray address {address:?} isn't of the form http://HOST:8265 (the dashboard's; https isn't supported)"
    )]
    RayAddress {
        /// The address.
        address: String,
    },
    /// The controller can't be built.
    #[error(transparent)]
    Controller(#[from] BuildError),
    /// A recipe that can't be used.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A measuring plan that can't be followed.
    #[error("measuring plan: {0}")]
    Measure(#[from] mnas_deploy::PlanError),
}

impl Plan {
    /// The search space.
    ///
    /// # Errors
    /// [`PlanError::Space`].
    pub fn space(&self) -> Result<Space, PlanError> {
        let SpacePlan { name, text } = &self.space;
        Space::parse(name, text).map_err(|source| PlanError::Space {
            name: name.clone(),
            source,
        })
    }

    /// Accuracy of guessing.
    pub fn chance(&self) -> f64 {
        1.0 / self.data.classes.len().max(1) as f64
    }

    /// Checks every setting before anything is spent on the study.
    ///
    /// # Errors
    /// The first [`PlanError`].
    pub fn check(&self) -> Result<(), PlanError> {
        self.check_ranges()?;
        self.executor.check()?;
        self.space()?;
        self.controller.check()?;
        let target = match &self.target {
            Target::Reference { name } => Some(name),
            Target::Fixed { .. } => None,
        };
        for name in self.references.iter().chain(target) {
            zoo::find(name).map_err(|source| PlanError::Zoo {
                name: name.clone(),
                source,
            })?;
        }
        self.proxy.check()?;
        self.full.check()?;
        self.measure.check()?;
        self.measure_final.check()?;
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), PlanError> {
        let target_ms = match self.target {
            Target::Fixed { target_ms } => target_ms,
            Target::Reference { .. } => 1.0,
        };
        let at_least_1 = [
            ("trials", self.trials as f64),
            ("batch", f64::from(self.batch)),
            ("workers", self.workers as f64),
            ("threads", self.threads as f64),
            ("attempts_max", f64::from(self.attempts_max)),
            ("too_slow", self.too_slow),
        ];
        let positive = [
            ("target_ms", target_ms),
            ("seconds_max", self.seconds_max.unwrap_or(1.0)),
            ("job_seconds_max", self.job_seconds_max.unwrap_or(1.0)),
        ];
        let range = |setting, value, expected| {
            Err(PlanError::Range {
                setting,
                value,
                expected,
            })
        };
        // Comparisons are such that a NaN fails them.
        if let Some((name, value)) = at_least_1
            .iter()
            .find(|(_, v)| !(*v >= 1.0 && v.is_finite()))
        {
            return range(name, *value, "a finite number of at least 1");
        }
        if let Some((name, value)) = positive.iter().find(|(_, v)| !(*v > 0.0 && *v < 1e12)) {
            return range(name, *value, "a positive number");
        }
        if self.data.classes.len() < 2 {
            return range("data.classes", self.data.classes.len() as f64, "at least 2");
        }
        if let Some(rule) = &self.early_stop {
            // The last point is the end.
            if !(1..10).contains(&rule.point) {
                return range("early_stop.point", rule.point as f64, "1 to 9");
            }
            if rule.best == 0 || rule.deviations.is_nan() || rule.deviations < 0.0 {
                let best = rule.best as f64;
                return range(
                    "early_stop.best or deviations",
                    best,
                    "at least 1, and at least 0",
                );
            }
        }
        if !(0.0..=1.0).contains(&self.failures.share) {
            return range("failures.share", self.failures.share, "0 to 1");
        }
        Ok(())
    }
}
