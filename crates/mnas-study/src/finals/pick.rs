//! Which trials are trained in full.

use mnas_search::{FinalEntry, FinalKind, Study, Trial};

use crate::search::trial_name;
use crate::session::Session;

/// The trials to train in full, most promising first, then those that a person promoted; warns where
/// none of the first meets the target.
pub(super) fn finalists(session: &mut Session<'_>) -> Vec<FinalEntry> {
    let (mut trials, met) = choose(session.study(), session.plan().finalists);
    let promoted = session.dir().promoted();
    let known = |t: &&Trial| promoted.contains(&t.id) && trials.iter().all(|c| c.id != t.id);
    let promoted: Vec<&Trial> = session.study().done().filter(known).collect();
    trials.extend(promoted);
    let entries = trials
        .iter()
        .map(|t| FinalEntry {
            name: trial_name(t.id),
            kind: FinalKind::Finalist { trial: t.id },
            spec: t.spec.clone(),
            hash: t.hash.clone(),
        })
        .collect();
    if !trials.is_empty() && !met {
        session.warn("no trial met the target; the best of those over it go on".into());
    }
    entries
}

/// Up to `count` done trials, and whether they are within the target. Half the places (rounded up)
/// go to the Pareto front within the target, by validation accuracy; the rest by reward, since a
/// short training ranks neighbours of the front none too surely. Where no trial is within the
/// target, the best rewards take all places.
pub(super) fn choose(study: &Study, count: usize) -> (Vec<&Trial>, bool) {
    let target = study.target_ms().unwrap_or(f64::INFINITY);
    let within = |t: &&Trial| t.latency_ms().is_some_and(|ms| ms <= target);
    let mut front: Vec<&Trial> = study.front().into_iter().filter(within).collect();
    front.sort_by(|a, b| {
        b.accuracy()
            .partial_cmp(&a.accuracy())
            .unwrap_or(a.id.cmp(&b.id))
    });
    front.truncate(count.div_ceil(2));
    let met = !front.is_empty();
    let mut rest: Vec<&Trial> = study
        .done()
        .filter(|t| (within(t) || !met) && front.iter().all(|f| f.id != t.id))
        .collect();
    rest.sort_by(|a, b| b.reward.partial_cmp(&a.reward).unwrap_or(a.id.cmp(&b.id)));
    front.extend(rest);
    front.truncate(count);
    (front, met)
}
