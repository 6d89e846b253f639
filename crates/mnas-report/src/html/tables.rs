//! Tables: finalists beside references, trials, failures.

use std::collections::BTreeMap;

use maud::{Markup, html};
use mnas_search::CurvePoint;

use super::responsive;
use crate::format::{count, ms, percent, si, significant, thousands};
use crate::plot::curve::{self, SERIES};
use crate::plot::strip::{self, Strip};
use crate::view::{FinalView, LatencyView, State, TrialView, View};

/// Trials listed at most: the front, the finalists and those of greatest reward.
const ROWS_MAX: usize = 1_000;

/// Failures of a kind listed at most.
const FAILURES_MAX: usize = 20;

/// Finalists and references side by side.
pub(crate) fn finals(view: &View) -> Markup {
    if view.finals.is_empty() {
        return html! {};
    }
    let wins = |f: &FinalView| view.winning_final().is_some_and(|w| w.name == f.name);
    html! {
        section id="finals" {
            h2 { "Against the references" }
            p class="note" id="finals-what" {
                "Finalists of the search and references, trained with the same recipe and measured in turn."
                @if let Some(target) = view.facts.target_ms { " Target " (ms(target)) "." }
            }
            div class="scroll" tabindex="0" {
                table class="finals sortable" aria-describedby="finals-what" {
                    thead { tr {
                        th scope="col" { "Network" }
                        th scope="col" class="n" { "Test top-1" }
                        th scope="col" class="n" { "Test top-5" }
                        th scope="col" class="n" { "Validation" }
                        th scope="col" class="n" { "Latency" }
                        th scope="col" class="n" { "IQR, ms" }
                        th scope="col" class="n" { "Params" }
                        th scope="col" class="n" { "MACs" }
                        th scope="col" { "From" }
                    } }
                    tbody { @for f in &view.finals { (final_row(f, wins(f))) } }
                }
            }
            (final_charts(view))
        }
    }
}

/// The first four networks of the final round that have a result.
fn charted(view: &View) -> impl Iterator<Item = &FinalView> {
    let done = view.finals.iter().filter(|f| f.latency.is_some());
    done.take(SERIES.len())
}

/// Their latency samples.
pub(crate) fn final_strips(view: &View, width: f64) -> Option<Markup> {
    let strips: Vec<Strip<'_>> = charted(view)
        .filter_map(|f| Some(strip_of(&f.name, f.latency.as_ref()?, &f.samples_ms)))
        .collect();
    strip::strips(&strips, view.facts.target_ms, width)
}

/// Their training curves, in the same colours.
pub(crate) fn final_curves(view: &View, size: (f64, f64)) -> Option<Markup> {
    let named: Vec<(String, &[CurvePoint])> =
        charted(view).map(|f| (f.name.clone(), &*f.curve)).collect();
    curve::curves(&named, size)
}

fn final_charts(view: &View) -> Markup {
    let strips = responsive((500.0, 0.0), (360.0, 0.0), |s| final_strips(view, s.0));
    let curves = responsive((500.0, 340.0), (360.0, 320.0), |s| final_curves(view, s));
    html! {
        div class="pair" {
            @if let Some(chart) = strips {
                figure {
                    (chart)
                    figcaption { "Latency samples in the order they were taken, from top to bottom; the bar is the median, the band the middle half." }
                }
            }
            @if let Some(chart) = curves { figure { (chart) figcaption { "Full training, by epoch." } } }
        }
    }
}

/// A row of a strip plot.
pub(crate) fn strip_of<'a>(name: &str, latency: &LatencyView, samples_ms: &'a [f64]) -> Strip<'a> {
    Strip {
        name: name.into(),
        samples_ms,
        median_ms: latency.median_ms,
        p25_ms: latency.p25_ms,
        iqr_ms: latency.iqr_ms,
    }
}

fn final_row(f: &FinalView, won: bool) -> Markup {
    let share = |v: Option<f64>| v.map_or("–".into(), percent);
    html! {
        tr class=[won.then_some("won")] {
            th scope="row" {
                (f.name) br;
                small class="note" { @if f.is_finalist() { "finalist" } @else { "reference" } }
            }
            @if let Some(failure) = &f.failure {
                td colspan="7" { "Failed: " (failure.kind) }
                td { small { (failure.message) } }
            } @else {
                td class="n" {
                    (share(f.test_accuracy))
                    @if let Some(int8) = f.int8_test_accuracy {
                        br; small title=[&f.int8_source] { "int8 " (percent(int8)) }
                    }
                    @if f.int8_failure.is_some() {
                        br; small title=[&f.int8_failure] { "no int8" }
                    }
                }
                td class="n" { (share(f.test_top5)) }
                td class="n" { (share(f.accuracy)) }
                td class="n" {
                    (f.latency_ms.map_or("–".into(), ms))
                    @if f.within_target == Some(false) { br; small { "over target" } }
                    @if f.latency.as_ref().is_some_and(|l| l.noisy) { br; small { "noisy" } }
                }
                td class="n" { (f.latency.as_ref().map_or("–".into(), |l| significant(l.iqr_ms))) }
                td class="n" data-v=[f.params] { (f.params.map_or("–".into(), si)) }
                td class="n" data-v=[f.macs] { (f.macs.map_or("–".into(), si)) }
                td {
                    details {
                        summary {
                            (f.latency.as_ref().map_or("no samples".into(), |l| count(l.samples, "sample")))
                            ", " (count(f.files.len() as u64, "file"))
                        }
                        @if let Some(l) = &f.latency {
                            p { "Latency " (l.source) "; " (l.dropped) " samples dropped." }
                        }
                        @for file in &f.files { p { code { (file) } } }
                    }
                }
            }
        }
    }
}

/// Every trial, or the most telling ones where there are many.
pub(super) fn trials(view: &View) -> Markup {
    if view.trials.is_empty() {
        return html! {};
    }
    let listed = listed(view);
    let all = listed.len() == view.trials.len();
    html! {
        section id="trials" {
            h2 { "Trials" }
            @if !all {
                p class="note" {
                    "The " (thousands(listed.len() as u64)) " most telling of "
                    (thousands(view.trials.len() as u64))
                    ": the front, the finalists and the greatest rewards. mnas report --json lists all."
                }
            }
            div class="filter" hidden {
                label for="filter" { "Show rows with" }
                input id="filter" type="search" placeholder="words, as trained se0.25";
                span id="found" class="note" role="status" {}
            }
            div class="scroll" tabindex="0" {
                table id="trials-table" class="sortable" {
                    caption { "Accuracy is top-1 on the validation split after the search's short training." }
                    thead { tr {
                        th scope="col" class="n" { "Trial" }
                        th scope="col" { "State" }
                        th scope="col" class="n" { "Accuracy, %" }
                        th scope="col" class="n" { "Latency, ms" }
                        th scope="col" class="n" { "Reward" }
                        th scope="col" class="n" { "Params" }
                        th scope="col" class="n" { "MACs" }
                        th scope="col" { "Network" }
                    } }
                    tbody { @for t in listed { (trial_row(view, t)) } }
                }
            }
        }
    }
}

/// The trials that the table shows, in order of number.
fn listed(view: &View) -> Vec<&TrialView> {
    let mut order: Vec<&TrialView> = view.trials.iter().collect();
    if order.len() > ROWS_MAX {
        let front = view.front_ids();
        let first = |t: &TrialView| {
            front.contains(&t.trial) || view.finals.iter().any(|f| f.trial == Some(t.trial))
        };
        order.sort_by_cached_key(|t| {
            // Greatest reward first; total_cmp's order as an integer, reversed.
            let reward = t.reward.unwrap_or(f64::NEG_INFINITY);
            let bits = reward.to_bits() as i64;
            let key = bits ^ (((bits >> 63) as u64) >> 1) as i64;
            (!first(t), std::cmp::Reverse(key), t.trial)
        });
        order.truncate(ROWS_MAX);
        order.sort_unstable_by_key(|t| t.trial);
    }
    order
}

fn trial_row(view: &View, t: &TrialView) -> Markup {
    let on_front = view.front.iter().any(|f| f.trial == t.trial);
    let finalist = view.finals.iter().any(|f| f.trial == Some(t.trial));
    html! {
        tr id=(format!("t{}", t.trial)) {
            td class="n" { (t.trial) }
            td {
                (t.state.words())
                @if on_front { ", front" }
                @if finalist { ", finalist" }
                @if let Some(failure) = &t.failure { br; small { (failure.kind) } }
                @if let Some(original) = t.duplicate_of { br; small { "as trial " (original) } }
                @if t.attempt > 1 { br; small { "attempt " (t.attempt) } }
            }
            td class="n" {
                (t.accuracy.map_or("–".into(), |a| format!("{:.2}", 100.0 * a)))
                @if t.state == State::TooSlow { br; small { "chance" } }
                @if t.state == State::Stopped { br; small { "promised" } }
            }
            td class="n" {
                (t.latency_ms.map_or("–".into(), significant))
                @if let Some(l) = &t.latency {
                    @if l.noisy { br; small { "noisy" } }
                    @if l.predicted { br; small { "predicted" } }
                }
            }
            td class="n" { (t.reward.map_or("–".into(), |r| format!("{r:.4}"))) }
            td class="n" data-v=[t.params] { (t.params.map_or("–".into(), si)) }
            td class="n" data-v=[t.macs] { (t.macs.map_or("–".into(), si)) }
            td { details { summary class="code" { (t.hash) } pre class="spec" { (t.spec) } } }
        }
    }
}

/// Whether any network has no result for a reason worth telling.
pub(super) fn any_failure(view: &View) -> bool {
    view.trials.iter().any(|t| t.failure.is_some())
        || view.finals.iter().any(|f| f.failure.is_some())
}

/// Networks without a result, by reason.
pub(crate) fn failures(view: &View) -> Markup {
    if !any_failure(view) {
        return html! {};
    }
    let mut kinds: BTreeMap<&str, Vec<(String, &str)>> = BTreeMap::new();
    let distinct = view.trials.iter().filter(|t| t.duplicate_of.is_none());
    for (t, failure) in distinct.filter_map(|t| Some((t, t.failure.as_ref()?))) {
        let entry = kinds.entry(&failure.kind).or_default();
        entry.push((format!("trial {}", t.trial), &failure.message));
    }
    for (f, failure) in view
        .finals
        .iter()
        .filter_map(|f| Some((f, f.failure.as_ref()?)))
    {
        let entry = kinds.entry(&failure.kind).or_default();
        entry.push((format!("{}, final round", f.name), &failure.message));
    }
    html! {
        section id="failures" {
            h2 { "Failures" }
            p class="note" { "A network that fails is a result like another: it is off the front, and the search goes on." }
            div class="scroll" tabindex="0" {
                table {
                    caption { "Distinct networks without a result, by reason." }
                    thead { tr {
                        th scope="col" { "Reason" } th scope="col" { "Network" } th scope="col" { "What was reported" }
                    } }
                    tbody { @for (kind, list) in &kinds { (failure_rows(kind, list)) } }
                }
            }
        }
    }
}

fn failure_rows(kind: &str, list: &[(String, &str)]) -> Markup {
    let shown = &list[..list.len().min(FAILURES_MAX)];
    html! {
        @for (i, (name, message)) in shown.iter().enumerate() {
            tr {
                td { @if i == 0 { (kind) " (" (thousands(list.len() as u64)) ")" } }
                td { (name) }
                td { (message) }
            }
        }
        @if list.len() > shown.len() {
            tr { td {} td colspan="2" { "and " (thousands((list.len() - shown.len()) as u64)) " more" } }
        }
    }
}
