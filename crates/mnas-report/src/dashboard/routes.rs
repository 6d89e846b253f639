//! Addresses and what they answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Extension, Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::Markup;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use super::guard::{self, Guard, MayAct};
use super::ledger::Ledger;
use super::pages::{self, Frame};
use super::query::{TableQuery, numbers};
use super::server::{lock, read};
use super::{Standing, StudyAccess};

/// Everything that requests share: the study, what is known of it, and who waits for news.
pub(super) struct App {
    pub(super) guard: Guard,
    pub(super) name: String,
    pub(super) access: Mutex<Box<dyn StudyAccess>>,
    pub(super) ledger: RwLock<Ledger>,
    pub(super) notes: RwLock<Notes>,
    pub(super) closing: AtomicBool,
    news: watch::Sender<String>,
}

/// What is said of a study besides its events.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) trouble: Option<String>,
    /// Whether the trouble is for ever: an event doesn't follow those before it.
    pub(super) broken: bool,
    /// Whether the study was read to its end once.
    pub(super) read: bool,
    pub(super) standing: Standing,
    pub(super) version: u64,
}

impl App {
    pub(super) fn new(guard: Guard, access: Box<dyn StudyAccess>) -> Self {
        Self {
            guard,
            name: access.name(),
            access: Mutex::new(access),
            ledger: RwLock::default(),
            notes: RwLock::default(),
            closing: AtomicBool::new(false),
            news: watch::Sender::default(),
        }
    }

    /// What pages compare to know whether they are current.
    pub(super) fn state(&self) -> String {
        let shown = read(&self.ledger).shown();
        let version = read(&self.notes).version;
        format!("{shown}.{version}")
    }

    pub(super) fn tell(&self) {
        self.news.send_replace(self.state());
    }
}

pub(super) fn router(app: Arc<App>) -> axum::Router {
    axum::Router::new()
        .route("/", get(overview))
        .route("/trials", get(trials))
        .route("/trial/{trial}", get(trial))
        .route("/compare", get(compare))
        .route("/report", get(report))
        .route("/file/{*path}", get(file))
        .route("/live", get(live))
        .route("/stop", post(stop))
        .route("/promote/{trial}", post(promote))
        .route("/assets/page.css", get(style))
        .route("/assets/page.js", get(script))
        .route("/assets/icon.svg", get(icon))
        .fallback(async || not_found())
        .layer(DefaultBodyLimit::max(4096))
        .layer(from_fn_with_state(app.clone(), guard::check))
        .with_state(app)
}

fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "There is no such page.\n")
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, text.into()).into_response()
}

fn page(markup: Markup) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (kind, markup.into_string()).into_response()
}

/// Draws on a thread that may take its time.
async fn draw(app: Arc<App>, work: impl FnOnce(&App) -> Response + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(move || work(&app)).await {
        Ok(response) => response,
        Err(e) => {
            tracing::error!("a page can't be drawn: {e}");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This page can't be drawn; the program's output says more.\n",
            )
        }
    }
}

type Address = Query<HashMap<String, String>>;
type Shared = State<Arc<App>>;

async fn overview(State(app): Shared, act: Extension<MayAct>, headers: HeaderMap) -> Response {
    draw(app, move |app| {
        page(pages::overview::page(&Frame::of(app, act.0, &headers), app))
    })
    .await
}

async fn trials(
    State(app): Shared,
    act: Extension<MayAct>,
    Query(query): Address,
    headers: HeaderMap,
) -> Response {
    let query = TableQuery::of(&query);
    draw(app, move |app| {
        let frame = Frame::of(app, act.0, &headers);
        page(pages::table::page(&frame, app, &query))
    })
    .await
}

async fn trial(
    State(app): Shared,
    act: Extension<MayAct>,
    Path(trial): Path<u64>,
    headers: HeaderMap,
) -> Response {
    draw(app, move |app| {
        let frame = Frame::of(app, act.0, &headers);
        match pages::trial::page(&frame, app, trial) {
            Ok(Some(markup)) => page(markup),
            Ok(None) => not_found(),
            Err(trouble) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
        }
    })
    .await
}

async fn compare(
    State(app): Shared,
    act: Extension<MayAct>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let wanted = numbers(&query.unwrap_or_default());
    draw(app, move |app| {
        let frame = Frame::of(app, act.0, &headers);
        match pages::compare::page(&frame, app, &wanted) {
            Ok(markup) => page(markup),
            Err(trouble) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
        }
    })
    .await
}

/// The offline report as it would be written now. It brings its own policy, by hashes.
async fn report(State(app): Shared) -> Response {
    draw(app, |app| {
        let Some(text) = read(&app.ledger).view().map(crate::html::html) else {
            return not_found();
        };
        let kind = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
        ];
        (kind, text).into_response()
    })
    .await
}

/// A file that the final round's results name, and no other: the path is compared with their list,
/// and a link that leads out of the folder is refused.
async fn file(State(app): Shared, Path(path): Path<String>) -> Response {
    draw(app, move |app| {
        let ledger = read(&app.ledger);
        let finals = ledger.view().map_or(&[][..], |v| &v.finals);
        let listed = finals.iter().any(|f| f.files.contains(&path));
        drop(ledger);
        let folder = lock(&app.access).folder();
        let found = listed.then(|| inside(&folder, &path)).flatten();
        let Some(bytes) = found.and_then(|p| std::fs::read(p).ok()) else {
            return not_found();
        };
        let name = path.rsplit('/').next().unwrap_or("file");
        let plain = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
        let name: String = name.chars().filter(plain).collect();
        let kind = [
            (header::CONTENT_TYPE, "application/octet-stream".to_string()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{name}\""),
            ),
        ];
        (kind, bytes).into_response()
    })
    .await
}

fn inside(folder: &FilePath, path: &str) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let file = folder.join(path).canonicalize().ok()?;
    (file.starts_with(&folder) && file.is_file()).then_some(file)
}

/// News as server-sent events: the state that a page compares with its own.
async fn live(State(app): Shared) -> Response {
    let states = WatchStream::new(app.news.subscribe());
    let events = states.map(|state| Ok::<_, Infallible>(Event::default().data(state)));
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events).keep_alive(alive).into_response()
}

async fn stop(State(app): Shared) -> Response {
    act(app, "/".into(), |access| access.ask_to_stop()).await
}

async fn promote(State(app): Shared, Path(trial): Path<u64>) -> Response {
    let (trained, open) = {
        let ledger = read(&app.ledger);
        let known = ledger.study().and_then(|s| s.trial(trial));
        let trained = known.is_some_and(|t| t.duplicate_of.is_none() && t.metrics().is_some());
        (trained, ledger.takes_finalists())
    };
    if !trained {
        return plain(
            StatusCode::CONFLICT,
            format!("Trial {trial} isn't a network that the search trained.\n"),
        );
    }
    if !open {
        return plain(
            StatusCode::CONFLICT,
            "The final round has begun; mnas train trains a network in full by itself.\n",
        );
    }
    act(app, format!("/trial/{trial}"), move |access| {
        access.promote(trial)
    })
    .await
}

/// Does what was asked and leads back to the page it was asked on. The guard saw to the token.
async fn act(
    app: Arc<App>,
    back: String,
    action: impl FnOnce(&mut dyn StudyAccess) -> Result<(), String> + Send + 'static,
) -> Response {
    draw(app, move |app| match action(&mut **lock(&app.access)) {
        Ok(()) => Redirect::to(&back).into_response(),
        Err(trouble) => plain(StatusCode::CONFLICT, format!("{trouble}\n")),
    })
    .await
}

async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, pages::style()).into_response()
}

async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], pages::ICON).into_response()
}

async fn script() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, pages::script()).into_response()
}
