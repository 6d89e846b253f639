//! The search: trials, counts and the controller's batches.

use std::collections::BTreeMap;

use mnas_search::{
    Failure, FailureKind, LatencyRecord, LatencySource, Limit, Outcome, Study, Trial,
};

use super::{BatchView, FailureView, FinalView, LatencyView, State, Totals, TrialView};
use crate::format::thousands;

/// Every proposal.
pub(super) fn trials(study: &Study) -> Vec<TrialView> {
    study.trials().iter().map(trial).collect()
}

/// One proposal.
pub(crate) fn trial(t: &Trial) -> TrialView {
    let metrics = t.metrics();
    let (latency, accuracy) = match &t.outcome {
        Some(Outcome::Done(m)) => (Some(&m.latency), Some(m.accuracy)),
        Some(
            Outcome::TooSlow { latency, accuracy }
            | Outcome::Stopped {
                latency, accuracy, ..
            },
        ) => (Some(latency), Some(*accuracy)),
        _ => (None, None),
    };
    TrialView {
        trial: t.id,
        attempt: t.attempt,
        state: state(t),
        spec: t.spec.clone(),
        hash: t.hash.clone(),
        batch: t.batch,
        accuracy,
        latency_ms: latency.map(|l| l.median_ms),
        reward: t.reward,
        params: metrics.map(|m| m.params),
        macs: metrics.map(|m| m.macs),
        duplicate_of: t.duplicate_of,
        failure: t.outcome.as_ref().and_then(why_not),
        latency: latency.map(latency_view),
        epochs: metrics.and_then(|m| Some(m.curve.last()?.epoch)),
        train_seconds: match &t.outcome {
            Some(Outcome::Stopped { train_seconds, .. }) => Some(*train_seconds),
            _ => metrics.map(|m| m.train_seconds),
        },
        measure_seconds: metrics.map(|m| m.measure_seconds),
    }
}

fn state(t: &Trial) -> State {
    match t.outcome {
        Some(Outcome::Done(_)) => State::Done,
        Some(Outcome::TooSlow { .. }) => State::TooSlow,
        Some(Outcome::Stopped { .. }) => State::Stopped,
        Some(Outcome::Infeasible { .. }) => State::Infeasible,
        Some(Outcome::Failed(_)) => State::Failed,
        Some(Outcome::Lost { .. }) => State::Lost,
        None => State::Pending,
    }
}

/// Why an outcome is no result, in words.
pub(crate) fn why_not(outcome: &Outcome) -> Option<FailureView> {
    match outcome {
        Outcome::Done(_) | Outcome::TooSlow { .. } | Outcome::Stopped { .. } => None,
        Outcome::Infeasible {
            reason,
            value,
            allowed,
        } => {
            let what = match reason {
                Limit::Params => "parameters",
                Limit::Macs => "multiply-accumulates",
                Limit::FileBytes => "bytes of the model file",
                Limit::ActivationBytes => "peak bytes of activations",
            };
            Some(FailureView {
                kind: format!("over the limit of {what}"),
                message: format!("{}, allowed {}", thousands(*value), thousands(*allowed)),
            })
        }
        Outcome::Failed(failure) => Some(failure_view(failure)),
        Outcome::Lost { attempts, message } => Some(FailureView {
            kind: format!("lost after {attempts} attempts"),
            message: message.clone(),
        }),
    }
}

/// A failure in words.
pub(super) fn failure_view(failure: &Failure) -> FailureView {
    let kind = match failure.kind {
        FailureKind::Diverged => "training diverged",
        FailureKind::OutOfMemory => "out of memory",
        FailureKind::UnstableLatency => "latency too unstable to state",
        FailureKind::Device => "device failed",
        FailureKind::Export => "export failed",
        FailureKind::Crashed => "worker crashed",
    };
    FailureView {
        kind: kind.into(),
        message: failure.message.clone(),
    }
}

/// How a latency was measured, without the samples.
pub(crate) fn latency_view(record: &LatencyRecord) -> LatencyView {
    LatencyView {
        median_ms: record.median_ms,
        p25_ms: record.p25_ms,
        iqr_ms: record.iqr_ms,
        samples: record.samples_ms.len() as u64,
        dropped: record.dropped,
        noisy: record.noisy,
        predicted: matches!(record.source, LatencySource::Predicted { .. }),
        source: source(&record.source),
    }
}

/// Where a latency comes from, in words.
pub(super) fn source(source: &LatencySource) -> String {
    match source {
        LatencySource::Measured { device, engine } => format!("measured on {device} with {engine}"),
        LatencySource::Predicted { table } => format!("predicted by {table}, not measured"),
    }
}

/// Counts over all trials.
pub(super) fn totals(study: &Study, trials: &[TrialView], finals: &[FinalView]) -> Totals {
    let counts = study.counts();
    let distinct = || trials.iter().filter(|t| t.duplicate_of.is_none());
    let mut failures = BTreeMap::new();
    for failure in distinct()
        .filter(|t| t.state == State::Failed)
        .filter_map(|t| t.failure.as_ref())
    {
        *failures.entry(failure.kind.clone()).or_insert(0) += 1;
    }
    let latencies = distinct().filter_map(|t| t.latency.as_ref());
    let latencies = latencies.chain(finals.iter().filter_map(|f| f.latency.as_ref()));
    Totals {
        proposals: counts.proposals,
        distinct: counts.distinct,
        duplicates: counts.duplicates,
        trained: counts.trained,
        too_slow: counts.too_slow,
        stopped: counts.stopped,
        infeasible: counts.infeasible,
        failed: counts.failed,
        lost: counts.lost,
        pending: counts.pending,
        retries: study.retries().len() as u64,
        stale: study.stale().len() as u64,
        failures,
        train_seconds: distinct().filter_map(|t| t.train_seconds).sum(),
        measure_seconds: distinct().filter_map(|t| t.measure_seconds).sum(),
        noisy: latencies.filter(|l| l.noisy).count() as u64,
    }
}

/// The controller after each batch that it has seen.
pub(super) fn batches(study: &Study) -> Vec<BatchView> {
    study
        .batches()
        .iter()
        .filter_map(|b| {
            let d = b.diagnostics.as_ref()?;
            Some(BatchView {
                batch: b.index,
                entropy: d.entropy,
                baseline: d.baseline,
                last_trial: (b.first + b.len).saturating_sub(1),
            })
        })
        .collect()
}
