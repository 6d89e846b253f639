//! Every trial, sought, sorted and turned over on the server.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Frame, nothing_yet, part};
use crate::dashboard::query::{Column, ROWS, TableQuery};
use crate::dashboard::routes::App;
use crate::dashboard::server::read;
use crate::format::{si, significant, thousands};
use crate::view::{State, TrialView, View};

/// The page.
pub(in crate::dashboard) fn page(frame: &Frame, app: &App, query: &TableQuery) -> Markup {
    let ledger = read(&app.ledger);
    let Some(view) = ledger.view() else {
        return frame.page("Trials", "/trials", &nothing_yet());
    };
    let found = query.find(view);
    let pages = found.len().div_ceil(ROWS).max(1);
    let at = query.page.min(pages);
    let rows = &found[((at - 1) * ROWS).min(found.len())..(at * ROWS).min(found.len())];
    let body = html! {
        h1 { "Trials" }
        form id="filter-form" class="filter" action="/trials" role="search" {
            label for="filter-words" { "Show trials with" }
            input id="filter-words" name="q" type="search" value=(query.words) autocomplete="off"
                placeholder="words, as trained front se0.25";
            input type="hidden" name="sort" value=(query.sort.name());
            @if query.down { input type="hidden" name="order" value="down"; }
            button { "Find" }
        }
        p class="note" {
            "Words are a state (trained, too slow, infeasible, failed, lost, pending), front, finalist, duplicate, noisy, or part of a network's text; a row has all of them."
        }
        form action="/compare" {
            (part("rows", &html! {
                p id="found" role="status" {
                    (thousands(found.len() as u64)) " of " (thousands(view.trials.len() as u64))
                    @if pages > 1 { ", page " (at) " of " (thousands(pages as u64)) }
                }
                (rows_table(view, query, rows))
                (turn(query, at, pages))
            }))
            p class="actions" { button { "Compare the ticked" } span class="note" { "two to four trials" } }
        }
    };
    frame.page("Trials", "/trials", &body)
}

fn rows_table(view: &View, query: &TableQuery, rows: &[&TrialView]) -> Markup {
    let front = view.front_ids();
    let finalists: BTreeSet<u64> = view.finals.iter().filter_map(|f| f.trial).collect();
    html! {
        div class="scroll" tabindex="0" {
            table class="trials" {
                thead { tr {
                    th scope="col" { span class="unseen" { "Compare" } }
                    @for (column, _, title) in Column::ALL {
                        @let sorted = column == query.sort;
                        @let down = if sorted { !query.down } else { column.best_is_greatest() };
                        th scope="col" class=[(column != Column::State).then_some("n")]
                            aria-sort=[sorted.then_some(if query.down { "descending" } else { "ascending" })] {
                            a href=(query.address(column, down, 1)) { (title) }
                        }
                    }
                    th scope="col" { "Network" }
                } }
                tbody { @for t in rows { (row(t, front.contains(&t.trial), finalists.contains(&t.trial))) } }
            }
        }
    }
}

fn row(t: &TrialView, on_front: bool, finalist: bool) -> Markup {
    html! {
        tr {
            td { input type="checkbox" id=(format!("tick{}", t.trial)) name="t" value=(t.trial)
                aria-label=(format!("compare trial {}", t.trial)); }
            th scope="row" class="n" { a href=(format!("/trial/{}", t.trial)) { (t.trial) } }
            td {
                (t.state.words())
                @if on_front { ", front" }
                @if finalist { ", finalist" }
                @if let Some(failure) = &t.failure { br; small { (failure.kind) } }
                @if let Some(original) = t.duplicate_of { br; small { "as trial " (original) } }
            }
            td class="n" {
                (t.accuracy.map_or("–".into(), |a| format!("{:.2}", 100.0 * a)))
                @if t.state == State::TooSlow { br; small { "chance" } }
            }
            td class="n" {
                (t.latency_ms.map_or("–".into(), significant))
                @if t.latency.as_ref().is_some_and(|l| l.noisy) { br; small { "noisy" } }
            }
            td class="n" { (t.reward.map_or("–".into(), |r| format!("{r:.4}"))) }
            td class="n" { (t.params.map_or("–".into(), si)) }
            td class="n" { (t.macs.map_or("–".into(), si)) }
            td { code { (t.spec.replace('\n', " ")) } }
        }
    }
}

fn turn(query: &TableQuery, at: usize, pages: usize) -> Markup {
    let link = |page: usize, name: &str| {
        html! {
            @if page == at || !(1..=pages).contains(&page) { span class="note" { (name) } }
            @else { a href=(query.address(query.sort, query.down, page)) { (name) } }
        }
    };
    html! {
        @if pages > 1 {
            nav class="pages" aria-label="Pages of the table" {
                (link(1, "First")) (link(at.saturating_sub(1), "Previous")) (link(at + 1, "Next")) (link(pages, "Last"))
            }
        }
    }
}
