//! What is searched: decisions, and what a sample of them would measure.

use std::collections::BTreeMap;
use std::path::Path;

use mnas_net::Shape;
use mnas_search::{Images, Network, Objective, ObjectiveKind, Setup, Space, front};
use mnas_testkit::landscape::{self, Kind, Landscape};
use serde::Deserialize;

use crate::hardware;

/// What a trial measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Accuracy and cost; `None` where a problem tells rewards only.
    pub(crate) apart: Option<(f64, f64)>,
    /// The reward without noise, by which runs are judged.
    pub(crate) reward: f64,
    /// The reward that the algorithm is told.
    pub(crate) told: f64,
}

type Measure = Box<dyn Fn(&[u16], u64, u64) -> Measured + Send + Sync>;

/// A problem whose optimum is known.
pub(crate) struct Problem {
    /// Name.
    pub(crate) name: String,
    /// What algorithms are built from, without seed and budget.
    pub(crate) setup: Setup,
    /// What the sample of a trial of a seed measures.
    pub(crate) measure: Measure,
    /// The best possible reward; of a space too large to go through, the best that hill climbing with
    /// the true values found.
    pub(crate) best: f64,
    /// For two objectives: where hypervolume is seen from, and that of the true front.
    pub(crate) front: Option<Front>,
}

/// The true front of a problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Front {
    /// Accuracy and cost from which hypervolume is seen: the worst of all samples.
    pub(crate) reference: (f64, f64),
    /// Hypervolume of the front of all samples.
    pub(crate) volume: f64,
}

#[derive(Deserialize)]
struct Entry {
    mean_acc: f64,
    test_acc: [f64; 3],
    flops: f64,
    params: f64,
}

/// Target of the macro problems, millions of multiply-accumulates.
const TARGET: f64 = 45.0;

/// Every problem that the data allows.
pub(crate) fn all(data: &Path) -> Result<Vec<Problem>, String> {
    let mut problems = vec![];
    let table = data.join("nas-bench-macro/nas-bench-macro_cifar10.json");
    if table.is_file() {
        let text = std::fs::read_to_string(&table).map_err(|e| e.to_string())?;
        let entries: BTreeMap<String, Entry> =
            serde_json::from_str(&text).map_err(|e| e.to_string())?;
        for (name, kind) in [
            ("macro-soft", ObjectiveKind::SOFT),
            ("macro-hard", ObjectiveKind::HARD),
            ("macro-soft-noisy", ObjectiveKind::SOFT),
            ("macro-hard-noisy", ObjectiveKind::HARD),
            ("macro-soft-blind", ObjectiveKind::SOFT),
            ("macro-hard-blind", ObjectiveKind::HARD),
            ("macro-front", ObjectiveKind::SOFT),
            ("macro-front-blind", ObjectiveKind::SOFT),
        ] {
            problems.push(tabular(name, kind, &entries));
        }
    } else {
        eprintln!("skipped: macro problems (no {})", table.display());
    }
    let csv = data.join("hw-latency/fbnet_latency_5000.csv");
    if csv.is_file() {
        problems.extend(hardware::problems(&csv)?);
    } else {
        eprintln!("skipped: hw-latency problems (no {})", csv.display());
    }
    for kind in landscape::KINDS {
        problems.push(toy(kind)?);
    }
    Ok(problems)
}

fn key(tokens: &[u16]) -> String {
    tokens.iter().map(|t| char::from(b'0' + *t as u8)).collect()
}

/// NAS-Bench-Macro: accuracy of 6,561 networks looked up. The true accuracy is the mean of three
/// trainings; of a noisy problem, a trial is told one of the three, by its seed and number. A blind
/// problem tells algorithms nothing of a network before they try it.
fn tabular(name: &str, kind: ObjectiveKind, entries: &BTreeMap<String, Entry>) -> Problem {
    let objective = Objective {
        kind,
        target_ms: TARGET,
    };
    let (noisy, blind) = (name.ends_with("noisy"), name.ends_with("blind"));
    let setup = Setup::new(vec![3; 8], objective);
    let rows: BTreeMap<String, ([f64; 3], f64, f64)> = entries
        .iter()
        .map(|(key, e)| {
            let runs = e.test_acc.map(|a| a / 100.0);
            (key.clone(), (runs, e.mean_acc / 100.0, e.flops / 1e6))
        })
        .collect();
    let points: Vec<(f64, f64)> = rows.values().map(|(_, a, f)| (*a, *f)).collect();
    let worst = |a: (f64, f64), b: &(f64, f64)| (a.0.min(b.0), a.1.max(b.1));
    let reference = points.iter().fold((1.0, 0.0), worst);
    let rewards = points.iter().map(|(a, f)| objective.reward(*a, *f));
    Problem {
        name: name.into(),
        setup: if blind { setup } else { known(setup, entries) },
        best: rewards.fold(f64::NEG_INFINITY, f64::max),
        front: name.starts_with("macro-front").then(|| Front {
            reference,
            volume: front::hypervolume(&points, reference),
        }),
        measure: Box::new(move |tokens, seed, trial| {
            let (runs, mean, cost) = rows[&key(tokens)];
            let told = match noisy {
                true => runs[((seed * 31 + trial) % 3) as usize],
                false => mean,
            };
            Measured {
                apart: Some((told, cost)),
                reward: objective.reward(mean, cost),
                told: objective.reward(told, cost),
            }
        }),
    }
}

/// A landscape of the test kit over the paper's space: rewards only, with noise.
fn toy(kind: Kind) -> Result<Problem, String> {
    let space = Space::builtin("mnasnet").ok_or("the space mnasnet is missing")?;
    let terrain = Landscape::new(kind, &space, 1000);
    let setup = Setup::of(&space, landscape::OBJECTIVE).for_images(Images {
        input: Shape::new(224, 224, 3),
        classes: 1000,
    });
    let choices: Vec<usize> = space.decisions().iter().map(|d| d.choices.len()).collect();
    let best = hardware::climb(&choices, &|tokens| terrain.reward(tokens));
    Ok(Problem {
        name: format!("toy-{}", format!("{kind:?}").to_lowercase()),
        setup,
        best,
        front: None,
        measure: Box::new(move |tokens, seed, trial| Measured {
            apart: None,
            reward: terrain.reward(tokens),
            told: terrain.measure(tokens, seed, trial),
        }),
    })
}

/// The sample that stands for all of the same network: an identity does nothing wherever it stands in its
/// stage, but for the first layer, which has a stride. That makes 3,969 networks of 6,561 samples, and the
/// table has one accuracy for each.
fn representative(key: &str) -> String {
    let mut name = String::new();
    for stage in [&key[..2], &key[2..5], &key[5..]] {
        let rest: String = stage[1..].chars().filter(|c| *c != '0').collect();
        name.push_str(&stage[..1]);
        name.push_str(&rest);
        name.extend(std::iter::repeat_n('0', stage.len() - 1 - rest.len()));
    }
    name
}

/// What our algorithms know of a network before they try it, as they do of every space of theirs: which
/// samples are the same network, and what it costs.
fn known(setup: Setup, entries: &BTreeMap<String, Entry>) -> Setup {
    let network = |(key, entry): (&String, &Entry)| {
        let digits = representative(key).into_bytes().into_iter();
        let name = digits.fold(0, |name, digit| 4 * name + u64::from(digit - b'0'));
        let costs = vec![entry.flops.ln(), entry.params.ln()];
        (key.clone(), Network { name, costs })
    };
    let networks: BTreeMap<String, Network> = entries.iter().map(network).collect();
    setup.told(move |tokens| networks[&key(tokens)].clone())
}
