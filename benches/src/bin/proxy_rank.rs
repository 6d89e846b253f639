//! `proxy_rank FILE [--networks N] [--seeds S] [--held-out SHARE] [RECIPE ...]`: how well a short training ranks networks, and
//! how sure that is.
//!
//! The same random networks of `mnasnet-small` (within twice the target by the calibrated predictor beside this program) are
//! trained on the built-in images under every recipe and under several seeds, two at a time. A recipe is the full training
//! (`full`) or changes of the short one, as `images=4500,epochs=1,bn=0.97`. A line per training is kept in FILE and not repeated.
//! The table gives, for each recipe: seconds of one core, mean accuracy, what one network does under other seeds, and
//! Kendall's tau of one seed's accuracies with the mean of the full trainings over their seeds, on the images held out and on
//! the first 1,000 of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions as FileOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use mnas_deploy::{Candidate, MeasurePlan, kendall_tau};
use mnas_net::{NetSpec, Purpose, Weights, stream, zoo};
use mnas_search::Space;
use mnas_train::{Control, Data, OpenOptions, Recipe, Split, TrainJob, cpu, evaluate, open, train};
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
    loss: f64,
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
        Recipe {
            epochs: FULL_EPOCHS,
            ..Recipe::full(&data.meta, FULL_EPOCHS)
        }
    } else {
        Recipe::proxy(&data.meta)
    };
    for part in rest.filter(|p| !p.is_empty()) {
        let (key, value) = part.split_once('=').ok_or(format!("{part}: no ="))?;
        let number: f64 = value.parse().map_err(|e| format!("{part}: {e}"))?;
        match key {
            "images" => recipe.train_images = (number > 0.0).then_some(number as usize),
            "epochs" => recipe.epochs = number,
            "batch" => recipe.batch = number as usize,
            "rate" => recipe.learning_rate = number as f32,
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
) -> Result<([f64; 3], f64, f64), Box<dyn Error + Send + Sync>> {
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
    let all = on(&data.validation)?;
    let first = on(&data.validation.subset(1000, 0))?;
    let test = on(&data.test)?;
    Ok(([all.top1, first.top1, test.top1], all.loss, done.seconds))
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
    let data = open(
        DATA,
        &OpenOptions {
            image_size: None,
            cache_dir: cache.path(),
            seed: 0,
            validation_fraction: s.held_out,
            progress: &|_, _| {},
        },
    )?;
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
            if !runs
                .iter()
                .any(|r| r.recipe == *text && r.net == net && r.seed == seed)
            {
                wanted.push((text.clone(), recipe.clone(), net, seed));
            }
        }
    }
    let file = Mutex::new(FileOptions::new().create(true).append(true).open(&s.file)?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
    let fresh: Result<Vec<Run>, String> = pool.install(|| {
        wanted
            .par_iter()
            .with_max_len(1)
            .map(|(text, recipe, net, seed)| {
                let (accuracy, loss, seconds) = match trained(&data, &nets[*net], recipe, *seed) {
                    Ok(done) => done,
                    Err(e) => {
                        eprintln!("{text} {net} {seed}: {e}");
                        ([0.0; 3], 9.0, 0.0)
                    }
                };
                let run = Run {
                    held_out: s.held_out,
                    recipe: text.clone(),
                    net: *net,
                    seed: *seed,
                    seconds,
                    accuracy,
                    loss,
                };
                let line = serde_json::to_string(&run).map_err(|e| e.to_string())?;
                let mut file = file.lock().map_err(|e| e.to_string())?;
                writeln!(file, "{line}").map_err(|e| e.to_string())?;
                Ok(run)
            })
            .collect()
    });
    runs.extend(fresh?);
    table(&runs, nets.len(), s.seeds);
    Ok(())
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count().max(1) as f64
}

fn table(runs: &[Run], nets: usize, seeds: u64) {
    // Accuracy by recipe, then [net][seed].
    let mut by: BTreeMap<&str, Vec<Vec<&Run>>> = BTreeMap::new();
    for run in runs {
        let rows = by.entry(&run.recipe).or_insert_with(|| vec![vec![]; nets]);
        rows[run.net].push(run);
    }
    for rows in by.values_mut() {
        rows.iter_mut().for_each(|r| r.sort_by_key(|r| r.seed));
    }
    let Some(full) = by.get("full").cloned() else {
        return;
    };
    // Truth: mean over seeds, held-out and test images together as 3:2.
    let truth: Vec<f64> = full
        .iter()
        .map(|r| mean(r.iter().map(|r| 0.6 * r.accuracy[0] + 0.4 * r.accuracy[2])))
        .collect();
    println!(
        "{:<44} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "recipe", "core s", "mean", "spread", "seed", "tau", "tau1k", "tau(f)", "loss"
    );
    for (name, rows) in &by {
        let complete: Vec<usize> = (0..nets)
            .filter(|n| !rows[*n].is_empty() && !full[*n].is_empty())
            .collect();
        let all = || complete.iter().flat_map(|n| rows[*n].iter());
        let means: Vec<f64> = complete
            .iter()
            .map(|n| mean(rows[*n].iter().map(|r| r.accuracy[0])))
            .collect();
        let centre = mean(means.iter().copied());
        let spread = (means.iter().map(|m| (m - centre).powi(2)).sum::<f64>()
            / (means.len() as f64 - 1.0))
            .sqrt();
        let (mut squares, mut free) = (0.0, 0.0);
        for n in &complete {
            let m = mean(rows[*n].iter().map(|r| r.accuracy[0]));
            squares += rows[*n]
                .iter()
                .map(|r| (r.accuracy[0] - m).powi(2))
                .sum::<f64>();
            free += rows[*n].len() as f64 - 1.0;
        }
        let tau = |value: &dyn Fn(&Run) -> f64, target: &dyn Fn(usize, u64) -> f64| {
            let of = |seed: u64| {
                let pairs: Vec<(f64, f64)> = complete
                    .iter()
                    .filter_map(|n| {
                        let run = rows[*n].iter().find(|r| r.seed == seed)?;
                        Some((value(run), target(*n, seed)))
                    })
                    .collect();
                kendall_tau(&pairs)
            };
            mean((0..seeds).map(of).collect::<Vec<_>>().into_iter())
        };
        // The full training of another seed, for the row of the full training itself.
        let other = |n: usize, seed: u64| {
            full[n]
                .iter()
                .find(|r| r.seed != seed)
                .map_or(0.0, |r| r.accuracy[0])
        };
        let truth = |n: usize, _: u64| truth[n];
        println!(
            "{name:<44} {:>6.2} {:>6.2} {:>6.2} {:>6.2} {:>6.2} {:>6.2} {:>6.2} {:>6.2}",
            mean(all().map(|r| r.seconds)),
            100.0 * mean(all().map(|r| r.accuracy[0])),
            100.0 * spread,
            100.0 * (squares / free.max(1.0)).sqrt(),
            tau(&|r| r.accuracy[0], &truth),
            tau(&|r| r.accuracy[1], &truth),
            tau(&|r| r.accuracy[0], &other),
            tau(&|r| -r.loss, &truth)
        );
    }
}
