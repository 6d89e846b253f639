//! The trials of a study as a table of typed columns.

use std::collections::BTreeMap;

use mnas_search::{
    Decision, Event, LatencyRecord, LatencySource, Outcome, Space, SpaceError, Study, Trial,
};

use crate::store::Stored;

/// The values of a column, one per trial; absent where a trial has none.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Numbers.
    Real(Vec<Option<f64>>),
    /// Yes or no.
    Flag(Vec<Option<bool>>),
    /// Texts.
    Text(Vec<Option<String>>),
    /// Moments, milliseconds since 1970.
    Time(Vec<Option<u64>>),
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, unique in the table.
    pub name: String,
    /// Its values.
    pub values: Values,
}

/// Every proposal of a study, one per row, in order of its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    rows: usize,
    columns: Vec<Column>,
    decisions: Vec<Choices>,
    /// When each trial was proposed and when its outcome came.
    pub(super) times: Vec<(u64, Option<u64>)>,
}

/// A decision with the values that its choices stand for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choices {
    pub(super) decision: Decision,
    pub(super) values: Values,
}

impl Choices {
    /// Choices as numbers where each is one, else as they stand in the space's text.
    fn of(decision: &Decision) -> Self {
        let texts = &decision.choices;
        let whole: Option<Vec<i64>> = texts.iter().map(|c| c.parse().ok()).collect();
        let real: Option<Vec<f64>> = texts.iter().map(|c| c.parse().ok()).collect();
        let values = match (whole, real) {
            (Some(whole), _) => Values::Whole(whole.into_iter().map(Some).collect()),
            (None, Some(real)) => Values::Real(real.into_iter().map(Some).collect()),
            (None, None) => Values::Text(texts.iter().cloned().map(Some).collect()),
        };
        Self {
            decision: decision.clone(),
            values,
        }
    }

    /// The column of what the trials chose here.
    fn column(&self, trials: &[Trial], at: usize) -> Column {
        fn pick<T: Clone>(from: &[Option<T>], trials: &[Trial], at: usize) -> Vec<Option<T>> {
            let token = |t: &Trial| t.tokens.get(at).map(|i| usize::from(*i));
            trials
                .iter()
                .map(|t| from.get(token(t)?)?.clone())
                .collect()
        }
        let values = match &self.values {
            Values::Whole(v) => Values::Whole(pick(v, trials, at)),
            Values::Real(v) => Values::Real(pick(v, trials, at)),
            Values::Flag(v) => Values::Flag(pick(v, trials, at)),
            Values::Text(v) => Values::Text(pick(v, trials, at)),
            Values::Time(v) => Values::Time(pick(v, trials, at)),
        };
        Column {
            name: self.decision.name.clone(),
            values,
        }
    }
}

impl Table {
    /// The table of a study and the events that it is the fold of, which tell the times.
    ///
    /// # Errors
    /// [`SpaceError`] where the stored space doesn't parse (another version's, say).
    pub fn of(study: &Study, events: &[Stored]) -> Result<Self, SpaceError> {
        let space = Space::parse("study", study.space_text())?;
        let decisions: Vec<Choices> = space.decisions().iter().map(Choices::of).collect();
        let times = times(study, events);
        let mut columns = columns(study, &times);
        let of = |(at, choices): (usize, &Choices)| choices.column(study.trials(), at);
        columns.extend(decisions.iter().enumerate().map(of));
        Ok(Self {
            rows: study.trials().len(),
            columns,
            decisions,
            times,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns: what is known of a trial, then its decisions.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The decisions, which are the last columns.
    pub(super) fn decisions(&self) -> &[Choices] {
        &self.decisions
    }
}

/// A trial's state as exports name it.
pub(super) fn state(trial: &Trial) -> &'static str {
    match &trial.outcome {
        Some(Outcome::Done(_)) => "done",
        Some(Outcome::TooSlow { .. }) => "too_slow",
        Some(Outcome::Stopped { .. }) => "stopped",
        Some(Outcome::Infeasible { .. }) => "infeasible",
        Some(Outcome::Failed(_)) => "failed",
        Some(Outcome::Lost { .. }) => "lost",
        None => "pending",
    }
}

/// Why a trial has no result, as reported.
pub(super) fn failure(trial: &Trial) -> Option<String> {
    match trial.outcome.as_ref()? {
        Outcome::Done(_) | Outcome::TooSlow { .. } | Outcome::Stopped { .. } => None,
        Outcome::Infeasible {
            reason,
            value,
            allowed,
        } => Some(format!("{reason:?}: {value}, allowed {allowed}")),
        Outcome::Failed(f) => Some(f.message.clone()),
        Outcome::Lost { message, .. } => Some(message.clone()),
    }
}

/// A trial's latency record.
pub(super) fn latency(trial: &Trial) -> Option<&LatencyRecord> {
    match trial.outcome.as_ref()? {
        Outcome::Done(m) => Some(&m.latency),
        Outcome::TooSlow { latency, .. } | Outcome::Stopped { latency, .. } => Some(latency),
        _ => None,
    }
}

/// The device and engine that measured a latency, or the table that predicted it and no engine.
pub(super) fn device(source: &LatencySource) -> (&str, Option<&str>) {
    match source {
        LatencySource::Measured { device, engine } => (device, Some(engine)),
        LatencySource::Predicted { table } => (table, None),
    }
}

/// A network's text on one line, which reads back as the same network.
pub(super) fn one_line(spec: &str) -> String {
    spec.lines().collect::<Vec<_>>().join("; ")
}

fn columns(study: &Study, times: &[(u64, Option<u64>)]) -> Vec<Column> {
    let trials = study.trials();
    let whole = |name: &str, of: &dyn Fn(&Trial) -> Option<u64>| {
        let of = |t: &Trial| of(t).and_then(|v| i64::try_from(v).ok());
        column(name, Values::Whole(trials.iter().map(of).collect()))
    };
    let real = |name: &str, of: &dyn Fn(&Trial) -> Option<f64>| {
        column(name, Values::Real(trials.iter().map(of).collect()))
    };
    let flag = |name: &str, of: &dyn Fn(&Trial) -> Option<bool>| {
        column(name, Values::Flag(trials.iter().map(of).collect()))
    };
    let text = |name: &str, of: &dyn Fn(&Trial) -> Option<String>| {
        column(name, Values::Text(trials.iter().map(of).collect()))
    };
    let front: Vec<u64> = study.front().iter().map(|t| t.id).collect();
    let target = study.target_ms();
    let proposed = times.iter().map(|t| Some(t.0)).collect();
    let finished = times.iter().map(|t| t.1).collect();
    vec![
        whole("trial", &|t| Some(t.id)),
        whole("batch", &|t| Some(u64::from(t.batch))),
        whole("attempt", &|t| Some(u64::from(t.attempt))),
        text("state", &|t| Some(state(t).into())),
        whole("duplicate_of", &|t| t.duplicate_of),
        real("accuracy", &Trial::accuracy),
        real("latency_ms", &Trial::latency_ms),
        real("latency_p25_ms", &|t| latency(t).map(|l| l.p25_ms)),
        real("latency_iqr_ms", &|t| latency(t).map(|l| l.iqr_ms)),
        flag("latency_noisy", &|t| latency(t).map(|l| l.noisy)),
        flag("within_target", &|t| Some(t.latency_ms()? <= target?)),
        flag("on_front", &|t| Some(front.contains(&t.id))),
        real("reward", &|t| t.reward),
        whole("macs", &|t| t.metrics().map(|m| m.macs)),
        whole("params", &|t| t.metrics().map(|m| m.params)),
        real("epochs", &|t| t.metrics()?.curve.last().map(|p| p.epoch)),
        real("train_seconds", &|t| t.metrics().map(|m| m.train_seconds)),
        real("measure_seconds", &|t| {
            t.metrics().map(|m| m.measure_seconds)
        }),
        column("proposed_at", Values::Time(proposed)),
        column("finished_at", Values::Time(finished)),
        text("device", &|t| {
            latency(t).map(|l| device(&l.source).0.into())
        }),
        text("engine", &|t| {
            latency(t).and_then(|l| Some(device(&l.source).1?.into()))
        }),
        text("spec", &|t| Some(one_line(&t.spec))),
        text("hash", &|t| Some(t.hash.clone())),
        text("failure", &failure),
    ]
}

fn column(name: &str, values: Values) -> Column {
    Column {
        name: name.into(),
        values,
    }
}

/// When each trial was proposed, and when the outcome of the attempt that counts came; of a
/// duplicate, when it was proposed or its original's came, whichever is later.
fn times(study: &Study, events: &[Stored]) -> Vec<(u64, Option<u64>)> {
    let mut proposed: BTreeMap<u64, u64> = BTreeMap::new();
    let mut finished: BTreeMap<u64, u64> = BTreeMap::new();
    for stored in events {
        match &stored.event {
            Event::Proposed { proposals, .. } => {
                proposed.extend(proposals.iter().map(|p| (p.trial, stored.time_ms)));
            }
            Event::Finished { trial, attempt, .. }
                if study.trial(*trial).is_some_and(|t| t.attempt == *attempt) =>
            {
                finished.entry(*trial).or_insert(stored.time_ms);
            }
            _ => {}
        }
    }
    let of = |t: &Trial| {
        let began = proposed.get(&t.id).copied().unwrap_or_default();
        let ended = finished.get(&t.duplicate_of.unwrap_or(t.id)).copied();
        (began, ended.map(|at| at.max(began)))
    };
    study.trials().iter().map(of).collect()
}
