//! How alike two samples are, for a Gaussian process over decisions.
//!
//! The covariance is that of a function which is a sum of
//! - effects of single choices, each decision with a variance of its own;
//! - effects that a choice has wherever it is made, for decisions that ask the same of different blocks;
//! - effects of pairs of choices, the stronger the nearer their decisions stand in the network;
//! - a smooth function of what the network costs, where that is known;
//! - a smooth rest.
//!
//! (Duvenaud et al. 2011, "Additive Gaussian Processes", for sums over orders.) Networks' costs are nearly
//! such sums, and so is the logarithm of their error: in NAS-Bench-Macro single choices explain 87 % of its
//! variance and pairs 11 %, of neighbours above all.

use super::costs::{self, Costs};
use super::matrix::{Triangle, dot};

/// How fast the smooth rest forgets: `exp(-RANGE x share that differs)`.
const RANGE: f64 = 3.0;
/// Variance of the constant, in units of the values' own.
const CONSTANT: f64 = 1.0;
/// Factor of a pair's variance for every decision that its two lie further apart.
const REACH: f64 = 0.7;

/// What decisions there are.
#[derive(Debug, Clone)]
pub(super) struct Decisions {
    /// Number of choices of each.
    pub(super) choices: Vec<usize>,
    /// Whether the choices of each are numbers in order.
    pub(super) ordered: Vec<bool>,
    /// Decisions of one kind have one number.
    pub(super) kinds: Vec<usize>,
    /// What networks cost.
    pub(super) costs: Costs,
}

impl Decisions {
    /// How often a sample makes each choice of each kind of decision, less the expected number and
    /// scaled to unit variance of a kind's effects. Empty where no two decisions are of a kind.
    fn counts(&self, tokens: &[u16]) -> Vec<f64> {
        let mut counts = vec![];
        for (first, kind) in self.kinds.iter().enumerate() {
            if self.kinds[..first].contains(kind) {
                continue;
            }
            let same: Vec<usize> = (first..self.kinds.len())
                .filter(|d| self.kinds[*d] == *kind)
                .collect();
            let n = self.choices[first];
            if same.len() < 2 || n < 2 {
                continue;
            }
            let many = same.len() as f64;
            let expected = many / n as f64;
            let mut of_kind = vec![-expected; n];
            same.iter()
                .for_each(|d| of_kind[usize::from(tokens[*d])] += 1.0);
            let scale = 1.0 / libm::sqrt(many * (1.0 - 1.0 / n as f64));
            counts.extend(of_kind.iter().map(|c| c * scale));
        }
        counts
    }

    /// Number of kinds that several decisions are of.
    pub(super) fn shared_kinds(&self) -> usize {
        let first = |d: &usize| !self.kinds[..*d].contains(&self.kinds[*d]);
        let again = |d: &usize| self.kinds[d + 1..].contains(&self.kinds[*d]);
        let open = |d: &usize| self.choices[*d] > 1;
        (0..self.kinds.len())
            .filter(|d| first(d) && again(d) && open(d))
            .count()
    }

    /// A sample, ready to be compared.
    pub(super) fn sample(&self, tokens: &[u16]) -> Sample {
        Sample {
            tokens: tokens.to_vec(),
            counts: self.counts(tokens),
            costs: self.costs.of(tokens),
        }
    }
}

/// A sample with what is needed to compare it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) tokens: Vec<u16>,
    counts: Vec<f64>,
    costs: Vec<f64>,
}

/// Samples that others are compared with.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    all: Vec<Sample>,
    /// Per decision, the choice of each sample.
    choices: Vec<Vec<u16>>,
}

impl Samples {
    pub(super) fn of(decisions: &Decisions, tokens: &[Vec<u16>]) -> Samples {
        let mut samples = Samples {
            all: vec![],
            choices: vec![vec![]; decisions.choices.len()],
        };
        tokens
            .iter()
            .for_each(|t| samples.push(decisions.sample(t)));
        samples
    }

    pub(super) fn all(&self) -> &[Sample] {
        &self.all
    }

    pub(super) fn push(&mut self, sample: Sample) {
        debug_assert_eq!(sample.tokens.len(), self.choices.len());
        for (choices, token) in self.choices.iter_mut().zip(&sample.tokens) {
            choices.push(*token);
        }
        self.all.push(sample);
    }
}

/// Variances, in units of the values' own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    /// Of each decision's single effect.
    pub(super) single: Vec<f64>,
    /// Of the effects that choices have wherever they are made.
    pub(super) shared: f64,
    /// Of pairs of choices together.
    pub(super) pairs: f64,
    /// Of what costs tell.
    pub(super) costs: f64,
    /// Of the smooth rest.
    pub(super) rest: f64,
    /// Of a measurement's noise.
    pub(super) noise: f64,
}

/// Likeness of two samples in each respect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Likeness {
    pub(super) single: f64,
    pub(super) shared: f64,
    pub(super) pairs: f64,
    pub(super) costs: f64,
    pub(super) rest: f64,
}

/// The kernel with its weights, ready to compare samples.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    weights: Weights,
    /// Per decision, by `a * choices + b`: likeness, weighted by its share of single effects.
    tables: Vec<Vec<f64>>,
    choices: Vec<usize>,
    total: f64,
    /// What pairs of a sample with itself sum to.
    pair_norm: f64,
    /// One over the number of shared kinds.
    shared_norm: f64,
}

/// Likeness of choices `a` and `b` of `n`, 1 for equal ones. Ordered choices are the more alike the
/// nearer they stand.
pub(super) fn likeness(a: usize, b: usize, n: usize, ordered: bool) -> f64 {
    match (a == b, ordered && n > 2) {
        (true, _) => 1.0,
        (false, false) => 0.0,
        (false, true) => 0.5 * (1.0 - a.abs_diff(b) as f64 / (n - 1) as f64),
    }
}

/// What two samples have in common, summed over decisions in their order.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    alike: f64,
    /// Sum over pairs of decisions of the product of their likenesses, less for distant ones.
    pairs: f64,
    before: f64,
}

impl Sums {
    /// Takes in the likeness of the next decision's choices.
    fn add(&mut self, likeness: f64) {
        self.alike += likeness;
        self.pairs += likeness * self.before;
        self.before = (self.before + likeness) * REACH;
    }

    fn of(likenesses: impl Iterator<Item = f64>) -> Sums {
        let mut sums = Sums::default();
        likenesses.for_each(|l| sums.add(l));
        sums
    }
}

impl Kernel {
    pub(super) fn new(weights: &Weights, decisions: &Decisions) -> Kernel {
        let total: f64 = weights.single.iter().sum::<f64>().max(1e-12);
        let shares: Vec<f64> = weights.single.iter().map(|w| w / total).collect();
        let mut tables = vec![];
        for ((share, n), ordered) in shares
            .iter()
            .zip(&decisions.choices)
            .zip(&decisions.ordered)
        {
            let mut table = vec![];
            for a in 0..*n {
                table.extend((0..*n).map(|b| share * likeness(a, b, *n, *ordered)));
            }
            tables.push(table);
        }
        Kernel {
            weights: weights.clone(),
            tables,
            choices: decisions.choices.clone(),
            total,
            pair_norm: Sums::of(shares.iter().copied()).pairs.max(1e-9),
            shared_norm: 1.0 / decisions.shared_kinds().max(1) as f64,
        }
    }

    /// Likeness of a sample with the first `count` others in each respect. In all but what is shared,
    /// a sample's with itself is 1; in what is shared, it is 1 on average.
    pub(super) fn likenesses(
        &self,
        sample: &Sample,
        others: &Samples,
        count: usize,
    ) -> Vec<Likeness> {
        let mut sums = vec![Sums::default(); count];
        // Decision by decision, so that the sums of different samples don't wait for each other.
        for (d, table) in self.tables.iter().enumerate() {
            let n = self.choices[d];
            let own = &table[usize::from(sample.tokens[d]) * n..][..n];
            for (sums, theirs) in sums.iter_mut().zip(&others.choices[d]) {
                sums.add(own[usize::from(*theirs)]);
            }
        }
        let each = sums.iter().zip(&others.all);
        each.map(|(sums, other)| self.likeness(sums, sample, other))
            .collect()
    }

    fn likeness(&self, sums: &Sums, a: &Sample, b: &Sample) -> Likeness {
        Likeness {
            single: sums.alike,
            shared: self.shared_norm * dot(&a.counts, &b.counts),
            pairs: sums.pairs / self.pair_norm,
            costs: costs::likeness(&a.costs, &b.costs),
            rest: libm::exp(-RANGE * (1.0 - sums.alike)),
        }
    }

    fn weighted(&self, l: &Likeness) -> f64 {
        let w = &self.weights;
        let effects = self.total * l.single + w.shared * l.shared + w.pairs * l.pairs;
        CONSTANT + effects + w.costs * l.costs + w.rest * l.rest
    }

    /// Variance of a sample's true value.
    pub(super) fn variance(&self, sample: &Sample) -> f64 {
        let mut sums = Sums::default();
        for (d, table) in self.tables.iter().enumerate() {
            sums.add(table[usize::from(sample.tokens[d]) * (self.choices[d] + 1)]);
        }
        self.weighted(&self.likeness(&sums, sample, sample))
    }

    /// Covariances of a sample's true value with those of the first `count` others.
    pub(super) fn cross(&self, sample: &Sample, others: &Samples, count: usize) -> Vec<f64> {
        let likenesses = self.likenesses(sample, others, count);
        likenesses.iter().map(|l| self.weighted(l)).collect()
    }

    /// The row that a sample adds to the covariance of measurements of the first `count` others.
    pub(super) fn row(&self, sample: &Sample, others: &Samples, count: usize) -> Vec<f64> {
        let mut row = self.cross(sample, others, count);
        row.push(self.variance(sample) + self.weights.noise);
        row
    }

    /// Covariance of measurements of samples.
    pub(super) fn matrix(&self, samples: &Samples) -> Triangle {
        let mut matrix = Triangle::default();
        for (i, sample) in samples.all.iter().enumerate() {
            matrix.push(&self.row(sample, samples, i));
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Objective, ObjectiveKind, Setup};

    fn decisions(choices: &[usize], kinds: &[usize]) -> Decisions {
        let objective = Objective {
            kind: ObjectiveKind::SOFT,
            target_ms: 1.0,
        };
        Decisions {
            costs: Costs::new(&Setup::new(choices.to_vec(), objective)),
            choices: choices.to_vec(),
            ordered: vec![false; choices.len()],
            kinds: kinds.to_vec(),
        }
    }

    #[test]
    fn covariances_are_those_of_sums_of_effects() {
        let weights = Weights {
            single: vec![0.2, 0.3],
            shared: 0.7,
            pairs: 0.5,
            costs: 0.0,
            rest: 0.0,
            noise: 0.1,
        };
        let decisions = decisions(&[3, 2], &[0, 1]);
        let kernel = Kernel::new(&weights, &decisions);
        let of = |a: [u16; 2], b: [u16; 2]| {
            let other = Samples::of(&decisions, &[b.to_vec()]);
            kernel.cross(&decisions.sample(&a), &other, 1)[0]
        };
        assert!((of([1, 1], [1, 1]) - 2.0).abs() < 1e-12);
        let own = kernel.variance(&decisions.sample(&[1, 1]));
        assert_eq!(own, of([1, 1], [1, 1]));
        // One choice in common: its single effect and the constant.
        assert!((of([1, 1], [1, 0]) - 1.2).abs() < 1e-12);
        assert!((of([2, 1], [1, 1]) - 1.3).abs() < 1e-12);
        assert!((of([2, 0], [1, 1]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn samples_compared_together_are_as_compared_alone() {
        let mut decisions = decisions(&[3, 2, 4], &[0, 1, 2]);
        decisions.ordered = vec![false, false, true];
        let weights = Weights {
            single: vec![0.2, 0.3, 0.4],
            shared: 0.0,
            pairs: 0.5,
            costs: 0.0,
            rest: 0.3,
            noise: 0.1,
        };
        let kernel = Kernel::new(&weights, &decisions);
        let others = [vec![0, 1, 3], vec![2, 0, 1], vec![1, 1, 2]];
        let sample = decisions.sample(&[2, 1, 0]);
        let cross = |others: &[Vec<u16>], count| {
            kernel.cross(&sample, &Samples::of(&decisions, others), count)
        };
        let alone = others
            .iter()
            .map(|other| cross(std::slice::from_ref(other), 1)[0]);
        let alone: Vec<f64> = alone.collect();
        assert_eq!(cross(&others, 3), alone);
        assert_eq!(cross(&others, 2), alone[..2]);
    }

    /// Samples that make a choice equally often, in different places, are alike in what is shared.
    #[test]
    fn what_is_shared_counts_choices() {
        let decisions = decisions(&[2, 2, 3, 2], &[0, 0, 2, 0]);
        assert_eq!(decisions.shared_kinds(), 1);
        let counts = |tokens: &[u16]| decisions.sample(tokens).counts;
        assert_eq!(counts(&[1, 0, 0, 0]), counts(&[0, 0, 2, 1]));
        assert_ne!(counts(&[1, 0, 0, 0]), counts(&[1, 1, 0, 0]));
        let squares: f64 = (0..8u16)
            .map(|i| counts(&[i & 1, i >> 1 & 1, 0, i >> 2]))
            .map(|c| dot(&c, &c))
            .sum();
        assert!((squares / 8.0 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn near_pairs_count_more() {
        let near = Sums::of([1.0, 1.0, 0.0].into_iter()).pairs;
        let far = Sums::of([1.0, 0.0, 1.0].into_iter()).pairs;
        assert!((far / near - REACH).abs() < 1e-12);
    }

    #[test]
    fn near_choices_of_an_order_are_alike() {
        assert_eq!(likeness(0, 2, 3, true), 0.0);
        assert_eq!(likeness(0, 1, 3, true), 0.25);
        assert_eq!(likeness(0, 1, 3, false), 0.0);
        assert_eq!(likeness(0, 1, 2, true), 0.0);
    }
}
