//! Algorithms learn: on a fixed budget they beat random search in every landscape and with every
//! seed. `cargo test --test learning -- --nocapture` prints the figures.

use std::collections::BTreeMap;

use mnas_search::{ControllerSpec, Space};
use mnas_testkit::landscape::{KINDS, Kind, Landscape, quarters, search};

const SEEDS: u64 = 5;

fn spec(algorithm: &str) -> ControllerSpec {
    ControllerSpec {
        algorithm: algorithm.into(),
        settings: BTreeMap::new(),
    }
}

/// Checks that the last quarter of proposals is better than random search's by `margin` with every
/// seed, and that the mean over seeds rises from quarter to quarter.
fn check(algorithm: &str, kind: Kind, size: (u64, u64), seeds: u64, margin: f64) {
    let space = Space::builtin("mnasnet").expect("a built-in space");
    let (mut means, mut baseline) = ([0.0; 4], 0.0);
    for seed in 0..seeds {
        let landscape = Landscape::new(kind, &space, 1000 + seed);
        let run = |name: &str| quarters(&search(&spec(name), &space, &landscape, seed, size));
        let (learnt, random) = (run(algorithm), run("random"));
        assert!(
            learnt[3] > random[3] + margin,
            "{algorithm} on {kind:?}, seed {seed}: {learnt:.4?}, random {random:.4?}"
        );
        baseline += random[3] / seeds as f64;
        means
            .iter_mut()
            .zip(learnt)
            .for_each(|(m, q)| *m += q / seeds as f64);
    }
    println!("{algorithm} on {kind:?}, {size:?}: quarters {means:.4?}, random {baseline:.4}");
    assert!(
        means.windows(2).all(|pair| pair[1] > pair[0]),
        "{algorithm} on {kind:?} doesn't rise: {means:.4?}"
    );
}

/// The margin is one spread of random networks' rewards on a smooth landscape; that with latency has
/// a ceiling two spreads up.
const MARGIN: f64 = 0.02;

#[test]
fn ppo_beats_random_where_choices_add_up() {
    check("ppo", Kind::Separable, (400, 8), SEEDS, 3.0 * MARGIN);
}

#[test]
fn ppo_beats_random_where_choices_interact() {
    check("ppo", Kind::Pairwise, (400, 8), SEEDS, 3.0 * MARGIN);
}

#[test]
fn ppo_beats_random_where_latency_counts() {
    check("ppo", Kind::Latency, (400, 8), SEEDS, MARGIN);
}

#[test]
fn ppo_learns_within_a_hundred_trials_in_large_batches() {
    for kind in KINDS {
        check("ppo", kind, (128, 16), SEEDS, 0.25 * MARGIN);
    }
}

#[test]
fn evolution_beats_random() {
    for kind in KINDS {
        check("evolution", kind, (400, 8), SEEDS, MARGIN);
    }
}

#[test]
fn reinforce_beats_random() {
    for kind in KINDS {
        check("reinforce", kind, (400, 8), SEEDS, MARGIN);
    }
}

#[test]
fn the_papers_settings_learn_when_given_their_time() {
    check("ppo-paper", Kind::Separable, (800, 20), 2, MARGIN);
}
