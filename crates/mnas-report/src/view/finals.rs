//! Finalists beside references, and the winner.

use mnas_search::{FinalKind, FinalOutcome, FinalResult, Int8Outcome, Study};

use super::architecture::Architecture;
use super::search::{failure_view, latency_view};
use super::{Facts, FinalView, TrialView, Winner, facts};

/// Results of the final round: finalists first, each group by falling accuracy, failures last.
pub(super) fn finals(study: &Study) -> Vec<FinalView> {
    let target = study.target_ms();
    let mut finals: Vec<FinalView> = study.finals().iter().map(|r| entry(r, target)).collect();
    finals.sort_by(|a, b| {
        let accuracy = |f: &FinalView| f.accuracy.unwrap_or(f64::NEG_INFINITY);
        b.is_finalist()
            .cmp(&a.is_finalist())
            .then(accuracy(b).total_cmp(&accuracy(a)))
    });
    finals
}

fn entry(result: &FinalResult, target_ms: Option<f64>) -> FinalView {
    let entry = &result.entry;
    let mut view = FinalView {
        name: entry.name.clone(),
        trial: match entry.kind {
            FinalKind::Finalist { trial } => Some(trial),
            FinalKind::Reference => None,
        },
        spec: entry.spec.clone(),
        accuracy: None,
        test_accuracy: None,
        test_top5: None,
        int8_test_accuracy: None,
        int8_source: None,
        int8_failure: None,
        latency_ms: None,
        latency: None,
        within_target: None,
        params: None,
        macs: None,
        epochs: None,
        curve: vec![],
        samples_ms: vec![],
        files: vec![],
        failure: None,
    };
    match &result.outcome {
        FinalOutcome::Failed(failure) => view.failure = Some(failure_view(failure)),
        FinalOutcome::Done {
            validation_accuracy,
            test_accuracy,
            test_top5,
            int8,
            latency,
            params,
            macs,
            curve,
            files,
        } => {
            view.accuracy = Some(*validation_accuracy);
            view.test_accuracy = *test_accuracy;
            view.test_top5 = *test_top5;
            match int8 {
                Some(Int8Outcome::Tested(i)) => {
                    view.int8_test_accuracy = Some(i.test_accuracy);
                    view.int8_source = Some(format!("{}, {}", i.engine, i.calibration));
                }
                Some(Int8Outcome::Failed(failure)) => {
                    view.int8_failure = Some(failure.message.clone());
                }
                None => {}
            }
            view.latency_ms = Some(latency.median_ms);
            view.within_target = target_ms.map(|t| latency.median_ms <= t);
            view.latency = Some(latency_view(latency));
            view.params = Some(*params);
            view.macs = Some(*macs);
            view.epochs = curve.last().map(|p| p.epoch);
            view.curve.clone_from(curve);
            view.samples_ms.clone_from(&latency.samples_ms);
            view.files.clone_from(files);
        }
    }
    view
}

/// What the study recommends: the finalist most accurate on the validation split among those
/// within the target; where none is, the one with the best reward; before the final round, the
/// search's best trial.
pub(super) fn winner(
    study: &Study,
    facts: &Facts,
    best: Option<&TrialView>,
    finals: &[FinalView],
) -> Option<Winner> {
    let done = || {
        finals
            .iter()
            .filter(|f| f.is_finalist() && f.accuracy.is_some())
    };
    let greatest = |keep: &dyn Fn(&FinalView) -> bool, key: &dyn Fn(&FinalView) -> f64| {
        let mut top: Option<&FinalView> = None;
        for f in done().filter(|f| keep(f)) {
            if top.is_none_or(|t| key(f) > key(t)) {
                top = Some(f);
            }
        }
        top
    };
    let accuracy = |f: &FinalView| f.accuracy.unwrap_or(f64::NEG_INFINITY);
    let reward = |f: &FinalView| match (study.objective(), f.accuracy, f.latency_ms) {
        (Some(objective), Some(a), Some(l)) => objective.reward(a, l),
        _ => accuracy(f),
    };
    let within = greatest(&|f| f.within_target != Some(false), &accuracy);
    let mut winner = match within.or_else(|| greatest(&|_| true, &reward)) {
        Some(f) => Winner {
            name: f.name.clone(),
            trial: f.trial?,
            fully_trained: true,
            spec: f.spec.clone(),
            accuracy: f.accuracy,
            test_accuracy: f.test_accuracy,
            latency_ms: f.latency_ms,
            latency_source: f.latency.as_ref().map(|l| l.source.clone()),
            params: f.params,
            macs: f.macs,
            architecture: None,
        },
        None => {
            let t = best?;
            Winner {
                name: format!("trial {}", t.trial),
                trial: t.trial,
                fully_trained: false,
                spec: t.spec.clone(),
                accuracy: t.accuracy,
                test_accuracy: None,
                latency_ms: t.latency_ms,
                latency_source: t.latency.as_ref().map(|l| l.source.clone()),
                params: t.params,
                macs: t.macs,
                architecture: None,
            }
        }
    };
    let shape = facts::input(&facts.plan);
    let classes = facts::classes(&facts.plan);
    winner.architecture = shape
        .zip(classes)
        .and_then(|(shape, classes)| Architecture::of(&winner.spec, shape, classes));
    Some(winner)
}
