//! What batches that overlap cost a search: the mean true reward of its last quarter, on toy
//! landscapes, by staleness.

use std::collections::BTreeMap;

use mnas_search::{ControllerSpec, Space};
use mnas_testkit::landscape::{KINDS, Landscape, quarters, search_ahead};

const SEEDS: u64 = 10;
/// Proposals, and proposals per batch.
const SIZES: (u64, u64) = (480, 16);

fn main() {
    let space = Space::builtin("mnasnet").expect("a built-in space");
    println!(
        "mean true reward of the last {} of {} proposals, batches of {}, {SEEDS} seeds",
        SIZES.0 / 4,
        SIZES.0,
        SIZES.1
    );
    println!("algorithm   landscape   staleness 0       1       3       7");
    for algorithm in ["ppo", "evolution", "random"] {
        let controller = ControllerSpec {
            algorithm: algorithm.into(),
            settings: BTreeMap::new(),
        };
        for kind in KINDS {
            let mean = |staleness| {
                let last = |seed| {
                    let landscape = Landscape::new(kind, &space, seed);
                    let found =
                        search_ahead(&controller, &space, &landscape, seed, SIZES, staleness);
                    quarters(&found)[3]
                };
                (0..SEEDS).map(last).sum::<f64>() / SEEDS as f64
            };
            let [a, b, c, d] = [0, 1, 3, 7].map(mean);
            let kind = format!("{kind:?}");
            println!("{algorithm:11} {kind:11} {a:11.4} {b:7.4} {c:7.4} {d:7.4}");
        }
    }
}
