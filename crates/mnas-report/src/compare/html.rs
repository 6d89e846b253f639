//! A comparison as one offline page, in the looks of the report.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::text::{accuracy_words, group_name, latency_words, reference_words};
use super::{Compared, Comparison, Group};
use crate::format::{ms, percent, thousands};
use crate::html::{PAGE_CSS, palette, policy, responsive};
use crate::plot::compare::{Series, fronts, latencies, rewards};
use crate::plot::{CHART_CSS, Mark};

/// The page.
pub fn html(c: &Comparison) -> String {
    let style = format!("{}{CHART_CSS}{PAGE_CSS}", palette::css());
    let title = match &*c.studies {
        [alone] => format!("{} beside published figures", alone.name),
        studies => format!("{} studies side by side", studies.len()),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy::policy(&style, ""));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(concat!("mnas ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(&style)) }
            }
            body {
                header {
                    h1 { (title) }
                    div class="lead" { @for note in &c.notes { p { (note) } } }
                }
                main {
                    @for group in &c.groups { (section(c, group)) }
                    (finals(c))
                    @if c.studies.len() > 1 { (settings(c)) }
                    (published(c))
                }
                footer { p { "Written by mnas " (env!("CARGO_PKG_VERSION")) ". This page is one file and loads nothing." } }
            }
        }
    };
    page.into_string()
}

/// The mark of a study, for tables.
fn mark(number: usize) -> Markup {
    html! {
        svg class="chart key" xmlns="http://www.w3.org/2000/svg" width="16" height="14"
            viewBox="0 0 16 14" aria-hidden="true" {
            (Mark::Series(number).at(8.0, 7.0, None, ""))
        }
    }
}

fn section(c: &Comparison, group: &Group) -> Markup {
    let mut members = group.ranking.clone();
    members.sort_unstable();
    let predicted = group
        .latency_sources
        .iter()
        .all(|s| s.starts_with("predicted"));
    let axis = match predicted && !group.latency_sources.is_empty() {
        true => "predicted latency, ms",
        false => "latency, ms",
    };
    let front = series(c, &members, |s| {
        s.front.iter().map(|p| (p.latency_ms, p.accuracy)).collect()
    });
    let reward = series(c, &members, |s| {
        s.best_rewards.iter().map(|r| (r.0 as f64, r.1)).collect()
    });
    let measured: Vec<(usize, &str, &[f64])> = members
        .iter()
        .map(|i| (*i, &*c.studies[*i].name, &*c.studies[*i].latencies_ms))
        .collect();
    let pair = ((500.0, 340.0), (360.0, 320.0));
    let histogram = responsive(pair.0, pair.1, |s| latencies(&measured, axis, s));
    let over_trials = responsive(pair.0, pair.1, |s| rewards(&reward, s));
    html! {
        section {
            h2 { (group_name(group)) }
            @if let Some(chart) = responsive((1030.0, 480.0), (360.0, 400.0), |s| fronts(&front, axis, s)) {
                figure {
                    (chart)
                    figcaption { "Networks that no other of their study beats in both accuracy and latency, after short training." }
                }
            }
            (ranking(c, group))
            div class="pair" {
                @if let Some(chart) = histogram {
                    figure { (chart) figcaption { "Latencies of the networks that each study measured." } }
                }
                @if let Some(chart) = over_trials.filter(|_| group.rewards_compare) {
                    figure { (chart) figcaption { "The best reward of a trained network up to each trial." } }
                }
            }
        }
    }
}

/// A part of a chart for each of some studies.
fn series<'a>(
    c: &'a Comparison,
    members: &[usize],
    points: impl Fn(&Compared) -> Vec<(f64, f64)>,
) -> Vec<Series<'a>> {
    let one = |i: &usize| Series {
        number: *i,
        name: &c.studies[*i].name,
        points: points(&c.studies[*i]),
    };
    members.iter().map(one).collect()
}

fn ranking(c: &Comparison, group: &Group) -> Markup {
    html! {
        div class="scroll" {
            table {
                caption {
                    "Ranked by hypervolume. "
                    @if let Some(words) = reference_words(group) { (words) }
                    " Best: validation accuracy, after short training, of the trial of greatest reward within the study's own target."
                }
                thead { tr {
                    th scope="col" { "Study" } th scope="col" class="n" { "Hypervolume" }
                    th scope="col" class="n" { "Best" } th scope="col" class="n" { "Latency" }
                    th scope="col" class="n" { "Target" } th scope="col" class="n" { "On the front" }
                    th scope="col" class="n" { "Trained" } th scope="col" class="n" { "Proposals" }
                    th scope="col" { "Status" }
                } }
                tbody { @for i in &group.ranking {
                    @let s = &c.studies[*i];
                    @let best = s.best_within_target.as_ref();
                    tr {
                        th scope="row" { (mark(*i)) " " (s.name) }
                        td class="n" { (s.hypervolume.map_or("–".into(), |v| format!("{v:.4}"))) }
                        td class="n" { (best.map_or("none".into(), |b| percent(b.accuracy))) }
                        td class="n" { (best.map_or("–".into(), |b| ms(b.latency_ms))) }
                        td class="n" { (s.target_ms.map_or("–".into(), ms)) }
                        td class="n" { (s.front.len()) }
                        td class="n" { (thousands(s.trained)) }
                        td class="n" { (thousands(s.proposals)) }
                        td { (s.status) }
                    }
                } }
            }
        }
    }
}

fn finals(c: &Comparison) -> Markup {
    if c.studies.iter().all(|s| s.finals.is_empty()) {
        return html! {};
    }
    html! {
        section {
            h2 { "Fully trained networks" }
            div class="scroll" {
                table {
                    caption {
                        "With 95 % intervals: of an accuracy for the number of images that its fractions tell (Wilson), which leaves out "
                        "what another seed would change; of a latency for the median of its samples. Latencies of different devices don't compare."
                    }
                    thead { tr {
                        th scope="col" { "Study" } th scope="col" { "Network" } th scope="col" { "" }
                        th scope="col" class="n" { "Accuracy" } th scope="col" class="n" { "Latency" }
                    } }
                    tbody { @for (i, s) in c.studies.iter().enumerate() { @for (at, f) in s.finals.iter().enumerate() {
                        tr {
                            th scope="row" { @if at == 0 { (mark(i)) " " (s.name) } }
                            td { (f.name) }
                            td { @if f.found { "finalist" } @else { "reference" } }
                            td class="n" { (accuracy_words(f)) }
                            td class="n" { (latency_words(f)) }
                        }
                    } } }
                }
            }
        }
    }
}

fn settings(c: &Comparison) -> Markup {
    html! {
        section {
            h2 { "Settings that differ" }
            @if c.differences.is_empty() { p class="note" { "None." } }
            @else {
                div class="scroll" {
                    table {
                        thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "Studies" } } }
                        tbody { @for d in &c.differences { @for (at, (value, names)) in d.values.iter().enumerate() {
                            tr {
                                th scope="row" { @if at == 0 { (d.setting) } }
                                td { (value) }
                                td { (names.join(", ")) }
                            }
                        } } }
                    }
                }
            }
        }
    }
}

fn published(c: &Comparison) -> Markup {
    let Some(p) = &c.published else {
        return html! {};
    };
    html! {
        section {
            h2 { "Published: " (p.title) }
            p { (p.carries_over) }
            div class="scroll" {
                table {
                    caption { "Figures as published, on their images and their device; not ours." }
                    thead { tr {
                        th scope="col" { "Network" } th scope="col" class="n" { "Accuracy" }
                        th scope="col" class="n" { "Latency" } th scope="col" { "Where" }
                    } }
                    tbody { @for r in &p.rows { tr {
                        th scope="row" { (r.name) }
                        td class="n" { (r.accuracy.map_or("–".into(), percent)) }
                        td class="n" { (r.latency_ms.map_or("–".into(), ms)) }
                        td { (r.source) }
                    } } }
                }
            }
        }
    }
}
