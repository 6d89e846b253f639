//! The study at a glance.

use maud::{Markup, html};

use super::{Frame, nothing_yet, part};
use crate::dashboard::ledger::Ledger;
use crate::dashboard::routes::App;
use crate::dashboard::server::read;
use crate::format::{thousands, utc};
use crate::html::{devices, key_figures, search, tables, unbroken, winner};
use crate::view::View;
use crate::words;

/// The page.
pub(in crate::dashboard) fn page(frame: &Frame, app: &App) -> Markup {
    let ledger = read(&app.ledger);
    let Some(view) = ledger.view() else {
        return frame.page("Overview", "/", &nothing_yet());
    };
    let body = html! {
        (part("summary", &summary(frame, view)))
        (part("plane", &search::scatter(view)))
        (part("finalists", &tables::finals(view)))
        (part("progress", &search::section(view, true)))
        (part("winner", &winner::section(view)))
        (part("health", &html! {
            section { h2 { "Devices and workers" } (health(view)) (devices(view)) }
        }))
        (part("problems", &tables::failures(view)))
        (part("happened", &events(&ledger)))
    };
    frame.page(&words::headline(view), "/", &body)
}

fn summary(frame: &Frame, view: &View) -> Markup {
    html! {
        p class="over-title" {
            (words::subject(view))
            span class="status" { (view.facts.status) }
            @if frame.standing.running { span class="status running" { "a search runs" } }
        }
        h1 { (unbroken(&words::headline(view))) }
        div class="lead" { @for sentence in words::findings(view) { p { (unbroken(&sentence)) } } }
        @if let Some(budget) = view.facts.budget {
            @let resolved = view.totals.proposals - view.totals.pending.min(view.totals.proposals);
            div class="budget" {
                progress value=(resolved) max=(budget.max(1)) aria-label="Proposals with an outcome" {}
                span { (thousands(resolved)) " of " (thousands(budget)) " proposals" }
            }
        }
        (key_figures(view))
        (actions(frame))
    }
}

fn actions(frame: &Frame) -> Markup {
    html! {
        @if frame.standing.running {
            div class="actions" {
                @if frame.standing.stopping {
                    p { "The search was asked to stop and will end shortly; mnas resume continues it." }
                } @else if frame.may_act {
                    form method="post" action="/stop" { button { "Stop the search" } }
                    span class="note" { "Stops cleanly, as Ctrl-C does; mnas resume continues." }
                } @else {
                    span class="note" { "To stop the search from here, open the address with the token." }
                }
            }
        }
        @if !frame.standing.promoted.is_empty() {
            p class="note" {
                "To be trained in full besides the search's own choice: "
                @for (i, t) in frame.standing.promoted.iter().enumerate() {
                    @if i > 0 { ", " } a href=(format!("/trial/{t}")) { "trial " (t) }
                }
            }
        }
    }
}

/// How trials fared with devices and workers.
fn health(view: &View) -> Markup {
    let t = &view.totals;
    let facts = [
        ("Networks without a result yet", t.pending),
        (
            "Attempts repeated after a worker or device was lost",
            t.retries,
        ),
        ("Networks lost for good", t.lost),
        ("Results that came too late to count", t.stale),
        ("Noisy measurements", t.noisy),
        ("Device failures", view.device_failures),
    ];
    html! {
        dl class="facts" {
            @if let Some(device) = &view.facts.device { dt { "Device" } dd { (device) } }
            @for (name, n) in facts { dt { (name) } dd { (thousands(n)) } }
        }
    }
}

fn events(ledger: &Ledger) -> Markup {
    html! {
        section id="events" {
            h2 { "What happened last" }
            (timeline(ledger.last().iter()))
        }
    }
}

/// Events with their times.
pub(super) fn timeline<'a>(events: impl Iterator<Item = &'a (u64, String)>) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table class="timeline" {
                thead { tr { th scope="col" { "Time (UTC)" } th scope="col" { "Event" } } }
                tbody { @for (time_ms, words) in events { tr {
                    td class="when" { (utc(*time_ms)) } td { (words) }
                } } }
            }
        }
    }
}
