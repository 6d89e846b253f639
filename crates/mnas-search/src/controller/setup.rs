//! What every algorithm is built from: decisions and numbers, never a network.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Decision, Images, Objective, Space, Tokens};

/// What is known of the network that a sample stands for before anything is tried.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    /// Equal networks have equal names.
    pub name: u64,
    /// Logarithms of what it costs, such as its multiply-accumulates: as many for every sample.
    pub costs: Vec<f64>,
}

/// Costs of samples: a search asks of the same ones and their neighbours again and again.
type Lately = HashMap<Tokens, Vec<f64>>;
/// So many samples are remembered.
const LATELY_MAX: usize = 20_000;

type Told = Arc<dyn Fn(&[u16]) -> Network + Send + Sync>;

/// Where [`Network`]s are known from.
#[derive(Clone)]
enum Networks {
    /// Different samples are different networks; no more is known.
    Tokens,
    /// A space, its images, by which costs are known, and what was asked lately.
    Space(Arc<Space>, Option<Images>, Arc<Mutex<Lately>>),
    /// Told for each sample.
    Told(Told),
}

/// What every algorithm is built from.
#[derive(Clone)]
pub struct Setup {
    /// Number of choices of each decision.
    pub(crate) choices: Vec<usize>,
    /// Whether the choices of each decision are numbers in rising or falling order.
    pub(crate) ordered: Vec<bool>,
    /// Decisions of one kind have one number: the same question asked of different blocks.
    pub(crate) kinds: Vec<usize>,
    /// Seed of the study.
    pub(crate) seed: u64,
    /// Number of proposals planned.
    pub(crate) budget: u64,
    /// Proposals of a batch: what may be proposed before the first of them is observed.
    pub(crate) batch: u64,
    /// What the study maximises.
    pub(crate) objective: Objective,
    networks: Networks,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("choices", &self.choices)
            .field("ordered", &self.ordered)
            .field("kinds", &self.kinds)
            .field("seed", &self.seed)
            .field("budget", &self.budget)
            .field("batch", &self.batch)
            .field("objective", &self.objective)
            .finish_non_exhaustive()
    }
}

impl Setup {
    /// Decisions with these numbers of choices, where different samples are different things. Seed
    /// 0, a budget of 100 proposals, one at a time.
    pub fn new(choices: Vec<usize>, objective: Objective) -> Setup {
        Setup {
            ordered: vec![false; choices.len()],
            kinds: (0..choices.len()).collect(),
            choices,
            seed: 0,
            budget: 100,
            batch: 1,
            objective,
            networks: Networks::Tokens,
        }
    }

    /// The decisions of a space, where samples of one network count as the same.
    pub fn of(space: &Space, objective: Objective) -> Setup {
        let decisions = space.decisions();
        let mut setup = Setup::new(
            decisions.iter().map(|d| d.choices.len()).collect(),
            objective,
        );
        setup.ordered = decisions.iter().map(|d| in_order(&d.choices)).collect();
        // `block3.kernel` and `block5.kernel` ask the same, if of as many choices.
        let kind = |d: &Decision| {
            let asked = d.name.rsplit('.').next().unwrap_or_default().to_owned();
            (asked, d.choices.len())
        };
        let kinds: Vec<(String, usize)> = decisions.iter().map(kind).collect();
        let first = |k| {
            kinds
                .iter()
                .position(|other| other == k)
                .unwrap_or_default()
        };
        setup.kinds = kinds.iter().map(first).collect();
        setup.networks = Networks::Space(Arc::new(space.clone()), None, Arc::default());
        setup
    }

    /// Where a space's networks are for these images: multiply-accumulates and
    /// parameters of every network are known before it is tried.
    #[must_use]
    pub fn for_images(mut self, of: Images) -> Setup {
        if let Networks::Space(_, images, lately) = &mut self.networks {
            (*images, *lately) = (Some(of), Arc::default());
        }
        self
    }

    /// Where this is what is known of each sample's network.
    #[must_use]
    pub fn told(mut self, of: impl Fn(&[u16]) -> Network + Send + Sync + 'static) -> Setup {
        self.networks = Networks::Told(Arc::new(of));
        self
    }

    /// With this seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Setup {
        self.seed = seed;
        self
    }

    /// For `budget` proposals in batches of `batch`.
    #[must_use]
    pub fn planned(mut self, budget: u64, batch: u64) -> Setup {
        self.budget = budget;
        self.batch = batch.max(1);
        self
    }

    /// Logarithms of what a sample's network costs; empty where that isn't known.
    pub(crate) fn costs(&self, tokens: &[u16]) -> Vec<f64> {
        match &self.networks {
            Networks::Told(of) => of(tokens).costs,
            Networks::Space(space, Some(images), lately) => {
                let mut lately = lately.lock().unwrap_or_else(PoisonError::into_inner);
                if lately.len() >= LATELY_MAX {
                    lately.clear();
                }
                match lately.get(tokens) {
                    Some(costs) => costs.clone(),
                    None => {
                        let spec = space.decode(tokens).ok();
                        let costs = spec.map_or_else(|| vec![0.0; 2], |s| images.log_costs(&s));
                        lately.insert(tokens.to_vec(), costs.clone());
                        costs
                    }
                }
            }
            Networks::Space(_, None, _) | Networks::Tokens => vec![],
        }
    }

    /// The name of what a sample stands for.
    pub(crate) fn name_of(&self, tokens: &[u16]) -> u64 {
        let of_tokens = || fnv(tokens.iter().flat_map(|t| t.to_le_bytes()));
        match &self.networks {
            Networks::Told(of) => of(tokens).name,
            Networks::Space(space, ..) => match space.decode(tokens) {
                Ok(spec) => fnv(spec.hash().bytes()),
                Err(_) => of_tokens(),
            },
            Networks::Tokens => of_tokens(),
        }
    }
}

/// Whether choices are numbers that rise or fall.
fn in_order(choices: &[String]) -> bool {
    let numbers: Option<Vec<f64>> = choices.iter().map(|c| c.parse().ok()).collect();
    numbers.is_some_and(|n| n.is_sorted() || n.is_sorted_by(|a, b| a >= b))
}

/// FNV-1a, 64 bits.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectiveKind;
    use crate::space::Shape;

    #[test]
    fn a_space_gives_order_and_names() {
        let text = "stem_k3_s1_c8\n{ds,ir_e3}_r1_k{3,5}_s2_c{8,16}_skip{identity,none}\n\
                    ds_r1_k{3,5}_s2_c16\nhead_c16";
        let space = Space::parse("toy", text).unwrap();
        let objective = Objective {
            kind: ObjectiveKind::SOFT,
            target_ms: 1.0,
        };
        let setup = Setup::of(&space, objective);
        assert_eq!(setup.choices, [2, 2, 2, 2, 2]);
        assert_eq!(setup.ordered, [false, true, true, false, true]);
        assert_eq!(setup.kinds, [0, 1, 2, 3, 1]);
        // A skip can't matter at a stride; a kernel does.
        assert_eq!(
            setup.name_of(&[1, 0, 0, 0, 0]),
            setup.name_of(&[1, 0, 0, 1, 0])
        );
        assert_ne!(
            setup.name_of(&[1, 0, 0, 0, 0]),
            setup.name_of(&[1, 1, 0, 0, 0])
        );
        assert!(setup.costs(&[0; 5]).is_empty());
        let setup = setup.for_images(Images {
            input: Shape::new(16, 16, 3),
            classes: 10,
        });
        let of = |tokens: &[u16]| setup.costs(tokens);
        assert_eq!(of(&[0; 5]).len(), 2);
        // A wider block costs more of both.
        assert!(
            of(&[0, 0, 1, 0, 0])
                .iter()
                .zip(of(&[0; 5]))
                .all(|(w, n)| *w > n)
        );
        assert!(!in_order(&["3".into(), "1".into(), "2".into()]));
    }
}
