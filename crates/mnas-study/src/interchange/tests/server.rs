//! A server of MLflow's REST interface, as far as an export uses it: it keeps runs, knows
//! experiments by name, and checks what it is sent as the real one does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[derive(Default, Clone)]
pub(super) struct Run {
    pub(super) status: String,
    pub(super) params: Vec<Value>,
    metrics: Vec<Value>,
    tags: Vec<Value>,
}

impl Run {
    pub(super) fn metric(&self, key: &str) -> Option<f64> {
        let found = self.metrics.iter().find(|m| m["key"] == key)?;
        found["value"].as_f64()
    }
}

#[derive(Default)]
struct State {
    experiments: Vec<String>,
    runs: Vec<Run>,
    refuses: bool,
    stopped: bool,
}

pub(super) struct Server {
    address: std::net::SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().unwrap().stopped {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn refuse(&self) {
        self.state.lock().unwrap().refuses = true;
    }

    pub(super) fn runs(&self) -> Vec<Run> {
        self.state.lock().unwrap().runs.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.lock().unwrap().stopped = true;
        // Wakes the listener, which then ends and closes its socket.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
    }
}

/// Answers requests of a connection until it is closed.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = vec![];
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_ascii_lowercase());
        }
        let length = head.iter().find_map(|l| l.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |l| l.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        // A request without a body has none to read.
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let method = head[0].split(' ').nth(1).unwrap().to_string();
        let method = method.strip_prefix("/api/2.0/mlflow/").unwrap();
        let (status, answer) = answer(&mut state.lock().unwrap(), method, &body);
        let text = answer.to_string();
        let reply = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(state: &mut State, method: &str, body: &Value) -> (u16, Value) {
    if state.refuses {
        return (
            403,
            json!({ "error_code": "PERMISSION_DENIED", "message": "not allowed" }),
        );
    }
    let at = body["run_id"]
        .as_str()
        .and_then(|id| id.parse::<usize>().ok());
    match method {
        "experiments/create" => {
            let name = body["name"].as_str().unwrap().to_string();
            if state.experiments.contains(&name) {
                return (
                    400,
                    json!({ "error_code": "RESOURCE_ALREADY_EXISTS", "message": "" }),
                );
            }
            state.experiments.push(name);
            (200, json!({ "experiment_id": "1" }))
        }
        "experiments/get-by-name?experiment_name=it%27s%20a%20study" => {
            (200, json!({ "experiment": { "experiment_id": "1" } }))
        }
        "runs/create" => {
            assert_eq!(body["experiment_id"], "1");
            state.runs.push(Run::default());
            let id = (state.runs.len() - 1).to_string();
            (200, json!({ "run": { "info": { "run_id": id } } }))
        }
        "runs/log-batch" => {
            let run = &mut state.runs[at.unwrap()];
            let list = |key: &str| body[key].as_array().cloned().unwrap_or_default();
            assert!(list("params").len() <= 100);
            run.params.extend(list("params"));
            run.metrics.extend(list("metrics"));
            run.tags.extend(list("tags"));
            (200, json!({}))
        }
        "runs/update" => {
            state.runs[at.unwrap()].status = body["status"].as_str().unwrap().into();
            (200, json!({}))
        }
        "runs/search" => {
            // Pages of 15, as a server may give fewer than asked for.
            assert_eq!(body["filter"], "tags.`mnas.study_started_ms` = '0'");
            let from = body["page_token"]
                .as_str()
                .map_or(0, |t| t.parse().unwrap());
            let to = (from + 15).min(state.runs.len());
            let runs = state.runs[from..to].iter();
            let runs: Vec<Value> = runs
                .map(|r| json!({ "data": { "tags": r.tags } }))
                .collect();
            let next = if to < state.runs.len() {
                to.to_string()
            } else {
                String::new()
            };
            (200, json!({ "runs": runs, "next_page_token": next }))
        }
        other => (404, json!({ "message": format!("no method {other}") })),
    }
}
