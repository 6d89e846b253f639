//! Sections on the search: the plane of accuracy and latency, and how the search went.

use maud::{Markup, html};

use super::{responsive, unbroken};
use crate::format::{count, significant, thousands};
use crate::plot::{POINTS_MAX, belief, controller, importance, latency, reward, scatter};
use crate::view::{Belief, BeliefHistory, State, View};
use crate::words;

/// The scatter.
pub(crate) fn scatter(view: &View) -> Markup {
    let chart = responsive((1030.0, 480.0), (360.0, 400.0), |size| {
        scatter::scatter(view, size)
    });
    html! {
        section id="accuracy" {
            h2 { "Accuracy and latency" }
            @match chart {
                Some(chart) => figure { (chart) figcaption { (scatter_caption(view)) } },
                None => p class="note" { "No network has been trained and measured yet." },
            }
        }
    }
}

fn scatter_caption(view: &View) -> String {
    let trained = view.totals.trained;
    let mut text = format!(
        "Each dot is one of {} trained {}; the line joins those that none beats in both (the \
         Pareto front, {}).",
        thousands(trained),
        if trained == 1 { "network" } else { "networks" },
        count(view.front.len() as u64, "network")
    );
    if !view.finals.is_empty() {
        text += " Dots are after the search's short training, rings, star and diamonds after full \
                 training; a thin line joins a finalist's two places.";
    }
    if trained as usize > POINTS_MAX {
        text += " With this many dots only the front and the finals answer to the pointer, and \
                 dots far from the others are left out.";
    } else {
        text += " Triangles at an edge lie beyond it.";
    }
    text
}

/// How the search went; `open` shows what the controller believed at once.
pub(crate) fn section(view: &View, open: bool) -> Markup {
    let rewards = responsive((500.0, 320.0), (360.0, 320.0), |s| reward::rewards(view, s));
    let histogram = responsive((500.0, 320.0), (360.0, 300.0), |s| {
        latency::histogram(view, s)
    });
    let entropy = responsive((1030.0, 220.0), (360.0, 240.0), |s| {
        controller::entropy(view, s)
    });
    html! {
        section id="search" {
            h2 { "The search" }
            p { (unbroken(&words::counts(view))) }
            div class="pair" {
                @if let Some(chart) = rewards {
                    figure { (chart) figcaption { (unbroken(&reward_caption(view))) } }
                }
                @if let Some(chart) = histogram {
                    figure { (chart) figcaption {
                        "Median latency of each distinct network that was measured; the last bar counts all beyond."
                    } }
                }
            }
            @if let Some(chart) = entropy {
                figure { (chart) figcaption {
                    "How undecided the controller is after each batch: 1 is an even choice, 0 a certain one."
                } }
            }
            (importances(view))
            (histories(&view.belief_history, open))
            (beliefs(&view.beliefs))
        }
    }
}

/// Which decisions matter.
fn importances(view: &View) -> Markup {
    let Some(wide) = importance::importance(view, 1030.0) else {
        return html! {};
    };
    html! {
        h3 id="importance" { "What the search space's decisions explain" }
        figure {
            div class="wide" { (wide) }
            div class="narrow" { (importance::importance(view, 360.0).unwrap_or_default()) }
            figcaption {
                "Share of the variance over the trained networks that a decision explains alone, by a one-way analysis of "
                "variance corrected for the number of choices (epsilon squared). Interactions aren't told apart, and decisions that the "
                "controller moved together share their credit."
                @if view.importance.len() > importance::SHOWN {
                    " The " (importance::SHOWN) " largest of " (view.importance.len()) "."
                }
            }
        }
    }
}

/// What the controller would have chosen, decision by decision, over the trials.
fn histories(list: &[BeliefHistory], open: bool) -> Markup {
    let Some(last) = list.first().and_then(|h| h.moments.last()) else {
        return html! {};
    };
    html! {
        details id="beliefs" open[open] {
            summary { "What the controller would have chosen, over the trials (" (count(list.len() as u64, "decision")) ")" }
            p class="note" {
                "Height is probability, from left to right the trials up to " (last.0) "; the figures are the last."
            }
            div class="multiples" {
                @for history in list {
                    figure { figcaption { (history.decision) } (belief::belief(history)) }
                }
            }
        }
    }
}

fn reward_caption(view: &View) -> String {
    let formula = match &view.facts.objective {
        Some(formula) => format!("Reward: {formula}."),
        None => "The reward joins accuracy and latency.".into(),
    };
    let unused = view
        .trials
        .iter()
        .any(|t| t.reward == Some(0.0) && t.state != State::Done);
    let zero = if unused {
        " A network that can't be used gets 0."
    } else {
        ""
    };
    format!("{formula}{zero} Triangles at the lower edge lie below it.")
}

/// What the controller would choose now, decision by decision, surest choice first.
fn beliefs(beliefs: &[Belief]) -> Markup {
    if beliefs.is_empty() {
        return html! {};
    }
    let sorted = |b: &Belief| {
        let mut choices = b.choices.clone();
        choices.sort_by(|x, y| y.1.total_cmp(&x.1));
        choices
    };
    html! {
        details {
            summary { "What the controller would choose now (" (count(beliefs.len() as u64, "decision")) ")" }
            div class="beliefs" {
                @for belief in beliefs {
                    div {
                        b { (belief.decision) }
                        span {
                            @for (i, (choice, p)) in sorted(belief).iter().enumerate() {
                                @let text = format!("{choice}: {} %", significant(100.0 * p));
                                @if i == 0 { strong { (text) } } @else { em { (text) } }
                                " "
                            }
                        }
                    }
                }
            }
        }
    }
}
