//! The report as one offline page: charts drawn here as SVG, a short script for pointing, sorting
//! and filtering, and nothing loaded from anywhere.
//!
//! All markup goes through `maud`, which escapes every text; names and messages come from users'
//! files and are not trusted.

use maud::{DOCTYPE, Markup, PreEscaped, html};

#[cfg(test)]
pub(crate) mod check;
pub(crate) mod palette;
pub(crate) mod policy;
pub(crate) mod search;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod winner;

use crate::format::{count, ms, percent, si, significant, thousands};
use crate::plot::CHART_CSS;
use crate::provenance::origins;
use crate::view::View;
use crate::words;

pub(crate) const PAGE_CSS: &str = include_str!("assets/page.css");
pub(crate) const PAGE_JS: &str = include_str!("assets/page.js");

/// The page. About 150 KB for 200 trials and under 3 MB for 10,000, of which it lists the best
/// thousand; `mnas report --json` has them all.
pub fn html(view: &View) -> String {
    let style = format!("{}{CHART_CSS}{PAGE_CSS}", palette::css());
    let title = format!("{}: {}", words::subject(view), words::headline(view));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy::policy(&style, PAGE_JS));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(concat!("mnas ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(&style)) }
            }
            body {
                (top(view))
                main {
                    (search::scatter(view))
                    (tables::finals(view))
                    (winner::section(view))
                    (search::section(view, false))
                    (tables::trials(view))
                    (tables::failures(view))
                    (provenance(view))
                }
                footer {
                    p { "Written by mnas " (env!("CARGO_PKG_VERSION")) ". This page is one file and loads nothing." }
                }
                div id="tip" role="status" hidden {}
                script { (PreEscaped(PAGE_JS)) }
            }
        }
    };
    page.into_string()
}

/// What was searched, what was found, and where to look.
fn top(view: &View) -> Markup {
    let links = [
        ("#accuracy", "Accuracy and latency", true),
        ("#finals", "Against references", !view.finals.is_empty()),
        ("#network", "The network", view.winner.is_some()),
        ("#search", "The search", true),
        ("#trials", "Trials", !view.trials.is_empty()),
        ("#failures", "Failures", tables::any_failure(view)),
        ("#where", "Where each number came from", true),
    ];
    html! {
        header {
            p class="over-title" {
                (words::subject(view))
                span class="status" { (view.facts.status) }
            }
            h1 { (unbroken(&words::headline(view))) }
            div class="lead" {
                @for sentence in words::findings(view) { p { (unbroken(&sentence)) } }
            }
            (key_figures(view))
            nav aria-label="Sections" {
                @for (target, name, _) in links.iter().filter(|l| l.2) { a href=(target) { (name) } }
            }
        }
    }
}

/// The winner's numbers, large.
pub(crate) fn key_figures(view: &View) -> Markup {
    let Some(w) = &view.winner else {
        return html! {};
    };
    let against = |latency: f64| {
        let target = view.facts.target_ms?;
        let side = if latency <= target { "within" } else { "over" };
        Some(format!("{side} the target of {}", ms(target)))
    };
    let iqr = view.winning_final().and_then(|f| f.latency.as_ref());
    let iqr = iqr.map(|l| format!(", IQR {} ms", significant(l.iqr_ms)));
    html! {
        dl class="figures" {
            @if let Some(accuracy) = w.test_accuracy {
                div { dt { "Test accuracy" } dd { (percent(accuracy)) small { "top-1, looked at once" } } }
            }
            @if let Some(accuracy) = w.accuracy {
                div { dt { "Validation accuracy" } dd {
                    (percent(accuracy))
                    small { @if w.fully_trained { "after full training" } @else { "after short training" } }
                } }
            }
            @if let Some(latency) = w.latency_ms {
                div { dt { "Latency" } dd {
                    (ms(latency))
                    small { (unbroken(&against(latency).unwrap_or_else(|| "median".into())))
                        (unbroken(&iqr.unwrap_or_default())) }
                } }
            }
            @if let Some(macs) = w.macs {
                div { dt { "Multiply-accumulates" } dd { (si(macs)) small { "for one image" } } }
            }
            @if let Some(params) = w.params {
                div { dt { "Parameters" } dd { (si(params)) small { "trainable values" } } }
            }
        }
    }
}

/// Where each kind of number comes from, and the whole plan.
pub(crate) fn provenance(view: &View) -> Markup {
    let plan = serde_json::to_string_pretty(&view.facts.plan).unwrap_or_default();
    html! {
        section id="where" {
            h2 { "Where each number came from" }
            div class="scroll" tabindex="0" {
                table class="origins" {
                    caption { "What each kind of number on this page rests on." }
                    tbody {
                        @for origin in origins(view) {
                            tr {
                                th scope="row" { (origin.what) }
                                td { @for sentence in &origin.from { p { (unbroken(sentence)) } } }
                            }
                        }
                    }
                }
            }
            (devices(view))
            @if !view.facts.plan.is_null() {
                details { summary { "The whole plan, as the study stored it" } pre { (plan) } }
            }
        }
    }
}

/// How steady each source of latencies was in the search.
pub(crate) fn devices(view: &View) -> Markup {
    if view.devices.is_empty() {
        return html! {};
    }
    html! {
        h3 id="devices" { "Devices" }
        div class="scroll" tabindex="0" {
            table {
                caption {
                    "Sources of latencies in the search. Spread is the median over the networks of the interquartile range as a share of the median."
                    @if view.device_failures > 0 {
                        " " (count(view.device_failures, "network")) " failed on the device or could not be timed steadily."
                    }
                }
                thead { tr {
                    th scope="col" { "Source" } th scope="col" class="n" { "Networks" }
                    th scope="col" class="n" { "Spread" } th scope="col" class="n" { "Noisy" }
                    th scope="col" class="n" { "Samples dropped" }
                } }
                tbody { @for d in &view.devices { tr {
                    td { (d.source) }
                    td class="n" { (thousands(d.networks)) }
                    td class="n" { (d.spread.filter(|_| !d.predicted).map_or("–".into(), percent)) }
                    td class="n" { (thousands(d.noisy)) }
                    td class="n" { (thousands(d.dropped)) }
                } } }
            }
        }
    }
}

/// A chart for wide windows and the same chart for narrow ones: text keeps its size in both, which
/// scaling one picture would not.
pub(crate) fn responsive(
    wide: (f64, f64),
    narrow: (f64, f64),
    draw: impl Fn((f64, f64)) -> Option<Markup>,
) -> Option<Markup> {
    Some(html! {
        div class="wide" { (draw(wide)?) }
        div class="narrow" { (draw(narrow)?) }
    })
}

/// A sentence whose numbers stay with their units.
pub(crate) fn unbroken(text: &str) -> String {
    text.replace(" ms", "\u{a0}ms")
        .replace(" %", "\u{a0}%")
        .replace(" s,", "\u{a0}s,")
}
