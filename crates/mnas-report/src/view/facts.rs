//! What was searched, on what and how, read from the plan as the study stored it.
//!
//! A plan written by an older or newer program may lack a key: then the fact is absent and the
//! report leaves it out. The whole plan is shown in any case.

use mnas_net::Shape;
use mnas_search::{LatencySource, Objective, ObjectiveKind, Outcome, Space, Study};
use serde_json::Value;

use super::Facts;
use super::search::source;
use crate::format::ms;

/// Facts of a study.
pub(super) fn facts(study: &Study, space: Option<&Space>) -> Facts {
    let plan = study.plan();
    Facts {
        status: status(study),
        data: text(plan, "/data/source"),
        device: device(plan),
        latency_sources: sources(study),
        target_ms: study.target_ms(),
        target_from: study.target().map(|t| match (&t.reference, &t.latency) {
            (Some(name), Some(latency)) => {
                format!("the latency of {name}, {}", source(&latency.source))
            }
            (Some(name), None) => format!("the latency of {name}"),
            (None, _) => "given".into(),
        }),
        space: text(plan, "/space/name"),
        space_size_log10: space.map(Space::size_log10),
        decisions: space.map(|s| s.decisions().len() as u64),
        algorithm: text(plan, "/controller/algorithm"),
        objective: study.objective().map(|o| formula(&o)),
        seed: study.seed(),
        budget: study.budget(),
        input: input(plan).map(|s| s.to_string()),
        classes: classes(plan).map(|n| n as u64),
        plan: plan.clone(),
    }
}

/// The study's space, where its text still parses.
pub(crate) fn space(study: &Study) -> Option<Space> {
    let name = text(study.plan(), "/space/name").unwrap_or_default();
    Space::parse(&name, study.space_text()).ok()
}

/// The image's shape.
pub(crate) fn input(plan: &Value) -> Option<Shape> {
    let sides = plan.pointer("/data/shape")?;
    let side = |at: usize| usize::try_from(sides.get(at)?.as_u64()?).ok();
    let shape = Shape::new(side(0)?, side(1)?, side(2)?);
    (shape.h > 0 && shape.w > 0 && shape.c > 0).then_some(shape)
}

/// Number of classes.
pub(crate) fn classes(plan: &Value) -> Option<usize> {
    let names = plan.pointer("/data/classes")?.as_array()?;
    (!names.is_empty()).then_some(names.len())
}

/// The text at a key.
fn text(plan: &Value, key: &str) -> Option<String> {
    plan.pointer(key)?.as_str().map(String::from)
}

/// The device: its name, and what stood behind the name when the study was planned.
fn device(plan: &Value) -> Option<String> {
    let name = text(plan, "/device/name")?;
    let part = |key| text(plan, key).filter(|t| !t.is_empty() && *t != name);
    let behind: Vec<String> = [part("/device/device"), part("/device/engine")]
        .into_iter()
        .flatten()
        .collect();
    Some(match behind.is_empty() {
        true => name,
        false => format!("{name} ({})", behind.join(", ")),
    })
}

fn status(study: &Study) -> String {
    let done = study.trials().len() as u64;
    match (study.ended_ms(), study.stopped()) {
        (Some(_), _) => "complete".into(),
        (None, Some(reason)) => format!("stopped: {reason}"),
        (None, None) if !study.finalists().is_empty() => format!(
            "in the final round, {} of {} networks done",
            study.finals().len(),
            study.finalists().len()
        ),
        (None, None) => match study.budget() {
            Some(budget) => format!("searching, {done} of {budget} proposals made"),
            None => format!("searching, {done} proposals made"),
        },
    }
}

/// Distinct sources of latencies, in the order in which they appear.
fn sources(study: &Study) -> Vec<String> {
    let target = study.target().and_then(|t| t.latency.as_ref());
    let trials = study.trials().iter().filter_map(|t| match &t.outcome {
        Some(Outcome::Done(m)) => Some(&m.latency),
        Some(Outcome::TooSlow { latency, .. } | Outcome::Stopped { latency, .. }) => Some(latency),
        _ => None,
    });
    let finals = study.finals().iter().filter_map(|f| match &f.outcome {
        mnas_search::FinalOutcome::Done { latency, .. } => Some(latency),
        mnas_search::FinalOutcome::Failed(_) => None,
    });
    let mut list: Vec<&LatencySource> = vec![];
    for record in target.into_iter().chain(trials).chain(finals) {
        if !list.contains(&&record.source) {
            list.push(&record.source);
        }
    }
    list.into_iter().map(source).collect()
}

/// The reward's formula with its numbers.
fn formula(objective: &Objective) -> String {
    let target = ms(objective.target_ms);
    let n = |x: f64| x.to_string().replace('-', "\u{2212}");
    match objective.kind {
        ObjectiveKind::Soft { alpha, beta } if alpha == beta => {
            format!("accuracy × (latency / {target})^{}", n(beta))
        }
        ObjectiveKind::Soft { alpha, beta } => format!(
            "accuracy × (latency / {target})^w, w = {} within the target, {} over it",
            n(alpha),
            n(beta)
        ),
        ObjectiveKind::Hard { beta } => format!(
            "accuracy within the target, accuracy × (latency / {target})^{} over it",
            n(beta)
        ),
        ObjectiveKind::Absolute { beta } => {
            format!("accuracy + {} × |latency / {target} − 1|", n(beta))
        }
    }
}
