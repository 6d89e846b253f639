//! How well short trainings rank networks: the choice of the default proxy.
//!
//!     proxy_rank FILE [KEY=VALUE...]
//!
//! The same networks of the small-image space, none slower than twice the example's target, are trained
//! under each recipe and seed on the built-in images, two at a time. Every training is a JSON line of
//! FILE and isn't repeated; what is printed at the end has a line per recipe: Kendall's tau of its
//! accuracies with the mean of the full trainings', its noise (standard deviation of one network over
//! seeds), and its cost in images. Keys: `networks`, `seeds`, `device`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use mnas_deploy::{Candidate, MeasurePlan, kendall_tau};
use mnas_net::{Graph, NetSpec, Purpose, Weights, stream, zoo};
use mnas_search::Space;
use mnas_train::{Control, Data, Recipe, TrainJob, cpu, train};
use serde::{Deserialize, Serialize};

/// Name of the training that the short ones should agree with: the example's.
const FULL: &str = "full";

/// One training.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    recipe: String,
    net: usize,
    seed: u64,
    accuracy: f64,
    loss: f64,
}

/// Recipes by name, those that are needed most first.
fn recipes(data: &Data) -> Vec<(String, Recipe)> {
    let short = |images: usize, epochs: f64, batch: usize, learning_rate: f32| {
        let recipe = Recipe {
            epochs,
            batch,
            learning_rate,
            train_images: Some(images),
            ..Recipe::proxy(&data.meta)
        };
        (
            format!("{images} x {epochs}, batch {batch}, rate {learning_rate}"),
            recipe,
        )
    };
    let full = Recipe {
        epochs: 6.0,
        ..Recipe::full(&data.meta)
    };
    vec![
        (FULL.into(), full),
        short(1500, 3.0, 32, 0.05),
        short(1500, 3.0, 16, 0.02),
        short(4500, 1.0, 32, 0.05),
        short(9000, 1.0, 16, 0.02),
        short(3000, 3.0, 16, 0.02),
        short(1500, 3.0, 32, 0.02),
    ]
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(file) = args.first() else {
        eprintln!("usage: proxy_rank FILE [networks=20] [seeds=2] [device=linear:FILE]");
        std::process::exit(2);
    };
    let value = |key: &str| {
        let pairs = args[1..].iter().filter_map(|a| a.split_once('='));
        pairs.filter(|(k, _)| *k == key).map(|(_, v)| v).next_back()
    };
    let number = |key: &str, default: usize| {
        value(key).map_or(default, |v| {
            v.parse().unwrap_or_else(|_| panic!("{key}={v}: no number"))
        })
    };
    let device = value("device").unwrap_or("linear:benches/host-rten-calibrated.linear.toml");
    let options = mnas_train::OpenOptions {
        cache_dir: &std::env::temp_dir(),
        image_size: None,
        seed: 0,
        validation_fraction: 0.1,
        progress: &|_, _| {},
    };
    let data = mnas_train::open("fashion-mnist-10k", &options).expect("the built-in images");
    let nets = networks(number("networks", 20), device, &data);
    let recipes = recipes(&data);
    let done = runs(Path::new(file));
    let mut todo: Vec<(usize, usize, u64)> = vec![];
    for seed in 0..number("seeds", 2) as u64 {
        for recipe in 0..recipes.len() {
            todo.extend((0..nets.len()).map(|net| (recipe, net, seed)));
        }
    }
    todo.retain(|(recipe, net, seed)| {
        let same = |r: &Run| r.recipe == recipes[*recipe].0 && r.net == *net && r.seed == *seed;
        !done.iter().any(same)
    });
    todo.reverse();
    eprintln!("{} trainings are done, {} to do", done.len(), todo.len());
    let todo = Mutex::new(todo);
    let out = OpenOptions::new().create(true).append(true).open(file);
    let out = Mutex::new(out.expect("the file of results"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().expect("no panic").pop();
                    let Some((recipe, net, seed)) = next else {
                        return;
                    };
                    let (name, recipe) = &recipes[recipe];
                    let (accuracy, loss) = trained(&nets[net], &data, recipe, net as u64, seed);
                    let run = Run {
                        recipe: name.clone(),
                        net,
                        seed,
                        accuracy,
                        loss,
                    };
                    let line = serde_json::to_string(&run).expect("a run is JSON");
                    writeln!(out.lock().expect("no panic"), "{line}").expect("the file of results");
                }
            });
        }
    });
    print(&recipes, &runs(Path::new(file)));
}

/// Validation accuracy and loss of one training; chance where it diverges.
fn trained(graph: &Graph, data: &Data, recipe: &Recipe, trial: u64, seed: u64) -> (f64, f64) {
    let job = TrainJob {
        graph,
        train: &data.train,
        validation: Some(&data.validation),
        meta: &data.meta,
        recipe,
        seed,
        trial,
        threads: 1,
        cut: None,
        start: None,
        checkpoint: None,
    };
    let trained = train(&cpu(), &job, &mut |_| Control::Continue);
    let evaluation = trained.ok().and_then(|t| t.evaluation);
    let chance = 1.0 / data.meta.classes.len() as f64;
    evaluation.map_or((chance, f64::INFINITY), |e| (e.top1, e.loss))
}

/// Balanced samples of the space that a search would train.
fn networks(count: usize, device: &str, data: &Data) -> Vec<Graph> {
    let space = Space::builtin("mnasnet-small").expect("a built-in space");
    let graph = |spec: &NetSpec| spec.graph(data.meta.shape, data.meta.classes.len());
    let mut specs = vec![
        zoo::find("mobilenet-v2-small")
            .expect("a network of the zoo")
            .spec,
    ];
    let samples = space.balanced(3 * count, &mut stream(0, 1 << 41, Purpose::Sample));
    specs.extend(
        samples
            .iter()
            .map(|s| space.decode(s).expect("tokens of the space")),
    );
    let graphs: Vec<Graph> = specs.iter().map(|s| graph(s).expect("a network")).collect();
    let weights: Vec<Weights> = graphs
        .iter()
        .map(|g| Weights::init(g, &mut stream(0, 0, Purpose::Init)))
        .collect();
    let texts: Vec<String> = specs.iter().map(NetSpec::to_string).collect();
    let candidates: Vec<Candidate<'_>> = (0..specs.len())
        .map(|i| Candidate {
            name: "",
            spec: &texts[i],
            graph: &graphs[i],
            weights: &weights[i],
        })
        .collect();
    let mut device = mnas_deploy::open(device).expect("a device");
    let measured = device
        .measure(&candidates, &MeasurePlan::search())
        .expect("latencies");
    let ms: Vec<f64> = measured
        .iter()
        .map(|m| m.as_ref().map_or(f64::INFINITY, |s| s.median_ms()))
        .collect();
    let kept = graphs
        .iter()
        .zip(&ms)
        .skip(1)
        .filter(|(_, x)| **x <= 2.0 * ms[0]);
    kept.map(|(g, _)| g.clone()).take(count).collect()
}

fn runs(file: &Path) -> Vec<Run> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = |l| serde_json::from_str(l).expect("a run per line");
    text.lines().map(line).collect()
}

fn print(recipes: &[(String, Recipe)], runs: &[Run]) {
    let by_net = |name: &str| {
        let mut found: BTreeMap<usize, BTreeMap<u64, f64>> = BTreeMap::new();
        for run in runs.iter().filter(|r| r.recipe == name) {
            found
                .entry(run.net)
                .or_default()
                .insert(run.seed, run.accuracy);
        }
        found
    };
    let mean = |values: &BTreeMap<u64, f64>| values.values().sum::<f64>() / values.len() as f64;
    let full = by_net(FULL);
    println!(
        "images   tau with the mean of the full   tau of one seed with the next   noise   spread   recipe"
    );
    for (name, recipe) in recipes {
        let short = by_net(name);
        let seeds = short.values().map(BTreeMap::len).max().unwrap_or(0) as u64;
        let mut taus = vec![];
        for seed in 0..seeds {
            let pair = |net| {
                let mut truth = full.get(net)?.clone();
                // A full training isn't compared with itself.
                if name == FULL {
                    truth.remove(&seed);
                }
                Some((*short.get(net)?.get(&seed)?, mean(&truth)))
            };
            let pairs: Vec<(f64, f64)> = full.keys().filter_map(pair).collect();
            taus.push(kendall_tau(&pairs));
        }
        let tau = taus.iter().sum::<f64>() / taus.len().max(1) as f64;
        let own: Vec<(f64, f64)> = short
            .values()
            .filter_map(|v| Some((*v.get(&0)?, *v.get(&1)?)))
            .collect();
        let noise =
            own.iter().map(|(a, b)| (a - b).powi(2) / 2.0).sum::<f64>() / own.len().max(1) as f64;
        let means: Vec<f64> = short.values().map(mean).collect();
        let middle = means.iter().sum::<f64>() / means.len().max(1) as f64;
        let spread =
            means.iter().map(|m| (m - middle).powi(2)).sum::<f64>() / (means.len() as f64 - 1.0);
        let images = recipe.epochs * recipe.train_images.unwrap_or(9000) as f64;
        println!(
            "{images:6}   {tau:6.3}   {:6.3}   {:5.2}   {:5.2}   {name}",
            kendall_tau(&own),
            100.0 * noise.sqrt(),
            100.0 * spread.sqrt()
        );
    }
}
