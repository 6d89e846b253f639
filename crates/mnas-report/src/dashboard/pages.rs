//! What the pages have in common: head, links between them, and parts that follow the study.

use axum::http::HeaderMap;
use maud::{DOCTYPE, Markup, html};

pub(super) mod compare;
pub(super) mod overview;
pub(super) mod table;
pub(super) mod trial;

use super::guard::{MayAct, cookies};
use super::routes::App;
use super::server::read;
use super::{Standing, query};
use crate::html::{PAGE_CSS, PAGE_JS, palette};
use crate::plot::CHART_CSS;

/// What a page is told besides the study.
pub(super) struct Frame {
    name: String,
    theme: Option<&'static str>,
    state: String,
    pub(super) may_act: bool,
    pub(super) standing: Standing,
    trouble: Option<String>,
    read: bool,
}

impl Frame {
    /// For one request.
    pub(super) fn of(app: &App, act: MayAct, headers: &HeaderMap) -> Self {
        let theme = cookies(headers).find(|c| c.0 == "mnas-theme");
        // Before the notes are held: it reads them too, and a writer in between would wait for the
        // first reader and hold up the second.
        let state = app.state();
        let notes = read(&app.notes);
        Self {
            name: app.name.clone(),
            theme: theme.and_then(|(_, value)| ["light", "dark"].into_iter().find(|t| *t == value)),
            state,
            may_act: act.0,
            standing: notes.standing.clone(),
            trouble: notes.trouble.clone(),
            read: notes.read,
        }
    }

    /// The whole page. `here` is its address among the links.
    fn page(&self, title: &str, here: &str, body: &Markup) -> Markup {
        let links = [
            ("/", "Overview"),
            ("/trials", "Trials"),
            ("/compare", "Compare"),
            ("/report", "Report file"),
        ];
        html! {
            (DOCTYPE)
            html lang="en" data-theme=[self.theme] {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " – " (self.name) }
                    link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/assets/page.css";
                    script src="/assets/page.js" defer {}
                }
                body data-events="/live" data-seq=(self.state) data-trials="/trial/" {
                    a class="skip" href="#main" { "Skip to content" }
                    header class="bar-top" {
                        a class="brand" href="/" { "mnas " span { (self.name) } }
                        nav aria-label="Pages" {
                            @for (address, name) in links {
                                a href=(address) aria-current=[(here == address).then_some("page")] { (name) }
                            }
                        }
                        span id="said" role="status" {}
                        button id="theme" type="button" hidden { "Light or dark" }
                    }
                    main id="main" {
                        (part("trouble", &html! {
                            @if let Some(trouble) = &self.trouble { p class="trouble" role="alert" { (trouble) } }
                            @else if !self.read { p class="note" { "Reading the study …" } }
                        }))
                        (body)
                    }
                    div id="tip" role="tooltip" hidden {}
                }
            }
        }
    }
}

/// A part of a page that is put in place anew when it changed.
fn part(id: &str, body: &Markup) -> Markup {
    html! { div id=(id) data-live { (body) } }
}

/// What a page says while nothing is known of the study.
fn nothing_yet() -> Markup {
    part("nothing", &html! { h1 { "Nothing to show yet" } })
}

/// The style sheet of every page.
pub(super) fn style() -> String {
    let own = include_str!("../assets/dashboard.css");
    format!("{}{CHART_CSS}{PAGE_CSS}{own}", palette::css())
}

/// The mark of the pages in a browser's tabs: a front and its points.
pub(super) const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
<path d=\"M2 13V9h4V5h4V3h4\" fill=\"none\" stroke=\"#1463a5\" stroke-width=\"2\"/>\
<circle cx=\"10\" cy=\"5\" r=\"2.6\" fill=\"#d9480f\"/></svg>\n";

/// The script of every page: what follows the study first, since it keeps parts as they were served.
pub(super) fn script() -> String {
    format!("{}\n{PAGE_JS}", include_str!("../assets/dashboard.js"))
}

/// The address of a comparison.
fn comparison(trials: &[u64]) -> String {
    let list: Vec<String> = trials
        .iter()
        .take(query::COMPARED)
        .map(|t| format!("t={t}"))
        .collect();
    format!("/compare?{}", list.join("&"))
}
