//! The command line: what a user types. Parsed by clap, checked by the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Finds a convolutional network for your images on your device.
#[derive(Debug, Parser)]
#[command(name = "mnas", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "NET is a zoo name (mnasnet-a1, mobilenet-v2-0.5x@160), block lines or a file of them, \
a .safetensors file that mnas wrote, DIR:TRIAL or DIR:best.\n\
D (data) is a known name (fashion-mnist-10k, fashion-mnist, ...), a folder with a folder per class, a folder \
with train/ and val/ or test/, or a .tar of either.\n\
V (device) is host, host:rten, host:litert, host:ort, adb, adb:SERIAL, ssh:HOST, pixel1, table:FILE, linear:FILE or \
command:PROGRAM.\n\n\
Exit codes: 0 ok, 1 bug, 2 usage or config, 3 data, 4 device, 5 store."
)]
pub(crate) struct Cli {
    /// Print one JSON object on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on standard error (repeat for more).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Search a network for your images on your device; with no arguments, the built-in example.
    Search(SearchArgs),
    /// Continue a search that was interrupted, or extend one that ended.
    Resume(ResumeArgs),
    /// Write the report of a study and print its summary.
    Report(ReportArgs),
    /// Show a study live in the browser, also while a search runs on it.
    #[cfg(feature = "dashboard")]
    Dashboard(DashboardArgs),
    /// Set studies side by side.
    Compare(CompareArgs),
    /// Write a study's trials for pandas, Optuna or MLflow.
    ExportStudy(ExportStudyArgs),
    /// Train one network.
    Train(TrainArgs),
    /// Test a trained network: top-1, top-5 and per class.
    Eval(EvalArgs),
    /// Classify images with a trained network or an exported file.
    Predict(PredictArgs),
    /// Write a network as ONNX or TFLite.
    Export(ExportArgs),
    /// Read weights of timm, torchvision or TensorFlow into a network of mnas.
    Import(ImportArgs),
    /// Print parameters, multiply-accumulates and peak activation memory of a network.
    Cost(CostArgs),
    /// Measure a network's latency on a device.
    Measure(MeasureArgs),
    /// The devices of this machine.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// The built-in reference networks, beside their published figures.
    Zoo,
    /// Check, before a search, that its short training ranks networks as the full one does.
    ProxyCheck(ProxyCheckArgs),
    /// Describe a search space: size, decisions, cost of samples.
    Space(SpaceArgs),
    /// Print the JSON schema of the study file.
    Schema,
    /// Measure for another machine: answers JSON lines (`adb:` and `ssh:` start it by themselves).
    Agent(AgentArgs),
    /// Run trials for a search (started by mnas itself).
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// Arguments of `mnas agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Inference engine: litert, ort or rten; without, the first of them that is here.
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<mnas_deploy::EngineId>,
}

/// Arguments of `mnas worker`: none for a worker that is handed jobs on its standard input, both
/// for a job of a cluster.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Study whose jobs these are: its folder.
    #[arg(long, value_name = "DIR", requires = "bundle")]
    pub study: Option<String>,
    /// Name of the bundle of trials to run.
    #[arg(long, value_name = "NAME", requires = "study")]
    pub bundle: Option<String>,
}

/// `mnas device ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// List devices and inference engines found here.
    List,
    /// Measure networks of a space on a device, fit a latency predictor and judge it.
    Calibrate(CalibrateArgs),
}

/// Arguments of `mnas device calibrate`.
#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// Device to measure on.
    #[arg(long, value_name = "V")]
    pub device: String,
    /// Space whose networks are to be predicted: a built-in name or a file.
    #[arg(long, value_name = "S")]
    pub space: String,
    /// File to write, for `linear:FILE`; the chart goes beside it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Side of the square images, in pixels (default: the space's own).
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
    /// Whole networks that the predictor is fitted to.
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub networks: usize,
    /// Whole networks that judge it.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub held_out: usize,
    /// Single layers that it is fitted to as well.
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub parts: usize,
    /// Classes of the networks.
    #[arg(long, default_value_t = 10)]
    pub classes: usize,
    /// Core to pin to (default: the device's choice).
    #[arg(long)]
    pub core: Option<usize>,
    /// Seed of the networks and their order.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Arguments of `mnas search`. Flags override the study file.
#[derive(Debug, Args, Default)]
pub(crate) struct SearchArgs {
    /// Study file (TOML); see docs/reference/study.toml.
    pub study: Option<PathBuf>,
    /// Images to classify.
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
    /// Device whose latency counts.
    #[arg(long, value_name = "V")]
    pub device: Option<String>,
    /// Target latency in milliseconds; without it, a reference network's latency is the target.
    #[arg(long, value_name = "T")]
    pub target_ms: Option<f64>,
    /// Number of proposals.
    #[arg(long, value_name = "N")]
    pub trials: Option<u64>,
    /// Search space: a built-in name or a file.
    #[arg(long, value_name = "S")]
    pub space: Option<String>,
    /// Search algorithm: surrogate, surrogate-front, ppo, ppo-paper, reinforce, evolution, nsga2 or random.
    #[arg(long)]
    pub algorithm: Option<String>,
    /// Side of the square images that networks see, in pixels.
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
    /// Number format in which candidates are measured.
    #[arg(long)]
    pub precision: Option<Precision>,
    /// Seed of every random choice.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Time limit of the search stage in minutes.
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// Worker processes that train side by side.
    #[arg(long, value_name = "W")]
    pub workers: Option<usize>,
    /// Study directory to create.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print the plan that would run, as JSON, and stop.
    #[arg(long)]
    pub print_plan: bool,
}

/// Number format of measured candidates.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    /// 32-bit floating point.
    Float,
    /// 8-bit integers.
    Int8,
}

impl From<Precision> for mnas_deploy::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Float => Self::Float,
            Precision::Int8 => Self::Int8,
        }
    }
}

/// Arguments of `mnas proxy-check`. Flags override the study file, which is a search's.
#[derive(Debug, Args)]
pub(crate) struct ProxyCheckArgs {
    /// Study file (TOML); see docs/reference/study.toml.
    pub study: Option<PathBuf>,
    /// Images to classify.
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
    /// Device whose latency spreads the networks.
    #[arg(long, value_name = "V")]
    pub device: Option<String>,
    /// Search space: a built-in name or a file.
    #[arg(long, value_name = "S")]
    pub space: Option<String>,
    /// Side of the square images that networks see, in pixels.
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
    /// Networks trained both ways; three times as many are measured and trained briefly.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub networks: usize,
    /// Seed of every random choice.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Worker processes that train side by side.
    #[arg(long, value_name = "W")]
    pub workers: Option<usize>,
    /// Folder that keeps what was trained, so that the same command goes on after a stop.
    #[arg(long, default_value = "mnas-proxy-check")]
    pub dir: PathBuf,
}

/// Arguments of `mnas resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Study directory.
    pub dir: PathBuf,
    /// Extend the search to this many proposals in all.
    #[arg(long, value_name = "N")]
    pub trials: Option<u64>,
}

/// Arguments of `mnas report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Study directory.
    pub dir: PathBuf,
    /// Also write each figure into this folder, as SVG and, where mnas was built with the feature
    /// png, as PNG.
    #[arg(long, value_name = "DIR")]
    pub figures: Option<PathBuf>,
    /// Also write the report as Markdown: report.md beside report.html.
    #[arg(long)]
    pub markdown: bool,
}

/// Arguments of `mnas compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Study directories; two or more, or one beside --published.
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// Also write the comparison as one offline page.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Published figures to show beside them; see docs/how-to/compare-studies.md.
    #[arg(long, value_name = "FILE")]
    pub published: Option<PathBuf>,
}

/// Arguments of `mnas export-study`.
#[derive(Debug, Args)]
#[command(
    after_help = "A row is a trial: its decisions, accuracy, latency, reward, MACs, parameters, state, attempt, \
times, network and device. optuna is a SQLite file in Optuna's own tables, with two objectives, which \
optuna.load_study and optuna-dashboard open. mlflow:URL makes a run per trial in an experiment named as the study, \
and leaves alone the runs that are there. TensorBoard's event files need no export: a study has them in tensorboard/."
)]
pub(crate) struct ExportStudyArgs {
    /// Study directory.
    pub dir: PathBuf,
    /// csv, jsonl, parquet or optuna: trials.csv, trials.jsonl, trials.parquet or optuna.db in the
    /// study directory; or a file of one's own that ends in .csv, .jsonl, .parquet or .db; or
    /// mlflow:http://HOST:PORT.
    #[arg(long, value_name = "WHERE")]
    pub to: String,
    /// Replace an Optuna file that is there, with what Optuna may have added to it.
    #[arg(long)]
    pub replace: bool,
}

/// Arguments of `mnas dashboard`.
#[cfg(feature = "dashboard")]
#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    /// Study directory.
    pub dir: PathBuf,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, value_name = "P", default_value_t = 8420)]
    pub port: u16,
    /// Address to listen on. Any but this machine's own (127.0.0.1, ::1) lets others read the study,
    /// if they know the token.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
}

/// Arguments of `mnas train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Network.
    pub net: String,
    /// Images.
    #[arg(long, value_name = "D")]
    pub data: String,
    /// Start from these weights (.safetensors) instead of random ones.
    #[arg(long, value_name = "W")]
    pub from: Option<PathBuf>,
    /// Train on the validation images too, and validate on nothing; for a network that is chosen.
    #[arg(long)]
    pub with_validation: bool,
    /// Passes over the training images.
    #[arg(long)]
    pub epochs: Option<f64>,
    /// Recipe.
    #[arg(long, default_value = "full")]
    pub recipe: RecipeName,
    /// Images per step instead of the recipe's; the learning rate stays as it is.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Peak learning rate instead of the recipe's.
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f32>,
    /// Weight decay instead of the recipe's; scales and shifts of batch norms never decay.
    #[arg(long, value_name = "DECAY")]
    pub weight_decay: Option<f32>,
    /// Mirror training images left and right half of the time; by default images with colour, as
    /// gray ones are often written signs.
    #[arg(long, value_name = "BOOL")]
    pub mirror: Option<bool>,
    /// Shift training images by up to this many pixels each way instead of the recipe's crops.
    #[arg(long, value_name = "PX")]
    pub shift: Option<usize>,
    /// Cover a random square of this side in each training image with the mean colour; 0 for none.
    #[arg(long, value_name = "PX")]
    pub cutout: Option<usize>,
    /// Keep activations as bfloat16 between layers: less memory, rounded to 8 bits of precision.
    #[arg(long)]
    pub bf16: bool,
    /// Side of the square images, in pixels.
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
    /// Seed of weights, order and augmentation.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Threads.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Where the weights go; a .checkpoint beside it lets an interrupted run continue.
    #[arg(long, value_name = "FILE", default_value = "trained.safetensors")]
    pub out: PathBuf,
}

/// A named training recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecipeName {
    /// The short recipe that ranks networks during a search.
    Proxy,
    /// The recipe of finalists.
    Full,
    /// Muon in larger batches: more accurate than full in as many epochs, for networks of dense
    /// convolutions.
    Muon,
    /// The paper's: RMSProp, warm-up, x0.97 per 2.4 epochs, EMA.
    Mnasnet,
}

/// Arguments of `mnas eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Trained network: DIR:TRIAL, DIR:best, a .safetensors file that mnas wrote, or an exported file.
    pub net: String,
    /// Images; the test split is used.
    #[arg(long, value_name = "D")]
    pub data: String,
    /// Threads.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Inference engine that runs an exported file: litert, ort or rten.
    #[arg(long, value_name = "E")]
    pub engine: Option<mnas_deploy::EngineId>,
}

/// Arguments of `mnas predict`.
#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// Trained network, or an .onnx or .tflite file that mnas wrote.
    pub net: String,
    /// Image files (JPEG or PNG).
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Classes printed per image.
    #[arg(long, default_value_t = 3)]
    pub top: usize,
}

/// Arguments of `mnas export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Network; untrained ones get seeded random weights.
    pub net: String,
    /// File format.
    #[arg(long)]
    pub format: ExportFormat,
    /// Quantise to 8-bit integers, calibrated on training images of --data. The file takes and gives
    /// float32 as the float one does.
    #[arg(long, requires = "data")]
    pub int8: bool,
    /// Images to calibrate on, and to check with.
    #[arg(long, value_name = "D")]
    pub data: Option<String>,
    /// Training images to calibrate on.
    #[arg(long, value_name = "N", default_value_t = mnas_study::CALIBRATION_IMAGES)]
    pub calibration_images: usize,
    /// How ranges of activations are chosen: min-max, percentile or mse.
    #[arg(long, value_name = "R", default_value_t = mnas_study::CALIBRATION_RANGES)]
    pub ranges: mnas_deploy::RangeMethod,
    /// Keep 8-bit kernels within 7 bits, for ONNX Runtime on x86 processors without VNNI.
    #[arg(long)]
    pub reduce_range: bool,
    /// Run the file in every engine present and print how far it is from the float network.
    #[arg(long)]
    pub check: bool,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Classes of an untrained network.
    #[arg(long, default_value_t = 1000)]
    pub classes: usize,
    /// Side of the square images of an untrained network, in pixels.
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
}

/// Arguments of `mnas import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The .safetensors file.
    pub file: PathBuf,
    /// Network that it holds.
    #[arg(long = "as", value_name = "NET")]
    pub net: String,
    /// File of class names, one a line (default: numbers).
    #[arg(long, value_name = "FILE")]
    pub class_names: Option<PathBuf>,
    /// Side of the square images that it was trained on, in pixels (default: the network's own).
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
    /// Where the weights go.
    #[arg(long, value_name = "W", default_value = "imported.safetensors")]
    pub out: PathBuf,
}

/// Deployment formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// ONNX, opset 13.
    Onnx,
    /// TensorFlow Lite flatbuffer.
    Tflite,
}

/// Arguments of `mnas cost`.
#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// Network.
    pub net: String,
    /// Classes.
    #[arg(long, default_value_t = 1000)]
    pub classes: usize,
    /// Side of the square images, in pixels.
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
    /// Channels of the images.
    #[arg(long, default_value_t = 3)]
    pub channels: usize,
    /// Also print every layer.
    #[arg(long)]
    pub layers: bool,
}

/// Arguments of `mnas measure`.
#[derive(Debug, Args)]
pub(crate) struct MeasureArgs {
    /// Networks, or .onnx or .tflite files; several are measured in interleaved rounds.
    #[arg(required = true)]
    pub nets: Vec<String>,
    /// Device.
    #[arg(long, value_name = "V", default_value = "host")]
    pub device: String,
    /// Kept runs per network.
    #[arg(long, default_value_t = 100)]
    pub runs: usize,
    /// Rank the networks, with confidence intervals of their ratios.
    #[arg(long)]
    pub compare: bool,
    /// Also print where the time goes, operator by operator (host:litert and host:ort).
    #[arg(long)]
    pub profile: bool,
    /// Number format in which networks are measured; files are measured as they are.
    #[arg(long, default_value = "float")]
    pub precision: Precision,
    /// Core to pin to (default: the last allowed one).
    #[arg(long)]
    pub core: Option<usize>,
    /// Classes of an untrained network.
    #[arg(long, default_value_t = 1000)]
    pub classes: usize,
    /// Side of the square images of an untrained network, in pixels.
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
}

/// Arguments of `mnas space`.
#[derive(Debug, Args)]
pub(crate) struct SpaceArgs {
    /// A built-in name or a file; without it, the built-in spaces are listed.
    pub space: Option<String>,
    /// Side of the square images at which samples are costed, in pixels.
    #[arg(long, value_name = "PX")]
    pub image_size: Option<usize>,
    /// Samples whose cost is summarised.
    #[arg(long, default_value_t = 1000)]
    pub samples: usize,
    /// Seed of the samples.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}
