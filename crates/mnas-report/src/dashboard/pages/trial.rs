//! One trial: its network, how it trained, how it was timed, what it costs, what happened to it.

use maud::{Markup, html};
use mnas_net::{LayerCost, NetSpec, cost};
use mnas_search::{CurvePoint, Event, LatencyRecord, Outcome, Study};

use super::overview::timeline;
use super::{Frame, comparison, nothing_yet, part};
use crate::dashboard::ledger::{Ledger, words};
use crate::dashboard::routes::App;
use crate::dashboard::server::{lock, read};
use crate::format::{duration, ms, percent, si, significant};
use crate::html::tables::strip_of;
use crate::html::{responsive, winner};
use crate::plot::curve;
use crate::plot::strip;
use crate::view::{Architecture, FinalView, TrialView, View, facts, search};

/// What the fold doesn't keep of a trial.
#[derive(Debug, Default)]
pub(super) struct Detail {
    pub(super) curve: Vec<CurvePoint>,
    pub(super) latency: Option<LatencyRecord>,
    events: Vec<(u64, String)>,
}

/// Reads a trial's events again. A duplicate shows its original's curve and samples.
///
/// # Errors
/// What the study says.
pub(super) fn detail(app: &App, study: &Study, id: u64) -> Result<Detail, String> {
    let Some(trial) = study.trial(id) else {
        return Ok(Detail::default());
    };
    let original = trial.duplicate_of.unwrap_or(id);
    let attempt = study.trial(original).map_or(1, |t| t.attempt);
    let batch = study.trial(original).map_or(trial.batch, |t| t.batch);
    let mut detail = Detail::default();
    for (time_ms, event) in lock(&app.access).read_trial(original, batch)? {
        let said = match &event {
            Event::Proposed { batch, .. } => format!("Proposed in batch {batch}"),
            Event::Observed { rewards, .. } => {
                let given = rewards.iter().find(|r| r.0 == original).and_then(|r| r.1);
                match given {
                    Some(reward) => {
                        format!("Reward {} given to the controller", significant(reward))
                    }
                    None => "Batch learnt from, without this trial".into(),
                }
            }
            other => words(other),
        };
        detail.events.push((time_ms, said));
        match event {
            Event::Finished {
                attempt: a,
                outcome,
                ..
            } if a == attempt => match outcome {
                Outcome::Done(m) => (detail.curve, detail.latency) = (m.curve, Some(m.latency)),
                Outcome::TooSlow { latency, .. } => detail.latency = Some(latency),
                _ => {}
            },
            _ => {}
        }
    }
    Ok(detail)
}

/// The page; nothing where there is no such trial.
///
/// # Errors
/// What the study says.
pub(in crate::dashboard) fn page(
    frame: &Frame,
    app: &App,
    id: u64,
) -> Result<Option<Markup>, String> {
    let ledger = read(&app.ledger);
    let (Some(view), Some(study)) = (ledger.view(), ledger.study()) else {
        return Ok(Some(frame.page("Trial", "", &nothing_yet())));
    };
    let Some(t) = view.trials.get(id as usize) else {
        return Ok(None);
    };
    let detail = detail(app, study, id)?;
    let full = view.finals.iter().find(|f| f.trial == Some(id));
    let body = html! {
        (part("trial", &html! {
            (head(view, t))
            (actions(frame, view, &ledger, t))
            (charts(view, &detail))
            (network(view, t))
            @if let Some(full) = full { (final_round(view, full)) }
            section {
                h2 { "What happened to it" }
                @if let Some(original) = t.duplicate_of {
                    p class="note" { "As told of trial " a href=(format!("/trial/{original}")) { (original) } ", which has the same network." }
                }
                (timeline(detail.events.iter()))
            }
        }))
    };
    Ok(Some(frame.page(&format!("Trial {id}"), "", &body)))
}

fn head(view: &View, t: &TrialView) -> Markup {
    let rank = view.front_ids().contains(&t.trial);
    html! {
        p class="over-title" {
            "Batch " (t.batch)
            span class="status" { (t.state.words()) }
            @if rank { span class="status" { "on the front" } }
        }
        h1 { "Trial " (t.trial) }
        @if let Some(failure) = &t.failure {
            p class="trouble" { strong { (failure.kind) } ": " (failure.message) }
        }
        dl class="facts" {
            @for (name, value) in facts_of(t) { dt { (name) } dd { (value) } }
            @if let Some(original) = t.duplicate_of {
                dt { "Same network as" } dd { a href=(format!("/trial/{original}")) { "trial " (original) } }
            }
        }
    }
}

/// Numbers of a trial in words, those that there are.
pub(super) fn facts_of(t: &TrialView) -> Vec<(&'static str, String)> {
    let latency = t.latency.as_ref();
    let timed = latency.map(|l| {
        let noisy = if l.noisy { ", noisy" } else { "" };
        format!(
            "{}, IQR {} ms{noisy}",
            ms(l.median_ms),
            significant(l.iqr_ms)
        )
    });
    let samples =
        latency.map(|l| format!("{}; {} kept, {} dropped", l.source, l.samples, l.dropped));
    [
        ("Accuracy, short training", t.accuracy.map(percent)),
        ("Latency, median", timed),
        ("Samples", samples),
        ("Reward", t.reward.map(|r| format!("{r:.4}"))),
        ("Parameters", t.params.map(si)),
        ("Multiply-accumulates", t.macs.map(si)),
        ("Training", t.train_seconds.map(duration)),
        ("Measuring", t.measure_seconds.map(duration)),
        ("Attempt", (t.attempt > 1).then(|| t.attempt.to_string())),
        ("Network", Some(t.hash.clone())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn actions(frame: &Frame, view: &View, ledger: &Ledger, t: &TrialView) -> Markup {
    let asked = frame.standing.promoted.contains(&t.trial);
    let trained = t.duplicate_of.is_none() && t.accuracy.is_some() && t.params.is_some();
    let best = view.best.as_ref().filter(|b| b.trial != t.trial);
    html! {
        div class="actions" {
            @if asked {
                p { "To be trained in full in the final round." }
            } @else if trained && frame.may_act && ledger.takes_finalists() {
                form method="post" action=(format!("/promote/{}", t.trial)) { button { "Train in full" } }
                span class="note" { "It joins the finalists of the final round." }
            }
            @if let Some(best) = best {
                a href=(comparison(&[t.trial, best.trial])) { "Compare with the best, trial " (best.trial) }
            }
            @if t.trial > 0 { a href=(format!("/trial/{}", t.trial - 1)) rel="prev" { "Trial before" } }
            @if t.trial + 1 < view.trials.len() as u64 {
                a href=(format!("/trial/{}", t.trial + 1)) rel="next" { "Trial after" }
            }
        }
    }
}

/// Strips of samples of a latency record.
pub(super) fn strips(view: &View, named: &[(String, &LatencyRecord)], wide: f64) -> Option<Markup> {
    let shown: Vec<_> = named
        .iter()
        .map(|(name, l)| (name, search::latency_view(l), &*l.samples_ms))
        .collect();
    responsive((wide, 0.0), (360.0, 0.0), |size| {
        let rows: Vec<strip::Strip<'_>> = shown
            .iter()
            .map(|(name, latency, samples)| strip_of(name, latency, samples))
            .collect();
        strip::strips(&rows, view.facts.target_ms, size.0)
    })
}

fn charts(view: &View, detail: &Detail) -> Markup {
    let curves = [("short training".to_string(), &*detail.curve)];
    let curve = responsive((500.0, 300.0), (360.0, 300.0), |s| {
        curve::curves(&curves, s)
    });
    let record = detail.latency.as_ref();
    let named: Vec<_> = record
        .map(|l| ("in the search".to_string(), l))
        .into_iter()
        .collect();
    let strip = strips(view, &named, 500.0);
    html! {
        @if curve.is_some() || strip.is_some() {
            section {
                h2 { "Training and latency" }
                div class="pair" {
                    @if let Some(chart) = curve { figure id="curve" { (chart) figcaption { "The search's short training, by epoch." } } }
                    @if let Some(chart) = strip { figure id="strip" { (chart) figcaption {
                        "Latency samples in the order they were taken, from top to bottom; the bar is the median, the band the middle half."
                    } } }
                }
            }
        }
    }
}

fn network(view: &View, t: &TrialView) -> Markup {
    html! {
        section id="network" {
            h2 { "The network, block by block" }
            @match architecture(view, &t.spec) {
                Some(net) => (winner::blocks(&net, &t.spec)),
                None => (winner::unknown_shape(&t.spec)),
            }
            (layers(view, &t.spec))
        }
    }
}

/// A network on the study's images.
pub(super) fn architecture(view: &View, spec: &str) -> Option<Architecture> {
    let plan = &view.facts.plan;
    Architecture::of(spec, facts::input(plan)?, facts::classes(plan)?)
}

fn layer_costs(view: &View, spec: &str) -> Option<Vec<LayerCost>> {
    let plan = &view.facts.plan;
    let spec: NetSpec = spec.parse().ok()?;
    let graph = spec
        .graph(facts::input(plan)?, facts::classes(plan)?)
        .ok()?;
    Some(cost(&graph).layers)
}

fn layers(view: &View, spec: &str) -> Markup {
    let Some(layers) = layer_costs(view, spec) else {
        return html! {};
    };
    let all = layers.iter().map(|l| l.macs).sum::<u64>().max(1) as f64;
    html! {
        details id="layers" {
            summary { "Cost of each of its " (layers.len()) " layers" }
            div class="scroll" tabindex="0" {
                table class="layer-costs" {
                    thead { tr {
                        th scope="col" { "Layer" } th scope="col" { "Operation" } th scope="col" { "Output" }
                        th scope="col" class="n" { "Params" } th scope="col" class="n" { "MACs" } th scope="col" class="n" { "Share" }
                    } }
                    tbody { @for l in &layers { tr {
                        th scope="row" { (l.name) } td { (l.op) } td { (l.output.replace('x', "×")) }
                        td class="n" { (si(l.params)) } td class="n" { (si(l.macs)) }
                        td class="n" { (percent(l.macs as f64 / all)) }
                    } } }
                }
            }
        }
    }
}

fn final_round(view: &View, f: &FinalView) -> Markup {
    let curves = [("full training".to_string(), &*f.curve)];
    let curve = responsive((500.0, 300.0), (360.0, 300.0), |s| {
        curve::curves(&curves, s)
    });
    let strip = f.latency.as_ref().and_then(|l| {
        responsive((500.0, 0.0), (360.0, 0.0), |s| {
            let rows = [strip_of("in the final round", l, &f.samples_ms)];
            strip::strips(&rows, view.facts.target_ms, s.0)
        })
    });
    html! {
        section id="full" {
            h2 { "Trained in full" }
            dl class="facts" {
                @if let Some(a) = f.test_accuracy { dt { "Test accuracy" } dd { (percent(a)) } }
                @if let Some(a) = f.accuracy { dt { "Validation accuracy" } dd { (percent(a)) } }
                @if let Some(l) = f.latency_ms { dt { "Latency, median" } dd { (ms(l)) } }
                @if let Some(failure) = &f.failure { dt { "Failed" } dd { (failure.kind) ": " (failure.message) } }
                @if !f.files.is_empty() {
                    dt { "Files" }
                    dd { @for file in &f.files { a href=(format!("/file/{file}")) download { (file) } " " } }
                }
            }
            div class="pair" {
                @if let Some(chart) = curve { figure { (chart) figcaption { "Full training, by epoch." } } }
                @if let Some(chart) = strip { figure { (chart) figcaption { "Latency samples of the final round." } } }
            }
        }
    }
}
