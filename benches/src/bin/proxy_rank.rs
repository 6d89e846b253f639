//! `proxy_rank FILE [--networks N] [--seeds S] [--held-out SHARE] [RECIPE ...]`: how well a short training ranks networks, and
//! how sure that is.
//!
//! The same random networks of `mnasnet-small` (within twice the target by the calibrated predictor beside this program) are
//! trained on the built-in images under every recipe and under several seeds, two at a time. A recipe is the full training
//! (`full`, and changes of it), or the short one (`default`), or changes of that, as `images=4500,epochs=1,bn=0.97`. A line per
//! training is kept in FILE and not repeated.
//! The table gives, for each recipe: seconds of one core, mean accuracy on the images held out, how networks differ (standard
//! deviation of their means over seeds), how one network does under other seeds, and Kendall's tau of one seed's accuracies, on
//! all images held out and on 1,000 of them, with the mean of all full trainings (those of other recipes, for a full one).

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{File, OpenOptions as FileOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use mnas_deploy::{Candidate, MeasurePlan, kendall_tau};
use mnas_net::{NetSpec, Purpose, Weights, stream, zoo};
use mnas_search::Space;
use mnas_train::{
    Control, Data, OpenOptions, Optimizer, Recipe, Split, TrainJob, cpu, evaluate, open, train,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

const DATA: &str = "fashion-mnist-10k";
const SPACE: &str = "mnasnet-small";
const REFERENCE: &str = "mobilenet-v2-small";
/// Epochs of the example's full training.
const FULL_EPOCHS: f64 = 6.0;

/// One training.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    held_out: f64,
    recipe: String,
    net: usize,
    seed: u64,
    seconds: f64,
    /// On all images held out, on the first 1,000 of them, and on the test images.
    accuracy: [f64; 3],
}

struct Settings {
    file: String,
    networks: usize,
    seeds: u64,
    held_out: f64,
    recipes: Vec<String>,
}

fn settings() -> Result<Settings, String> {
    let mut s = Settings {
        file: String::new(),
        networks: 16,
        seeds: 2,
        held_out: 0.3,
        recipes: vec![],
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let bad = |e: &dyn std::fmt::Display| format!("{arg}: {e}");
        match arg.as_str() {
            "--networks" => s.networks = value()?.parse().map_err(|e| bad(&e))?,
            "--seeds" => s.seeds = value()?.parse().map_err(|e| bad(&e))?,
            "--held-out" => s.held_out = value()?.parse().map_err(|e| bad(&e))?,
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ if s.file.is_empty() => s.file = arg,
            _ => s.recipes.push(arg),
        }
    }
    if s.file.is_empty() {
        return Err("which file keeps the results?".into());
    }
    Ok(s)
}

/// The recipe that a text means.
fn recipe(text: &str, data: &Data) -> Result<Recipe, String> {
    let mut rest = text.split(',').peekable();
    let mut recipe = if rest.next_if_eq(&"full").is_some() {
        Recipe::full(&data.meta, FULL_EPOCHS)
    } else {
        Recipe::proxy(&data.meta)
    };
    for part in rest.filter(|p| *p != "default") {
        let (key, value) = part.split_once('=').ok_or(format!("{part}: no ="))?;
        let number: f64 = value.parse().map_err(|e| format!("{part}: {e}"))?;
        match key {
            "images" => recipe.train_images = (number > 0.0).then_some(number as usize),
            "epochs" => recipe.epochs = number,
            "batch" => recipe.batch = number as usize,
            "rate" => recipe.learning_rate = number as f32,
            "rmsprop" => {
                recipe.optimizer = Optimizer::RmsProp {
                    decay: number as f32,
                    momentum: 0.9,
                    epsilon: 1e-3,
                };
            }
            "decay" => recipe.weight_decay = number as f32,
            "smooth" => recipe.label_smoothing = number as f32,
            "bn" => recipe.bn_momentum = number as f32,
            "ema" => recipe.ema_decay = Some(number as f32),
            "shift" => recipe.augment.pad_crop = number as usize,
            _ => return Err(format!("{part}: unknown")),
        }
    }
    recipe.check().map_err(|e| e.to_string())?;
    Ok(recipe)
}

/// Networks of the space within twice the reference's predicted latency.
fn networks(count: usize, data: &Data) -> Result<Vec<NetSpec>, Box<dyn Error>> {
    let space = Space::builtin(SPACE).ok_or("no space")?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("host-rten-calibrated.linear.toml");
    let mut device = mnas_deploy::open(&format!("linear:{}", file.display()))?;
    let mut latency = |spec: &NetSpec| -> Result<f64, Box<dyn Error>> {
        let graph = spec.graph(data.meta.shape, data.meta.classes.len())?;
        let weights = Weights::init(&graph, &mut stream(0, 0, Purpose::Init));
        let text = spec.to_string();
        let candidate = Candidate {
            name: &text,
            spec: &text,
            graph: &graph,
            weights: &weights,
        };
        let samples = device
            .measure(&[candidate], &MeasurePlan::search())?
            .remove(0)?;
        Ok(samples.median_ms())
    };
    let most = 2.0 * latency(&zoo::find(REFERENCE)?.spec)?;
    let mut random = stream(7, 0, Purpose::Sample);
    let mut found = vec![];
    for tokens in space.balanced(4 * count, &mut random) {
        let spec = space.decode(&tokens)?;
        if found.len() < count && latency(&spec)? <= most && !found.contains(&spec) {
            found.push(spec);
        }
    }
    Ok(found)
}

fn trained(
    data: &Data,
    net: &NetSpec,
    recipe: &Recipe,
    seed: u64,
) -> Result<([f64; 3], f64), Box<dyn Error + Send + Sync>> {
    let graph = net.graph(data.meta.shape, data.meta.classes.len())?;
    let engine = cpu();
    let job = TrainJob {
        graph: &graph,
        train: &data.train,
        validation: None,
        meta: &data.meta,
        recipe,
        seed,
        trial: seed,
        threads: 1,
        cut: None,
        start: None,
        checkpoint: None,
    };
    let done = train(&engine, &job, &mut |_| Control::Continue)?;
    let on = |split: &Split| evaluate(&engine, &graph, &done.weights, split, &data.meta, 1);
    let all = on(&data.validation)?.top1;
    let first = on(&data.validation.subset(1000, 0))?.top1;
    let test = on(&data.test)?.top1;
    Ok(([all, first, test], done.seconds))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let s = settings()?;
    let cache = tempfile::tempdir()?;
    let options = OpenOptions {
        image_size: None,
        cache_dir: cache.path(),
        seed: 0,
        validation_fraction: Some(s.held_out),
        progress: &|_, _| {},
    };
    let data = open(DATA, &options)?;
    let nets = networks(s.networks, &data)?;
    let mut runs: Vec<Run> = vec![];
    if let Ok(file) = File::open(&s.file) {
        for line in BufReader::new(file).lines() {
            runs.push(serde_json::from_str(&line?)?);
        }
    }
    runs.retain(|r| r.held_out == s.held_out && r.net < nets.len());
    let mut wanted = vec![];
    for text in &s.recipes {
        let recipe = recipe(text, &data)?;
        for (net, seed) in (0..nets.len()).flat_map(|n| (0..s.seeds).map(move |s| (n, s))) {
            let same = |r: &Run| r.recipe == *text && r.net == net && r.seed == seed;
            if !runs.iter().any(same) {
                wanted.push((text, recipe.clone(), net, seed));
            }
        }
    }
    let file = Mutex::new(FileOptions::new().create(true).append(true).open(&s.file)?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
    let one = |(text, recipe, net, seed): &(&String, Recipe, usize, u64)| {
        let done = trained(&data, &nets[*net], recipe, *seed);
        // A training that diverged is worth nothing.
        let (accuracy, seconds) = done.unwrap_or_else(|e| {
            eprintln!("{text}, network {net}, seed {seed}: {e}");
            ([0.0; 3], 0.0)
        });
        let run = Run {
            held_out: s.held_out,
            recipe: text.to_string(),
            net: *net,
            seed: *seed,
            seconds,
            accuracy,
        };
        let line = serde_json::to_string(&run).map_err(|e| e.to_string())?;
        let mut file = file.lock().map_err(|e| e.to_string())?;
        writeln!(file, "{line}").map_err(|e| e.to_string())?;
        Ok(run)
    };
    let fresh: Result<Vec<Run>, String> =
        pool.install(|| wanted.par_iter().with_max_len(1).map(one).collect());
    runs.extend(fresh?);
    table(&runs, nets.len(), s.seeds);
    Ok(())
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, n) = (values.into_iter()).fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    sum / f64::max(n, 1.0)
}

/// Sum of squared distances to the mean, and how many are free.
fn squares(values: &[f64]) -> (f64, f64) {
    let centre = mean(values.iter().copied());
    let sum = values.iter().map(|v| (v - centre).powi(2)).sum();
    (sum, values.len() as f64 - 1.0)
}

fn table(runs: &[Run], nets: usize, seeds: u64) {
    println!(
        "{:<44}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
        "recipe", "core s", "mean", "spread", "seed", "tau", "tau 1k"
    );
    let names: BTreeSet<&str> = runs.iter().map(|r| r.recipe.as_str()).collect();
    for name in names {
        let own: Vec<&Run> = runs.iter().filter(|r| r.recipe == name).collect();
        let of = |net: usize| -> Vec<f64> {
            let own = own.iter().filter(|r| r.net == net);
            own.map(|r| r.accuracy[0]).collect()
        };
        // Networks that were trained under this recipe.
        let nets: Vec<Vec<f64>> = (0..nets).map(of).filter(|net| !net.is_empty()).collect();
        let means: Vec<f64> = nets.iter().map(|net| mean(net.iter().copied())).collect();
        let (between, free) = squares(&means);
        let within: Vec<(f64, f64)> = nets.iter().map(|net| squares(net)).collect();
        let noise =
            within.iter().map(|w| w.0).sum::<f64>() / within.iter().map(|w| w.1).sum::<f64>();
        // Images held out and test images, 3:2.
        let truth = |net: usize| {
            let full = runs
                .iter()
                .filter(|r| r.net == net && r.recipe.starts_with("full") && r.recipe != name);
            mean(full.map(|r| 0.6 * r.accuracy[0] + 0.4 * r.accuracy[2]))
        };
        let tau = |column: usize| {
            mean((0..seeds).map(|seed| {
                let own = own.iter().filter(|r| r.seed == seed);
                let pairs: Vec<(f64, f64)> =
                    own.map(|r| (r.accuracy[column], truth(r.net))).collect();
                kendall_tau(&pairs)
            }))
        };
        println!(
            "{name:<44}{:>8.2}{:>8.2}{:>8.2}{:>8.2}{:>8.2}{:>8.2}",
            mean(own.iter().map(|r| r.seconds)),
            100.0 * mean(own.iter().map(|r| r.accuracy[0])),
            100.0 * (between / free).sqrt(),
            100.0 * noise.sqrt(),
            tau(0),
            tau(1)
        );
    }
}
