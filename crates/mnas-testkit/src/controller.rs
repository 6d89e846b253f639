//! The suite that every search algorithm passes.

use mnas_search::{Controller, ControllerSpec, Observation, Setup, Space, build};

use crate::landscape::{Kind, Landscape, OBJECTIVE};

const SEED: u64 = 7;
const BATCH: u64 = 6;
const BATCHES: u64 = 7;

/// Checks a search algorithm over a space: samples are valid and depend on state and trial only, a
/// restored snapshot goes on as the controller it was taken from would after every batch, failures
/// and duplicates are survived, and what wasn't observed isn't learnt from.
///
/// # Panics
/// With the fault, if there is one.
pub fn check(spec: &ControllerSpec, space: &Space) {
    let subject = Subject { spec, space };
    subject.proposes_samples();
    subject.resumes_after_every_batch();
    subject.learns_nothing_of_what_is_lost();
    subject.survives_equal_rewards();
    subject.refuses_other_snapshots();
}

struct Subject<'a> {
    spec: &'a ControllerSpec,
    space: &'a Space,
}

impl Subject<'_> {
    fn fresh(&self) -> Box<dyn Controller> {
        let setup = Setup::of(self.space, OBJECTIVE)
            .seed(SEED)
            .planned(BATCH * BATCHES, BATCH);
        build(self.spec, &setup).expect("the algorithm can be built")
    }

    fn restored(&self, snapshot: &str) -> Box<dyn Controller> {
        let mut controller = self.fresh();
        controller
            .restore(snapshot)
            .expect("a controller reads its own snapshot");
        controller
    }

    /// Proposes and rates a batch. Every fifth trial fails with reward 0, every seventh is lost, and
    /// the last of a batch repeats the first, as duplicates do.
    fn batch(&self, controller: &mut dyn Controller, index: u64) -> Vec<Observation> {
        let landscape = Landscape::new(Kind::Pairwise, self.space, SEED);
        let mut observations: Vec<Observation> = (index * BATCH..(index + 1) * BATCH)
            .map(|trial| {
                let tokens = controller.propose(trial);
                let measured = landscape.measure(&tokens, SEED, trial);
                let reward = match trial {
                    t if t % 7 == 6 => None,
                    t if t % 5 == 4 => Some(0.0),
                    _ => Some(measured),
                };
                Observation {
                    trial,
                    tokens,
                    reward,
                    accuracy: reward,
                    latency_ms: reward.map(|_| 10.0),
                }
            })
            .collect();
        let last = observations.len() - 1;
        observations[last].tokens = observations[0].tokens.clone();
        observations[last].reward = observations[0].reward;
        observations
    }

    fn proposes_samples(&self) {
        let name = self.fresh().name();
        assert_eq!(name, self.spec.algorithm, "the name it is built by");
        let mut one = self.fresh();
        let forward: Vec<_> = (0..20).map(|trial| one.propose(trial)).collect();
        let mut other = self.fresh();
        for trial in (0..20).rev() {
            let tokens = other.propose(trial);
            assert_eq!(
                tokens, forward[trial as usize],
                "{name}: trial {trial} depends on what was proposed before"
            );
            self.space
                .decode(&tokens)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        assert!(
            forward.windows(2).any(|pair| pair[0] != pair[1]),
            "{name}: proposals never differ"
        );
    }

    fn resumes_after_every_batch(&self) {
        let mut whole = self.fresh();
        let name = whole.name();
        let mut history: Vec<Vec<Observation>> = vec![];
        let mut carried = self.fresh();
        for index in 0..BATCHES {
            carried = self.restored(&carried.snapshot());
            let mut replayed = self.fresh();
            history.iter().for_each(|batch| replayed.observe(batch));
            let expected = self.batch(whole.as_mut(), index);
            for resumed in [&mut carried, &mut replayed] {
                let batch = self.batch(resumed.as_mut(), index);
                assert_eq!(
                    batch, expected,
                    "{name}: batch {index} differs after resuming"
                );
                assert_eq!(
                    resumed.diagnostics(),
                    whole.diagnostics(),
                    "{name}: diagnostics"
                );
            }
            self.looks_sane(whole.as_ref());
            whole.observe(&expected);
            carried.observe(&expected);
            assert_eq!(
                carried.snapshot(),
                whole.snapshot(),
                "{name}: snapshots differ after batch {index}"
            );
            history.push(expected);
        }
    }

    fn looks_sane(&self, controller: &dyn Controller) {
        let diagnostics = controller.diagnostics();
        let name = controller.name();
        if let Some(entropy) = diagnostics.entropy {
            assert!(
                (0.0..=1.0 + 1e-9).contains(&entropy),
                "{name}: entropy {entropy}"
            );
        }
        assert!(
            diagnostics.baseline.is_none_or(f64::is_finite),
            "{name}: baseline"
        );
        let probabilities = &diagnostics.probabilities;
        if probabilities.is_empty() {
            return;
        }
        assert_eq!(probabilities.len(), self.space.decisions().len(), "{name}");
        for (p, decision) in probabilities.iter().zip(self.space.decisions()) {
            assert_eq!(p.len(), decision.choices.len(), "{name}: {}", decision.name);
            let sum: f64 = p.iter().sum();
            assert!(
                (sum - 1.0).abs() < 1e-9,
                "{name}: {} sums to {sum}",
                decision.name
            );
        }
    }

    fn learns_nothing_of_what_is_lost(&self) {
        let mut controller = self.fresh();
        for index in 0..3 {
            let batch = self.batch(controller.as_mut(), index);
            controller.observe(&batch);
        }
        let before: Vec<_> = (100..120).map(|trial| controller.propose(trial)).collect();
        let mut lost = self.batch(controller.as_mut(), 3);
        lost.iter_mut().for_each(|o| o.reward = None);
        controller.observe(&lost);
        let after: Vec<_> = (100..120).map(|trial| controller.propose(trial)).collect();
        assert_eq!(
            before,
            after,
            "{}: learnt from lost trials",
            controller.name()
        );
    }

    fn survives_equal_rewards(&self) {
        for reward in [0.0, 0.7] {
            let mut controller = self.fresh();
            for index in 0..BATCHES {
                let mut batch = self.batch(controller.as_mut(), index);
                batch.iter_mut().for_each(|o| o.reward = Some(reward));
                controller.observe(&batch);
                self.looks_sane(controller.as_ref());
            }
            // A state with a number that isn't finite couldn't be read back.
            let snapshot = controller.snapshot();
            assert_eq!(self.restored(&snapshot).snapshot(), snapshot);
        }
    }

    fn refuses_other_snapshots(&self) {
        let mut controller = self.fresh();
        let batch = self.batch(controller.as_mut(), 0);
        controller.observe(&batch);
        let snapshot = controller.snapshot();
        let name = controller.name();
        let renamed = snapshot.replace(&format!("{name:?}"), "\"another\"");
        assert_ne!(renamed, snapshot, "{name}: a snapshot names its algorithm");
        for broken in ["", "{}", "[1]", &snapshot[..snapshot.len() - 1], &renamed] {
            assert!(
                controller.restore(broken).is_err(),
                "{name} accepts {broken:.40}"
            );
            assert_eq!(
                controller.snapshot(),
                snapshot,
                "{name}: changed by an error"
            );
        }
    }
}
