//! Listens, limits what one client can take, and follows the study.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::guard::{Guard, Peer};
use super::routes::{App, router};
use super::{Options, StudyAccess};

/// Connections at a time; each live page holds one.
const CONNECTIONS_MAX: usize = 256;
/// Pages drawn at a time; others wait, so that many readers don't take many times the memory.
const PAGES_AT_A_TIME: usize = 4;
/// How long a client may take to send a request's head, or stay silent between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 10 });
/// Longest request head.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a connection is used; live pages connect again by themselves.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// How long an answer may take to be read once its connection is to end.
const LAST_ANSWER: Duration = Duration::from_secs(10);
/// How often the study is asked for news.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why the dashboard can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not this machine's.
    #[error("can't listen on {address}: {source}; another --port may be free")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// No randomness for a token.
    #[error("no random token can be drawn: {0}")]
    Token(getrandom::Error),
    /// The server's threads can't be started.
    #[error("the dashboard could not start: {0}")]
    Runtime(std::io::Error),
}

/// A dashboard that listens.
pub struct Dashboard {
    runtime: tokio::runtime::Runtime,
    listener: TcpListener,
    app: Arc<App>,
    address: SocketAddr,
    follower: Option<std::thread::JoinHandle<()>>,
}

impl Dashboard {
    /// Listens and begins to read the study.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn bind(options: Options, study: Box<dyn StudyAccess>) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(PAGES_AT_A_TIME)
            .enable_all()
            .build()
            .map_err(ServeError::Runtime)?;
        let listen = |source| ServeError::Listen {
            address: options.address,
            source,
        };
        let listener = runtime
            .block_on(TcpListener::bind(options.address))
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let guard = Guard {
            loopback: address.ip().is_loopback(),
            port: address.port(),
            token: options.token.map_or_else(token, Ok)?,
        };
        let app = Arc::new(App::new(guard, study));
        let follower = std::thread::Builder::new()
            .name("follow study".into())
            .spawn({
                let app = app.clone();
                move || follow(&app)
            })
            .map_err(ServeError::Runtime)?;
        Ok(Self {
            runtime,
            listener,
            app,
            address,
            follower: Some(follower),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address to open in a browser: it carries the token.
    pub fn url(&self) -> String {
        let mut shown = self.address;
        // "Every address" is none that a browser can open.
        if shown.ip().is_unspecified() {
            shown.set_ip(match shown.ip() {
                IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{shown}/?token={}", self.app.guard.token)
    }

    /// Serves until `stop` says so, which is looked at a few times a second.
    pub fn serve(mut self, stop: impl Fn() -> bool) {
        self.runtime
            .block_on(accept(&self.listener, &self.app, &stop));
        self.app.closing.store(true, Ordering::SeqCst);
        if let Some(follower) = self.follower.take() {
            follower.thread().unpark();
            // A follower that panicked has said so already.
            let _ = follower.join();
        }
        self.runtime.shutdown_background();
    }
}

async fn accept(listener: &TcpListener, app: &Arc<App>, stop: &impl Fn() -> bool) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let router = router(app.clone());
    loop {
        let next = tokio::time::timeout(LOOK_EVERY, listener.accept()).await;
        if stop() {
            return;
        }
        match next {
            Ok(Ok((stream, peer))) => {
                // Over the limit a connection is closed at once; those that are served stay served.
                let Ok(slot) = slots.clone().try_acquire_owned() else {
                    continue;
                };
                let router = router.clone().layer(axum::Extension(Peer(peer.ip())));
                tokio::spawn(async move {
                    converse(stream, router).await;
                    drop(slot);
                });
            }
            Ok(Err(e)) => {
                // Out of file descriptors, say: let some close.
                tracing::warn!("a connection can't be accepted: {e}");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(_) => {}
        }
    }
}

/// Serves one connection for so long. A client that reads slowly can't hold it for ever.
async fn converse(stream: TcpStream, router: axum::Router) {
    // Pages are written in one go; waiting for more would only delay news.
    let _ = stream.set_nodelay(true);
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let mut served = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    let end = match tokio::time::timeout(CONNECTION_LIFE, served.as_mut()).await {
        Ok(end) => end,
        Err(_) => {
            served.as_mut().graceful_shutdown();
            let last = tokio::time::timeout(LAST_ANSWER, served).await;
            last.unwrap_or(Ok(()))
        }
    };
    if let Err(e) = end {
        tracing::debug!("a connection ended: {e}");
    }
}

/// Reads news until the server closes.
fn follow(app: &App) {
    while !app.closing.load(Ordering::SeqCst) {
        if !app.look() {
            std::thread::park_timeout(LOOK_EVERY);
        }
    }
}

/// 128 random bits as hexadecimal digits.
fn token() -> Result<String, ServeError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(ServeError::Token)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

impl App {
    /// Takes in what is new, all of it before pages see any. Whether there was something.
    fn look(&self) -> bool {
        if read(&self.notes).broken {
            return false;
        }
        let mut any = false;
        let mut broken = false;
        let trouble = loop {
            let news = match lock(&self.access).read_new() {
                Ok(news) if news.is_empty() => break None,
                Ok(news) => news,
                Err(trouble) => break Some(trouble),
            };
            any = true;
            let mut ledger = write(&self.ledger);
            let refused = news.into_iter().find_map(|n| ledger.take(n).err());
            if let Some(e) = refused {
                broken = true;
                break Some(format!("an event of the study doesn't fit: {e}"));
            }
            if self.closing.load(Ordering::SeqCst) {
                break None;
            }
        };
        let standing = lock(&self.access).standing();
        let mut notes = write(&self.notes);
        let changed = notes.trouble != trouble || notes.standing != standing || !notes.read;
        if changed {
            (notes.trouble, notes.standing, notes.read) = (trouble, standing, true);
            notes.version += 1;
        }
        notes.broken = broken;
        drop(notes);
        if any {
            write(&self.ledger).settle();
        }
        if any || changed {
            self.tell();
        }
        any
    }
}

/// A lock whose holder panicked still holds a consistent value: every change is made in one step.
pub(super) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

pub(super) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|e| e.into_inner())
}

pub(super) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|e| e.into_inner())
}
