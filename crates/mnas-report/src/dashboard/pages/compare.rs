//! Two to four trials side by side.

use maud::{Markup, html};
use mnas_search::{CurvePoint, LatencyRecord, Study};

use super::trial::{Detail, architecture, detail, facts_of, strips};
use super::{Frame, nothing_yet, part};
use crate::dashboard::routes::App;
use crate::dashboard::server::read;
use crate::html::responsive;
use crate::plot::{blocks, curve};
use crate::view::{TrialView, View, facts};

/// The page.
///
/// # Errors
/// What the study says.
pub(in crate::dashboard) fn page(
    frame: &Frame,
    app: &App,
    wanted: &[u64],
) -> Result<Markup, String> {
    let ledger = read(&app.ledger);
    let (Some(view), Some(study)) = (ledger.view(), ledger.study()) else {
        return Ok(frame.page("Compare", "/compare", &nothing_yet()));
    };
    let found = wanted.iter().filter_map(|id| view.trials.get(*id as usize));
    let trials: Vec<&TrialView> = found.collect();
    let details = trials.iter().map(|t| detail(app, study, t.trial));
    let details = details.collect::<Result<Vec<Detail>, String>>()?;
    let list: Vec<String> = trials.iter().map(|t| t.trial.to_string()).collect();
    let body = html! {
        h1 { "Compare trials" }
        form class="filter" action="/compare" {
            label for="which" { "Trials, two to four" }
            input id="which" name="t" value=(list.join(", ")) placeholder="as 3, 17";
            button { "Compare" }
        }
        (part("compared", &html! {
            @if trials.len() < 2 {
                p class="note" { "Name two to four trials here, or tick them in the "
                    a href="/trials" { "table of trials" } "." }
            } @else {
                section { h2 { "Numbers and decisions" } (numbers(study, &trials)) }
                (charts(view, &trials, &details))
                section { h2 { "Networks" } (networks(view, &trials)) }
            }
        }))
    };
    Ok(frame.page("Compare", "/compare", &body))
}

/// A row per number and per decision of the space; rows that differ are marked.
fn numbers(study: &Study, trials: &[&TrialView]) -> Markup {
    let cells: Vec<Vec<(&str, String)>> = trials.iter().map(|t| facts_of(t)).collect();
    let mut names: Vec<&str> = vec![];
    for (name, _) in cells.iter().flatten() {
        if !names.contains(name) && *name != "Network" {
            names.push(name);
        }
    }
    let of = |i: usize, name: &str| {
        let cell = cells[i].iter().find(|c| c.0 == name);
        cell.map_or("–".to_string(), |c| c.1.clone())
    };
    html! {
        div class="scroll" tabindex="0" {
            table class="compare" {
                thead { tr {
                    th scope="col" { span class="unseen" { "What" } }
                    @for t in trials { th scope="col" { a href=(format!("/trial/{}", t.trial)) { "Trial " (t.trial) } } }
                } }
                tbody {
                    (row("State", trials.iter().map(|t| t.state.words().to_string()).collect()))
                    @for name in names { (row(name, (0..trials.len()).map(|i| of(i, name)).collect())) }
                    @for (name, choices) in decisions(study, trials) { (row(&name, choices)) }
                }
            }
        }
    }
}

fn row(name: &str, values: Vec<String>) -> Markup {
    let differs = values.iter().any(|v| *v != values[0]);
    html! {
        tr class=[differs.then_some("differs")] {
            th scope="row" { (name) @if differs { span class="unseen" { " (differs)" } } }
            @for value in values { td { (value) } }
        }
    }
}

/// What was chosen at each decision of the space.
fn decisions(study: &Study, trials: &[&TrialView]) -> Vec<(String, Vec<String>)> {
    let Some(space) = facts::space(study) else {
        return vec![];
    };
    let chosen = |t: &TrialView, i: usize| {
        let token = study.trial(t.trial).and_then(|t| t.tokens.get(i).copied());
        let choice = token.and_then(|k| space.decisions()[i].choices.get(usize::from(k)));
        choice.map_or("–".to_string(), |c| c.to_string())
    };
    let each = space.decisions().iter().enumerate();
    each.map(|(i, d)| {
        (
            d.name.clone(),
            trials.iter().map(|t| chosen(t, i)).collect(),
        )
    })
    .collect()
}

fn charts(view: &View, trials: &[&TrialView], details: &[Detail]) -> Markup {
    let name = |t: &TrialView| format!("trial {}", t.trial);
    let pairs = || trials.iter().zip(details);
    let curves: Vec<(String, &[CurvePoint])> = pairs().map(|(t, d)| (name(t), &*d.curve)).collect();
    let records: Vec<(String, &LatencyRecord)> = pairs()
        .filter_map(|(t, d)| Some((name(t), d.latency.as_ref()?)))
        .collect();
    let curve = responsive((500.0, 340.0), (360.0, 320.0), |s| {
        curve::curves(&curves, s)
    });
    let strip = strips(view, &records, 500.0);
    html! {
        @if curve.is_some() || strip.is_some() {
            section {
                h2 { "Training and latency" }
                div class="pair" {
                    @if let Some(chart) = curve { figure id="curve" { (chart) figcaption { "The search's short training, by epoch." } } }
                    @if let Some(chart) = strip { figure id="strip" { (chart) figcaption { "Latency samples, in the order they were taken, from top to bottom." } } }
                }
            }
        }
    }
}

fn networks(view: &View, trials: &[&TrialView]) -> Markup {
    html! {
        div class="columns" {
            @for t in trials {
                div {
                    h3 { "Trial " (t.trial) }
                    @match architecture(view, &t.spec) {
                        Some(net) => (blocks::stack(&net)),
                        None => pre class="spec" tabindex="0" { (t.spec) },
                    }
                }
            }
        }
    }
}
