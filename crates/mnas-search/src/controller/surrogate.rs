//! Surrogate-guided search: Bayesian optimisation over decisions, for tens to hundreds of trials.
//!
//! Two Gaussian processes ([`process`]) say what is believed of accuracy and of latency, each on the
//! scale that explains what was measured best ([`belief`]). They are kept apart since a network's
//! latency is nearly a sum over its blocks and is known without training, while its accuracy isn't.
//! The proposal is the sample with the greatest expected improvement of the reward, or of the front
//! ([`acquisition`]); it is looked for around the best samples and uphill from there ([`candidates`]).
//! Within a batch, each further proposal takes those before it as measured at their believed values.

mod acquisition;
mod belief;
mod candidates;
mod costs;
mod kernel;
mod matrix;
mod points;
mod process;
mod settings;
mod state;

use mnas_net::{Purpose, Stream, stream};

use self::acquisition::{Guess, expected_front_gain, expected_reward_gain};
use self::belief::{Belief, Learnt, Scale};
use self::candidates::Worth;
use self::costs::Costs;
use self::kernel::{Decisions, Sample, Samples};
use self::points::Point;
use self::process::{Prior, Process};
use self::settings::Settings;
pub(super) use self::settings::{ALGORITHM, FRONT};
use super::random::spread;
use super::{Controller, Diagnostics, Observation, RestoreError, Setup, assert_sample};
use crate::Tokens;
use crate::front::pareto;

/// Samples around which candidates are drawn.
const PARENTS: usize = 10;
/// Samples that are gone through one by one where no candidate is new.
const ENUMERATED_MAX: f64 = 65_536.0;
/// A sample that this many batches proposed without being told of it isn't proposed again.
const LOST_MAX: u8 = 2;

struct Surrogate {
    name: &'static str,
    settings: Settings,
    setup: Setup,
    decisions: Decisions,
    known: Known,
    /// The open batch's proposals so far, in order of rank; none are kept over an observation.
    proposed: Vec<Tokens>,
    /// The models of the open batch; built for its first proposal.
    models: Option<Models>,
}

/// What is kept over batches.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    points: Vec<Point>,
    /// Names of what was observed, sorted.
    names: Vec<u64>,
    /// Samples that were proposed and never observed, by how many batches.
    lost: Vec<(Tokens, u8)>,
    accuracy: Vec<Learnt>,
    latency: Vec<Learnt>,
    /// Points when the variances were last learnt.
    learnt_at: usize,
    /// Points observed, those that were forgotten included.
    observed: usize,
}

/// What is believed at the state of [`Known`] and the proposals of the open batch.
struct Models {
    accuracy: Option<Belief>,
    latency: Option<Belief>,
    /// Of 1 for a network that works and 0 for one that fails; only where some failed.
    works: Option<Process>,
    /// The best reward believed of what was tried.
    best: f64,
    /// Accuracy and latency of what nothing dominates, by rising latency.
    front: Vec<(f64, f64)>,
    /// Least accuracy and greatest latency seen.
    worst: (f64, f64),
}

impl Surrogate {
    fn new(name: &'static str, settings: Settings, setup: &Setup) -> Surrogate {
        let decisions = Decisions {
            choices: setup.choices.clone(),
            ordered: setup.ordered.clone(),
            kinds: setup.kinds.clone(),
            costs: Costs::new(setup),
        };
        let weights = |prior: &Prior| prior.weights(&decisions);
        let learnt = |scales: &[Scale], prior: &Prior| {
            let new = |scale: &Scale| Learnt::new(*scale, weights(prior));
            scales.iter().map(new).collect()
        };
        let known = Known {
            points: vec![],
            names: vec![],
            lost: vec![],
            accuracy: learnt(&[Scale::LogError, Scale::Plain], &settings.accuracy),
            latency: learnt(&[Scale::Plain, Scale::Log], &settings.latency),
            learnt_at: 0,
            observed: 0,
        };
        Surrogate {
            name,
            decisions,
            settings,
            setup: setup.clone(),
            known,
            proposed: vec![],
            models: None,
        }
    }

    /// Proposals of the open batch up to a rank.
    fn propose_up_to(&mut self, rank: usize) -> Tokens {
        while self.proposed.len() <= rank {
            let mut models = self.models.take().unwrap_or_else(|| self.models());
            let next = self.best_candidate(&models, self.proposed.len() as u64);
            models.believe(&self.decisions.sample(&next), &self.setup);
            self.models = Some(models);
            self.proposed.push(next);
        }
        self.proposed[rank].clone()
    }

    fn models(&self) -> Models {
        let Known {
            points,
            accuracy,
            latency,
            ..
        } = &self.known;
        let (samples, values) = points::values(points, Point::quality);
        let accuracy = Belief::best(accuracy, &self.decisions, &samples, &values);
        let (samples, values) = points::values(points, |p| p.latency_ms);
        let latency = Belief::best(latency, &self.decisions, &samples, &values);
        let (samples, values) = points::values(points, |p| Some(f64::from(u8::from(!p.failed()))));
        let weights = self.settings.works.weights(&self.decisions);
        let works = match values.contains(&0.0) && values.contains(&1.0) {
            true => Process::new(&weights, &self.decisions, &samples, &values),
            false => None,
        };
        let mut models = Models {
            accuracy,
            latency,
            works,
            best: f64::NEG_INFINITY,
            front: vec![],
            worst: (f64::INFINITY, f64::NEG_INFINITY),
        };
        for point in points {
            models.worst.0 = point
                .accuracy
                .map_or(models.worst.0, |a| models.worst.0.min(a));
            models.worst.1 = point
                .latency_ms
                .map_or(models.worst.1, |l| models.worst.1.max(l));
            if point.quality().is_some() {
                models.count(&self.decisions.sample(&point.tokens), &self.setup);
            }
        }
        models
    }

    /// The best sample that wasn't tried, while there is one.
    fn best_candidate(&self, models: &Models, rank: u64) -> Tokens {
        let state = self.known.observed as u64;
        let mut draws = stream(self.setup.seed, state, Purpose::Learn);
        // A stream of its own for each proposal of the batch, from one seed.
        let seed = (0..=rank).fold(0, |_, _| draws.bits());
        let mut draws = stream(seed, rank, Purpose::Propose);
        let parents = self.parents(models);
        let front = self.settings.front;
        let mut worth =
            |tokens: &[u16]| models.worth(&self.decisions.sample(tokens), &self.setup, front);
        let choices = &self.setup.choices;
        let ranked = candidates::ranked(choices, &parents, &mut draws, &mut worth);
        let mut taken = self.known.names.clone();
        taken.extend(self.proposed.iter().map(|p| self.setup.name_of(p)));
        taken.sort_unstable();
        let is_new = |tokens: &Tokens| {
            let lost = self.known.lost.iter().find(|(t, _)| t == tokens);
            lost.is_none_or(|(_, times)| *times < LOST_MAX)
                && taken.binary_search(&self.setup.name_of(tokens)).is_err()
        };
        let new = ranked.iter().find(|t| is_new(t)).cloned();
        new.or_else(|| self.any(&mut draws, &is_new))
            .unwrap_or_else(|| ranked[0].clone())
    }

    /// Any new sample.
    fn any(&self, draws: &mut Stream, is_new: &dyn Fn(&Tokens) -> bool) -> Option<Tokens> {
        let choices = &self.setup.choices;
        let size: f64 = choices.iter().map(|n| *n as f64).product();
        if size > ENUMERATED_MAX {
            let mut draw = || choices.iter().map(|n| draws.below(*n) as u16).collect();
            return (0..100).map(|_| draw()).find(is_new);
        }
        let size = size as usize;
        let first = draws.below(size.max(1));
        let nth = |i: usize| {
            let mut left = (first + i) % size;
            let digit = |n: &usize| {
                let token = (left % n) as u16;
                left /= n;
                token
            };
            choices.iter().map(digit).collect()
        };
        (0..size).map(nth).find(is_new)
    }

    /// The samples with the highest rewards, or those of the front.
    fn parents(&self, models: &Models) -> Vec<Tokens> {
        let points = &self.known.points;
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|a, b| points[*b].reward.total_cmp(&points[*a].reward));
        order.truncate(PARENTS);
        if self.settings.front && models.latency.is_some() {
            let place = |p: &Point| {
                (
                    p.accuracy.unwrap_or(f64::NAN),
                    p.latency_ms.unwrap_or(f64::NAN),
                )
            };
            let places: Vec<(f64, f64)> = points.iter().map(place).collect();
            order = pareto(&places);
        }
        let mut parents: Vec<Tokens> = order.iter().map(|i| points[*i].tokens.clone()).collect();
        parents.dedup();
        parents
    }

    /// Learns the variances again once there are enough new points for it to pay.
    fn learn(&mut self) {
        let known = &mut self.known;
        let (now, then) = (known.observed, known.learnt_at);
        if now < self.settings.start || now - then < then / 16 + 1 {
            return;
        }
        known.learnt_at = now;
        let steps = self.settings.steps;
        let qualities = points::values(&known.points, Point::quality);
        let latencies = points::values(&known.points, |p| p.latency_ms);
        for (learnt, prior, (samples, values)) in [
            (&mut known.accuracy, &self.settings.accuracy, &qualities),
            (&mut known.latency, &self.settings.latency, &latencies),
        ] {
            if values.len() < 2 {
                continue;
            }
            let samples = Samples::of(&self.decisions, samples);
            for on in learnt {
                on.learn(prior, &self.decisions, (&samples, values), steps);
            }
        }
    }

    fn note_lost(&mut self, batch: &[Observation]) {
        let mut lost: Vec<&Tokens> = batch
            .iter()
            .filter(|o| o.reward.is_none())
            .map(|o| &o.tokens)
            .collect();
        lost.sort();
        lost.dedup();
        for tokens in lost {
            match self.known.lost.iter_mut().find(|(t, _)| t == tokens) {
                Some((_, times)) => *times = times.saturating_add(1),
                None => self.known.lost.push((tokens.clone(), 1)),
            }
        }
    }
}

impl Models {
    fn guesses(&self, sample: &Sample) -> (Option<Guess>, Option<Guess>) {
        let guess = |belief: &Belief| {
            let (mean, deviation) = belief.process.predict(sample);
            Guess {
                scale: belief.scale,
                mean,
                deviation,
            }
        };
        (
            self.accuracy.as_ref().map(guess),
            self.latency.as_ref().map(guess),
        )
    }

    /// What a sample is worth to try.
    fn worth(&self, sample: &Sample, setup: &Setup, front: bool) -> Worth {
        let (Some(accuracy), latency) = self.guesses(sample) else {
            return (0.0, 0.0);
        };
        let gain = match &latency {
            Some(latency) if front => {
                expected_front_gain(&accuracy, latency, &self.front, self.worst)
            }
            latency => {
                expected_reward_gain(&accuracy, latency.as_ref(), &setup.objective, self.best)
            }
        };
        let works = self
            .works
            .as_ref()
            .map_or(1.0, |p| p.mean(sample).clamp(0.02, 1.0));
        let value = |g: &Guess| g.scale.from(g.mean);
        let latency = latency.as_ref().map(|l| value(l).max(1e-9));
        let reward = points::reward(&setup.objective, value(&accuracy), latency);
        (gain * works, reward * works)
    }

    /// Counts a sample, at its believed values, among what is known.
    fn count(&mut self, sample: &Sample, setup: &Setup) {
        let Some(accuracy) = self.accuracy.as_ref().map(|b| b.value(sample)) else {
            return;
        };
        let latency = self.latency.as_ref().map(|b| b.value(sample).max(1e-9));
        let reward = points::reward(&setup.objective, accuracy, latency);
        self.best = self.best.max(reward);
        if let Some(latency) = latency {
            self.front.push((accuracy, latency));
            let kept = pareto(&self.front);
            self.front = kept.into_iter().map(|i| self.front[i]).collect();
        }
    }

    fn believe(&mut self, sample: &Sample, setup: &Setup) {
        let beliefs = [&mut self.accuracy, &mut self.latency];
        for belief in beliefs.into_iter().flatten() {
            belief.process.believe(sample);
        }
        self.count(sample, setup);
    }
}

impl Controller for Surrogate {
    fn propose(&mut self, trial: u64) -> Tokens {
        // Without an accuracy there is nothing to believe; spread on until there is.
        let blind = self.known.points.iter().all(|p| p.quality().is_none());
        if self.known.observed < self.settings.start || blind {
            let (choices, seed) = (&self.setup.choices, self.setup.seed);
            return spread(choices, seed, trial, self.settings.start as u64);
        }
        // The place in the batch follows from the trial's number alone, so that proposals don't
        // depend on the order in which they are asked for.
        self.propose_up_to((trial % self.setup.batch) as usize)
    }

    fn observe(&mut self, batch: &[Observation]) {
        for observation in batch {
            assert_sample(&self.setup.choices, observation);
            let Some(point) = Point::of(observation) else {
                continue;
            };
            let name = self.setup.name_of(&point.tokens);
            self.known.observed += 1;
            match self.known.names.binary_search(&name) {
                // The same network again has the same outcome: nothing new.
                Ok(_) => continue,
                Err(at) => self.known.names.insert(at, name),
            }
            self.known.points.push(point);
        }
        points::forget(&mut self.known.points, self.settings.points);
        self.note_lost(batch);
        self.proposed.clear();
        self.models = None;
        self.learn();
    }

    fn snapshot(&self) -> String {
        state::write(self.name, &self.known)
    }

    fn restore(&mut self, snapshot: &str) -> Result<(), RestoreError> {
        self.known = state::read(self.name, snapshot, &self.setup)?;
        self.proposed.clear();
        self.models = None;
        Ok(())
    }

    fn name(&self) -> &'static str {
        self.name
    }

    /// Probabilities are shares of the best points' choices.
    fn diagnostics(&self) -> Diagnostics {
        let mut best: Vec<&Point> = self.known.points.iter().collect();
        best.sort_by(|a, b| b.reward.total_cmp(&a.reward));
        best.truncate(PARENTS);
        let tokens: Vec<&Tokens> = best.iter().map(|p| &p.tokens).collect();
        let shares = super::numbers::shares(&self.setup.choices, &tokens);
        let n = best.len() as f64;
        let sum: f64 = best.iter().map(|p| p.reward).sum();
        Diagnostics {
            entropy: super::numbers::relative_entropy(&shares),
            baseline: (!best.is_empty()).then(|| sum / n),
            probabilities: shares,
        }
    }
}
