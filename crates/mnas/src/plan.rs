//! From what was typed to what will run: [`check`] opens the data and the device once, fills in the
//! defaults, and refuses what can't work. Every default has its reason beside it.

use std::path::Path;

use mnas_deploy::MeasurePlan;
use mnas_net::zoo;
use mnas_search::{ControllerSpec, EarlyStop, ObjectiveKind, Space};
use mnas_study::{DataPlan, DevicePlan, FailureBudget, Limits, Plan, SpacePlan, Target};
use mnas_train::{Data, Recipe, Storage};

use crate::cli::Precision;
use crate::config::{Config, ObjectiveConfig, ObjectiveName, RecipeConfig};
use crate::exit::{Blame, Blamed, CommandError};
use crate::images;
use crate::output::Progress;
use crate::registry::Registry;

/// The embedded data set: no arguments are needed to see a search at work.
const DATA: &str = "fashion-mnist-10k";
/// LiteRT where it is found, else ONNX Runtime, else the engine that is compiled in.
const DEVICE: &str = "host";
/// The best of `docs/search-quality.md` at this many trials; `ppo` is the paper's.
const ALGORITHM: &str = "surrogate";
/// Enough for the controller to leave its random start behind, few enough for a coffee break.
const TRIALS: u64 = 120;
/// Search minutes of the built-in example; the whole command is meant to end within eight.
const EXAMPLE_MINUTES: f64 = 4.9;
/// Epochs of the example's finalists: five networks in about two minutes and a half on two cores.
const EXAMPLE_EPOCHS: f64 = 6.0;
/// Ten updates within [`TRIALS`]; a larger batch keeps more workers busy but learns less often.
const BATCH: u32 = 12;
/// Best networks trained in full. The paper takes 15 of 8,000; this keeps the share of time alike.
const FINALISTS: usize = 3;
/// Twice the target costs at least 5 % of reward, more than a proxy's accuracy can make good.
const TOO_SLOW: f64 = 2.0;
/// Side from which the paper's space fits; below it strides leave too few pixels.
const LARGE_IMAGE: usize = 65;

/// Turns a study file and flags into a plan.
pub(crate) fn check(
    config: &Config,
    registry: &Registry,
    progress: &mut Progress,
) -> Result<Plan, CommandError> {
    ranges(config)?;
    let source = config.data.as_deref().unwrap_or(DATA);
    let space = config.space.as_deref().map(space).transpose()?;
    let device = config.device.as_deref().unwrap_or(DEVICE);
    let opened = registry.open_device(device).blame(Blame::Device)?;
    let data = images::open(source, config.image_size, progress)?;
    let small = data.meta.shape.h < LARGE_IMAGE;
    let space = match space {
        Some(space) => space,
        None => space_named(if small { "mixed-small" } else { "mnasnet" })?,
    };
    let [mobilenet, mnasnet] = references(small);
    let precision = config.precision.unwrap_or(Precision::Float);
    if precision == Precision::Int8 && opened.info().predicted {
        return Err(CommandError::usage(format!(
            "{device} predicts float latencies and can't tell those of int8 networks"
        ))
        .hint("measure on a device, as host, or leave the precision out"));
    }
    let measure = |mut plan: MeasurePlan| {
        plan.runs = config.measure.runs.unwrap_or(plan.runs);
        plan.core = config.measure.core;
        plan.precision = precision.into();
        plan
    };
    let example = config.data.is_none() && config.trials.is_none();
    let usual = if example {
        EXAMPLE_EPOCHS
    } else {
        Recipe::FULL_EPOCHS
    };
    let full = Recipe::full(&data.meta, config.full.epochs.unwrap_or(usual));
    let minutes = config.minutes.or(example.then_some(EXAMPLE_MINUTES));
    let plan = Plan {
        data: DataPlan::of(&data.meta, config.image_size, images::SPLIT_SEED),
        device: DevicePlan::from(opened.info()),
        space: SpacePlan {
            name: space.name().into(),
            text: space.text().into(),
        },
        objective: objective(config.objective.as_ref())?,
        target: target(config, mobilenet)?,
        controller: ControllerSpec {
            algorithm: config.algorithm.clone().unwrap_or_else(|| ALGORITHM.into()),
            settings: config.algorithm_settings.clone(),
        },
        seed: config.seed.unwrap_or(0),
        trials: config.trials.unwrap_or(TRIALS),
        seconds_max: minutes.map(|m| m * 60.0),
        batch: config.batch.unwrap_or(BATCH),
        // One network per core: kernels of small networks leave a second thread half idle.
        workers: config.workers.unwrap_or_else(images::cores),
        threads: config.threads.unwrap_or(1),
        proxy: recipe("proxy", Recipe::proxy(&data.meta), &config.proxy, &data)?,
        full: recipe("full", full, &config.full, &data)?,
        finalists: config.finals.count.unwrap_or(FINALISTS),
        references: config
            .finals
            .references
            .clone()
            .unwrap_or_else(|| vec![mobilenet.into(), mnasnet.into()]),
        measure: measure(MeasurePlan::search()),
        measure_final: measure(MeasurePlan::thorough()),
        limits: Limits {
            params: config.limits.params,
            file_bytes: config.limits.file_bytes,
            activation_bytes: config.limits.activation_bytes,
        },
        too_slow: TOO_SLOW,
        early_stop: config
            .early_stop
            .unwrap_or(false)
            .then_some(EarlyStop::MEASURED),
        // A worker that dies three times under the same network is that network's doing.
        attempts_max: 3,
        job_seconds_max: None,
        failures: FailureBudget {
            first: 10,
            window: 20,
            share: 0.5,
        },
        executor: config.executor(opened.info().predicted)?,
        staleness: config.staleness.unwrap_or(0),
        // A few hundred bytes a trial.
        tensorboard: config.tensorboard.unwrap_or(true),
    };
    plan.check().blame(Blame::Usage)?;
    Ok(plan)
}

fn ranges(config: &Config) -> Result<(), CommandError> {
    let positive = [
        ("trials", config.trials.map(|v| v as f64)),
        ("minutes", config.minutes),
        ("batch", config.batch.map(f64::from)),
        ("workers", config.workers.map(|v| v as f64)),
        ("threads", config.threads.map(|v| v as f64)),
        ("target.ms", config.target.as_ref().and_then(|t| t.ms)),
    ];
    for (key, value) in positive {
        if value.is_some_and(|v| !(v > 0.0 && v.is_finite())) {
            let shown = value.unwrap_or_default();
            return Err(CommandError::usage(format!(
                "{key} = {shown}: must be more than 0"
            )));
        }
    }
    match config.image_size {
        Some(px) if !(8..=1024).contains(&px) => Err(CommandError::usage(format!(
            "image_size = {px}: expected 8 to 1024 pixels"
        ))),
        _ => Ok(()),
    }
}

/// MobileNetV2 and MnasNet-A1, in their small-image form under 65 pixels.
fn references(small: bool) -> [&'static str; 2] {
    if small {
        ["mobilenet-v2-small", "mnasnet-a1-small"]
    } else {
        ["mobilenet-v2", "mnasnet-a1"]
    }
}

/// A built-in space by name, the space in a file, or a network of the zoo as a space of one.
pub(crate) fn space(name: &str) -> Result<Space, CommandError> {
    if Path::new(name).is_file() {
        let text = std::fs::read_to_string(name).blame(Blame::Usage)?;
        return Space::parse(name, &text)
            .map_err(|e| CommandError::usage(format!("{name}: {e}")))
            .map_err(|e| e.hint("docs/how-to/add-a-space.md describes the text"));
    }
    space_named(name)
}

fn space_named(name: &str) -> Result<Space, CommandError> {
    let of_one = || {
        let spec = zoo::find(name).ok()?.spec.to_string();
        Space::parse(name, &spec).ok()
    };
    Space::builtin(name).or_else(of_one).ok_or_else(|| {
        CommandError::usage(format!("no search space or file is called {name:?}")).hint(format!(
            "built in: {}; a network of `mnas zoo` is a space of one",
            Space::builtin_names().join(", ")
        ))
    })
}

/// The hard constraint where nothing is said: `docs/decisions/0005-the-hard-constraint.md`.
fn objective(config: Option<&ObjectiveConfig>) -> Result<ObjectiveKind, CommandError> {
    let Some(c) = config else {
        return Ok(ObjectiveKind::HARD);
    };
    if c.alpha.is_some() && c.kind != ObjectiveName::Soft {
        return Err(CommandError::usage(
            "[objective] alpha belongs to kind = \"soft\" alone; take it away",
        ));
    }
    Ok(match c.kind {
        ObjectiveName::Soft => ObjectiveKind::Soft {
            alpha: c.alpha.unwrap_or(-0.07),
            beta: c.beta.unwrap_or(-0.07),
        },
        ObjectiveName::Hard => ObjectiveKind::Hard {
            beta: c.beta.unwrap_or(-1.0),
        },
        ObjectiveName::Absolute => ObjectiveKind::Absolute {
            beta: c.beta.unwrap_or(-0.1),
        },
    })
}

fn target(config: &Config, reference: &str) -> Result<Target, CommandError> {
    match config.target.as_ref().map(|t| (t.ms, t.reference.clone())) {
        None | Some((None, None)) => Ok(Target::Reference {
            name: reference.into(),
        }),
        Some((Some(target_ms), None)) => Ok(Target::Fixed { target_ms }),
        Some((None, Some(name))) => Ok(Target::Reference { name }),
        Some((Some(_), Some(_))) => Err(CommandError::usage(
            "[target] has both ms and reference; give one",
        )),
    }
}

fn recipe(
    part: &str,
    base: Recipe,
    over: &RecipeConfig,
    data: &Data,
) -> Result<Recipe, CommandError> {
    let available = data.train.len();
    if over.images.is_some_and(|n| n > available) {
        return Err(CommandError::usage(format!(
            "[{part}] images = {}: {} has {available} training images",
            over.images.unwrap_or_default(),
            data.meta.name
        )));
    }
    let recipe = Recipe {
        epochs: over.epochs.unwrap_or(base.epochs),
        batch: over.batch.unwrap_or(base.batch),
        learning_rate: over.learning_rate.unwrap_or(base.learning_rate),
        train_images: over.images.or(base.train_images),
        storage: over.bf16.map_or(base.storage, Storage::bf16_if),
        ..base
    };
    recipe
        .check()
        .map_err(|e| CommandError::usage(format!("[{part}] {e}")))?;
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::example;

    /// The plan as JSON, without the keys whose default depends on data, machine or need.
    fn plan_of(config: &Config) -> serde_json::Value {
        let config = Config {
            device: Some("host:rten".into()),
            image_size: None,
            limits: Default::default(),
            measure: Default::default(),
            workers: Some(2),
            ..config.clone()
        };
        let plan = check(&config, &Registry::builtin(), &mut Progress::new()).unwrap();
        serde_json::to_value(plan).unwrap()
    }

    #[test]
    fn the_published_example_shows_the_defaults() {
        assert_eq!(plan_of(&example()), plan_of(&Config::default()));
    }

    #[test]
    fn the_most_accurate_network_within_the_target_is_sought() {
        let of = |text: &str| {
            let config: ObjectiveConfig = toml::from_str(text).unwrap();
            objective(Some(&config))
        };
        assert_eq!(objective(None).unwrap(), ObjectiveKind::HARD);
        assert_eq!(of("kind = 'soft'").unwrap(), ObjectiveKind::SOFT);
        let refused = of("kind = 'hard'\nalpha = -0.1").unwrap_err();
        assert!(refused.message.contains("alpha"), "{}", refused.message);
    }
}
