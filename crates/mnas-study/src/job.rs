//! Jobs and their answers: what crosses the line between the loop and a worker, as JSON.

use std::path::PathBuf;

use mnas_deploy::{EngineId, Format, MeasurePlan, ModelMeta};
use mnas_net::Shape;
use mnas_search::{CurvePoint, Failure, Int8Outcome, LatencyRecord};
use mnas_train::{Cut, Recipe};
use serde::{Deserialize, Serialize};

use crate::plan::DevicePlan;

/// Names a job within its study, for as long as the study lives: `trial-17-train`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub String);

/// A network and what it is to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    /// What people call it.
    pub name: String,
    /// Its canonical text.
    pub spec: String,
    /// Height, width and channels of an image.
    pub input: [usize; 3],
    /// Number of classes.
    pub classes: usize,
}

impl Net {
    /// The shape of an image.
    pub fn shape(&self) -> Shape {
        let [h, w, c] = self.input;
        Shape::new(h, w, c)
    }
}

/// Which weights a network runs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightsFrom {
    /// Freshly drawn; latency doesn't depend on the values.
    Seed {
        /// The study's seed.
        seed: u64,
        /// The trial.
        trial: u64,
    },
    /// A safetensors file.
    File(PathBuf),
}

/// How to open the study's images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataJob {
    /// A name or path that [`mnas_train::open`] knows.
    pub source: String,
    /// Side that images are resized to.
    pub image_size: Option<usize>,
    /// Share of the training images held out to validate.
    pub validation_fraction: f64,
    /// Seed of the splits that are cut from the images.
    pub split_seed: u64,
    /// Folder of decoded images.
    pub cache_dir: PathBuf,
    /// The fingerprint that the images must have.
    pub fingerprint: String,
}

/// Measures networks, interleaved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureJob {
    /// The device, which must be the one planned.
    pub device: DevicePlan,
    /// Networks and their weights.
    pub nets: Vec<(Net, WeightsFrom)>,
    /// How often and how long.
    pub plan: MeasurePlan,
}

/// Trains one network and validates it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainJob {
    /// The network.
    pub net: Net,
    /// The images.
    pub data: DataJob,
    /// How to train.
    pub recipe: Recipe,
    /// The study's seed.
    pub seed: u64,
    /// The trial, which with the seed fixes the initial weights.
    pub trial: u64,
    /// Threads to train with.
    pub threads: usize,
    /// When it isn't worth going on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Where to keep the weights, if they are wanted.
    pub weights_out: Option<PathBuf>,
    /// Where to keep the run's state, so that a run that was cut off goes on.
    pub checkpoint: Option<PathBuf>,
}

/// Evaluates trained networks on the test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestJob {
    /// Networks and their weights.
    pub nets: Vec<(Net, WeightsFrom)>,
    /// The images.
    pub data: DataJob,
    /// Threads to evaluate with.
    pub threads: usize,
    /// Whether and where to test them in 8 bits too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Int8Job>,
}

/// Tests networks in 8 bits, as the files that ship.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Int8Job {
    /// The engine to test in.
    pub engine: EngineId,
    /// What reports call it.
    pub engine_label: String,
    /// What to write, in the order of the networks.
    pub files: Vec<Int8Target>,
}

/// Files of one network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Int8Target {
    /// Formats and paths.
    pub paths: Vec<(Format, PathBuf)>,
    /// What the files say of the network.
    pub meta: ModelMeta,
}

/// What a worker can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "jobs are few, and written as a line of JSON rather than moved about"
)]
pub enum Job {
    /// Opens the images, decoding them where that wasn't done yet.
    OpenData(DataJob),
    /// Opens the device of that name and says what it is.
    OpenDevice(String),
    /// See [`MeasureJob`].
    Measure(MeasureJob),
    /// See [`TrainJob`].
    Train(TrainJob),
    /// See [`TestJob`].
    Test(TestJob),
}

impl Job {
    /// Whether it asks a device for latencies.
    pub fn measures(&self) -> bool {
        matches!(self, Job::Measure(_))
    }

    /// Whether no other job may run beside it on the same cores. A phone's or board's latencies
    /// don't depend on what this machine does, and several of them measure side by side.
    pub fn exclusive(&self) -> bool {
        matches!(self, Job::Measure(job) if !mnas_deploy::is_remote(&job.device.name))
    }
}

/// Latencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// In the order of the job's networks.
    pub records: Vec<Result<LatencyRecord, Failure>>,
    /// Seconds that measuring took, export included.
    pub seconds: f64,
}

/// A trained network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedNet {
    /// Validation accuracy, 0 to 1.
    pub accuracy: f64,
    /// Learning curve.
    pub curve: Vec<CurvePoint>,
    /// Seconds trained, evaluations and parts before a resume included.
    pub seconds: f64,
}

/// A tested network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// Accuracy on the test split, 0 to 1.
    pub top1: f64,
    /// Share of images whose label is among the five likeliest.
    pub top5: f64,
    /// The same in 8 bits, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Int8Outcome>,
}

/// What a job answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutput {
    /// Of [`Job::OpenData`]: the images' fingerprint.
    Data(String),
    /// Of [`Job::OpenDevice`].
    Device(DevicePlan),
    /// Of [`Job::Measure`].
    Measured(Measured),
    /// Of [`Job::Train`].
    Trained(TrainedNet),
    /// Of [`Job::Train`] with a [`TrainJob::cut`] that came about: curve and seconds up to there.
    CutShort(Vec<CurvePoint>, f64),
    /// Of [`Job::Test`], in the order of its networks.
    Tested(Vec<Tested>),
}

/// Why a job has no answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobFailure {
    /// The network failed; a fact about it.
    Net(Failure),
    /// Disk, device or data failed; says nothing of the network, worth another attempt.
    Infrastructure {
        /// What was reported.
        message: String,
    },
    /// Data or device are not the planned ones; the study can't go on.
    Changed {
        /// Which: `data` or `device`.
        what: Changed,
        /// What the plan says.
        planned: String,
        /// What was found.
        found: String,
    },
}

/// What of a study's surroundings changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// The images.
    Data,
    /// The device, its engine, the engine's version or library.
    Device,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobProgress {
    /// Share done, 0 to 1.
    pub fraction: f64,
    /// Epochs trained so far.
    pub epoch: Option<f64>,
    /// Mean training loss of late; absent where it isn't finite.
    pub loss: Option<f64>,
    /// Validation accuracy, where just computed.
    pub accuracy: Option<f64>,
}

impl JobProgress {
    /// Progress of a job that trains nothing.
    pub(crate) fn at(fraction: f64) -> Self {
        Self {
            fraction,
            epoch: None,
            loss: None,
            accuracy: None,
        }
    }
}
