//! The study file as a user types it. [`crate::plan::check`] turns it into a plan.

mod cluster;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use cluster::{ClusterConfig, ExecutorName, RayConfig, SlurmConfig};

use crate::cli::{Precision, SearchArgs};
use crate::exit::{Blame, Blamed, CommandError};

/// A study file. Every field may be left out; flags override it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Images: a known name, a folder with a folder per class, a folder with train/ and val/ or
    /// test/, or a .tar of either.
    pub data: Option<String>,
    /// Side of the square images that networks see, in pixels.
    pub image_size: Option<usize>,
    /// Device whose latency counts: host, host:rten, host:litert, host:ort, adb, adb:SERIAL, ssh:HOST,
    /// pixel1, table:FILE, linear:FILE, command:PROGRAM.
    pub device: Option<String>,
    /// Number format in which candidates are measured: float or int8. Finalists of an int8 study are
    /// quantised and tested in that form too.
    pub precision: Option<Precision>,
    /// Search space: a built-in name or a path.
    pub space: Option<String>,
    /// Search algorithm: surrogate, surrogate-front, ppo, ppo-paper, reinforce, evolution, nsga2 or random.
    pub algorithm: Option<String>,
    /// Seed of every random choice.
    pub seed: Option<u64>,
    /// Number of proposals, duplicates included.
    pub trials: Option<u64>,
    /// Time limit of the search stage in minutes.
    pub minutes: Option<f64>,
    /// Proposals per batch. Part of what is proposed, unlike the number of workers.
    pub batch: Option<u32>,
    /// Worker processes that train side by side.
    pub workers: Option<usize>,
    /// Threads of each training. More threads and fewer workers take less memory.
    pub threads: Option<usize>,
    /// Study directory to create.
    pub dir: Option<PathBuf>,
    /// PostgreSQL database that keeps the study's events, as
    /// postgres://USER@HOST/DATABASE?study=NAME; a file of the study directory without it.
    pub store: Option<String>,
    /// Whether TensorBoard's event files are written into the study directory (true).
    pub tensorboard: Option<bool>,
    /// Latency target.
    pub target: Option<TargetConfig>,
    /// How accuracy and latency become one reward.
    pub objective: Option<ObjectiveConfig>,
    /// Settings of the algorithm by name; those that differ from its defaults.
    #[serde(default)]
    pub algorithm_settings: BTreeMap<String, f64>,
    /// Cuts trainings short whose loss promises a reward that isn't among the best. Off where absent.
    pub early_stop: Option<bool>,
    /// How each trial is trained.
    #[serde(default)]
    pub proxy: RecipeConfig,
    /// How finalists and references are trained.
    #[serde(default)]
    pub full: RecipeConfig,
    /// The final stage.
    #[serde(default)]
    pub finals: FinalsConfig,
    /// How latency is measured.
    #[serde(default)]
    pub measure: MeasureConfig,
    /// Limits besides latency.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Where trials are trained: local (this machine), slurm or ray.
    pub executor: Option<ExecutorName>,
    /// Batches that are proposed before an earlier one is observed; 0 is one after the other. Keeps
    /// large clusters busy, and is part of what is proposed.
    pub staleness: Option<u32>,
    /// How a cluster is used, with executor = "slurm" or "ray".
    #[serde(default)]
    pub cluster: ClusterConfig,
    /// How jobs are submitted with executor = "slurm".
    #[serde(default)]
    pub slurm: SlurmConfig,
    /// How jobs are submitted with executor = "ray".
    #[serde(default)]
    pub ray: RayConfig,
}

/// The latency target: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetConfig {
    /// Milliseconds per image.
    pub ms: Option<f64>,
    /// A network of the zoo whose latency, measured first, is the target.
    pub reference: Option<String>,
}

/// The reward.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectiveConfig {
    /// Which formula.
    pub kind: ObjectiveName,
    /// Exponent where latency is within the target (soft: -0.07).
    pub alpha: Option<f64>,
    /// Exponent or slope where latency is over the target (soft: -0.07, hard: -1, absolute: -0.1).
    pub beta: Option<f64>,
}

/// Formulas of the reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ObjectiveName {
    /// ACC x (LAT/T)^w with w = -0.07 on both sides of the target (MnasNet).
    Soft,
    /// ACC x (LAT/T)^w with w = 0 within the target and -1 over it (MnasNet).
    Hard,
    /// ACC + beta x |LAT/T - 1| (TuNAS).
    Absolute,
}

/// Overrides of a training recipe.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeConfig {
    /// Passes over the training images.
    pub epochs: Option<f64>,
    /// Training images used, the same for every network.
    pub images: Option<usize>,
    /// Images per step.
    pub batch: Option<usize>,
    /// Peak learning rate.
    pub learning_rate: Option<f32>,
    /// Keeps activations as bfloat16 between layers: less memory, rounded to 8 bits of precision.
    pub bf16: Option<bool>,
}

/// The final stage.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinalsConfig {
    /// Networks of the search that are trained in full; 0 leaves the stage out.
    pub count: Option<usize>,
    /// Families of the zoo trained beside them, each at the width nearest the target.
    pub references: Option<Vec<String>>,
}

/// How latency is measured.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeasureConfig {
    /// Runs kept per network; at least 50.
    pub runs: Option<usize>,
    /// Core to pin to.
    pub core: Option<usize>,
}

/// Limits besides latency; a network over one is infeasible.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    /// Most trainable values.
    pub params: Option<u64>,
    /// Most bytes of the exported file.
    pub file_bytes: Option<u64>,
    /// Most bytes of float32 activations alive at once.
    pub activation_bytes: Option<u64>,
}

impl Config {
    /// Reads a study file. Unknown keys are errors with their line.
    pub(crate) fn load(path: &Path) -> Result<Self, CommandError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| anyhow::anyhow!("{shown}: {e}"))
            .blame(Blame::Usage)?;
        // The message quotes the line, which may hold a password.
        let quoted = |e| without_passwords(&format!("{shown}: {e}"));
        Self::parse(&text).map_err(|e| CommandError::usage(quoted(e)))
    }

    /// Parses the text of a study file; the error shows line, column and the text there.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The study file of the arguments, if any, under the flags.
    pub(crate) fn of(args: &SearchArgs) -> Result<Self, CommandError> {
        let mut c = match &args.study {
            Some(path) => Self::load(path)?,
            None => Self::default(),
        };
        fn over<T: Clone>(flag: &Option<T>, field: &mut Option<T>) {
            if flag.is_some() {
                field.clone_from(flag);
            }
        }
        over(&args.data, &mut c.data);
        over(&args.device, &mut c.device);
        over(&args.precision, &mut c.precision);
        over(&args.trials, &mut c.trials);
        over(&args.space, &mut c.space);
        over(&args.algorithm, &mut c.algorithm);
        over(&args.image_size, &mut c.image_size);
        over(&args.seed, &mut c.seed);
        over(&args.minutes, &mut c.minutes);
        over(&args.workers, &mut c.workers);
        over(&args.dir, &mut c.dir);
        if let Some(ms) = args.target_ms {
            c.target = Some(TargetConfig {
                ms: Some(ms),
                reference: None,
            });
        }
        Ok(c)
    }

    /// The published JSON schema of the study file.
    pub(crate) fn schema() -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
}

/// The text with the passwords of its addresses (`scheme://user:password@host`) blotted out.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|c: char| c == '/' || c.is_whitespace());
        let (place, rest) = part.split_at(end.unwrap_or(part.len()));
        let hidden = place.rsplit_once('@').and_then(|(user, host)| {
            let (user, _) = user.split_once(':')?;
            Some(format!("{user}:***@{host}"))
        });
        shown += "://";
        shown += hidden.as_deref().unwrap_or(place);
        shown += rest;
    }
    shown
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../docs/reference/study.toml");

    /// The published example with every key in use.
    pub(crate) fn example() -> Config {
        let uncommented: String = EXAMPLE
            .lines()
            .map(|l| l.strip_prefix("#: ").unwrap_or(l))
            .filter(|l| !l.starts_with('#'))
            .map(|l| format!("{l}\n"))
            .collect();
        Config::parse(&uncommented).unwrap()
    }

    #[test]
    fn flags_override_the_file() {
        let args = SearchArgs {
            trials: Some(7),
            target_ms: Some(2.0),
            ..SearchArgs::default()
        };
        let c = Config::of(&args).unwrap();
        assert_eq!((c.trials, c.target.unwrap().ms), (Some(7), Some(2.0)));
    }

    #[test]
    fn unknown_keys_name_their_line() {
        let message = Config::parse("trials = 3\ntrails = 4\n")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("line 2") && message.contains("trails"),
            "{message}"
        );
    }

    #[test]
    fn a_mistyped_address_is_quoted_without_its_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("study.toml");
        std::fs::write(&file, "store = postgres://ann:s3cr@t@db:5/x\n").unwrap();
        let message = Config::load(&file).unwrap_err().message;
        assert!(message.contains("postgres://ann:***@db:5/x"), "{message}");
        assert!(!message.contains("s3cr"), "{message}");
    }

    #[test]
    fn the_example_uses_every_key_and_parses() {
        let config = example();
        assert!(config.limits.params.is_some() && config.finals.references.is_some());
        Config::parse(EXAMPLE).unwrap();
    }

    #[test]
    fn the_published_schema_is_current() {
        let published = include_str!("../../../docs/reference/study.schema.json");
        let current = serde_json::to_string_pretty(&Config::schema()).unwrap();
        assert_eq!(
            published.trim_end(),
            current,
            "run `mnas schema > docs/reference/study.schema.json`"
        );
    }
}
