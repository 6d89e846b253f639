//! Who may ask what: addresses that browsers call, requests from other sites, the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::routes::App;

/// Nothing from elsewhere, no inline script or style, no framing.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of every answer. The referrer isn't `no-referrer`: with that, browsers send no origin
/// with forms, and the check of origins needs it.
const SEALS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Who is on the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Whether a request may also act on the study.
#[derive(Debug, Clone, Copy)]
pub(super) struct MayAct(pub(super) bool);

/// Rules of one server.
#[derive(Debug)]
pub(super) struct Guard {
    /// Whether only this machine can connect.
    pub(super) loopback: bool,
    /// Port, which is part of the cookie's name: cookies don't keep ports apart.
    pub(super) port: u16,
    /// The token.
    pub(super) token: String,
}

impl Guard {
    /// Whether a browser may call this server so: by an address, or as `localhost`. A name that
    /// someone else's DNS points here is neither, which is what DNS rebinding needs.
    fn host_allowed(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port),
            _ => (host, "80"),
        };
        let bare = match name.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').unwrap_or(""),
            None => name,
        };
        let known = match bare.parse::<IpAddr>() {
            Ok(ip) => !self.loopback || ip.is_loopback(),
            Err(_) => bare.eq_ignore_ascii_case("localhost"),
        };
        known && port.parse() == Ok(self.port)
    }

    fn cookie(&self) -> String {
        format!("mnas-token-{}", self.port)
    }

    /// Whether the request carries the token.
    fn knows_token(&self, headers: &HeaderMap) -> bool {
        cookies(headers).any(|(name, value)| name == self.cookie() && self.is_token(value))
    }

    /// Compares in a time that doesn't tell how much of a guess was right.
    fn is_token(&self, guess: &str) -> bool {
        let (a, b) = (self.token.as_bytes(), guess.as_bytes());
        let differs = a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y));
        a.len() == b.len() && std::hint::black_box(differs) == 0
    }
}

/// Names and values of the request's cookies.
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines
        .filter_map(|c| c.to_str().ok())
        .flat_map(|c| c.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, why).into_response()
}

/// Checks a request, passes it on, and seals the answer.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match judge(&app.guard, &request) {
        Ok(may_act) => {
            request.extensions_mut().insert(may_act);
            next.run(request).await
        }
        Err(response) => response,
    };
    for (name, value) in SEALS {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

fn judge(guard: &Guard, request: &Request<Body>) -> Result<MayAct, Response> {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let host = text("host")
        .filter(|h| guard.host_allowed(h))
        .ok_or_else(|| {
            refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "This server isn't called so. Use the address that mnas dashboard printed.\n",
            )
        })?;
    let foreign = || {
        refuse(
            StatusCode::FORBIDDEN,
            "Requests from other sites are refused.\n",
        )
    };
    let method = request.method();
    let cross = text("sec-fetch-site").is_some_and(|s| s == "cross-site" || s == "same-site");
    let navigates = text("sec-fetch-mode") == Some("navigate");
    if cross && !(navigates && method == Method::GET) {
        return Err(foreign());
    }
    if let Some(token) = given_token(request) {
        return Err(match guard.is_token(token) && method == Method::GET {
            true => enter(guard, request),
            false => refuse(StatusCode::FORBIDDEN, "The token is wrong.\n"),
        });
    }
    let known = guard.knows_token(headers);
    if !guard.loopback && !known {
        return Err(refuse(
            StatusCode::UNAUTHORIZED,
            "Open the address with the token that mnas dashboard printed.\n",
        ));
    }
    let peer = request.extensions().get::<Peer>();
    let may_act = known && peer.is_some_and(|p| p.0.is_loopback());
    match *method {
        Method::GET | Method::HEAD => Ok(MayAct(may_act)),
        Method::POST if text("origin") != Some(format!("http://{host}").as_str()) => Err(foreign()),
        Method::POST if !may_act => Err(refuse(
            StatusCode::FORBIDDEN,
            "Actions need the token, and this machine: open the address with the token that mnas dashboard printed.\n",
        )),
        Method::POST => Ok(MayAct(true)),
        _ => Err(refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET and POST are known.\n",
        )),
    }
}

fn given_token(request: &Request<Body>) -> Option<&str> {
    let query = request.uri().query()?;
    query.split('&').find_map(|p| p.strip_prefix("token="))
}

/// Remembers the token in a cookie that no script reads, and takes it out of the address.
fn enter(guard: &Guard, request: &Request<Body>) -> Response {
    let cookie = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Strict",
        guard.cookie(),
        guard.token
    );
    // A path that begins with two slashes would lead to another host.
    let path = format!("/{}", request.uri().path().trim_start_matches('/'));
    let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, path)];
    (StatusCode::SEE_OTHER, headers).into_response()
}
