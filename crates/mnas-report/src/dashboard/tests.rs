//! Pages and guards, over a socket as clients see them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mnas_search::Event;

use super::{Dashboard, News, Options, Standing, StudyAccess};
use crate::html::check::well_formed;
use crate::sample::Sample;

mod hostile;
mod pages;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What the made-up study was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Promote(u64),
}

/// A study in memory.
struct Told {
    new: Receiver<Vec<Event>>,
    all: Vec<(u64, Event)>,
    folder: PathBuf,
    asked: Sender<Asked>,
    standing: Standing,
}

impl Told {
    /// A study that runs, where its events are put, and what it was asked for.
    fn of(folder: PathBuf) -> (Self, Sender<Vec<Event>>, Receiver<Asked>) {
        let (new, read) = channel();
        let (ask, asked) = channel();
        let told = Self {
            new: read,
            all: vec![],
            folder,
            asked: ask,
            standing: Standing {
                running: true,
                ..Standing::default()
            },
        };
        (told, new, asked)
    }
}

impl StudyAccess for Told {
    fn name(&self) -> String {
        "<garments> & \"co\"".into()
    }

    fn read_new(&mut self) -> Result<Vec<News>, String> {
        let events = self.new.try_recv().unwrap_or_default();
        self.all.extend(events.iter().map(|e| (0, e.clone())));
        let news = |event| News {
            time_ms: 0,
            event,
            samples: 60,
        };
        Ok(events.into_iter().map(news).collect())
    }

    fn read_trial(&mut self, trial: u64, batch: u32) -> Result<Vec<(u64, Event)>, String> {
        let about = |e: &Event| match e {
            Event::Finished { trial: t, .. } | Event::Retried { trial: t, .. } => *t == trial,
            Event::Proposed { batch: b, .. } | Event::Observed { batch: b, .. } => *b == batch,
            _ => false,
        };
        Ok(self.all.iter().filter(|e| about(&e.1)).cloned().collect())
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    fn standing(&self) -> Standing {
        self.standing.clone()
    }

    fn ask_to_stop(&mut self) -> Result<(), String> {
        self.standing.stopping = true;
        self.asked.send(Asked::Stop).map_err(|e| e.to_string())
    }

    fn promote(&mut self, trial: u64) -> Result<(), String> {
        self.standing.promoted.push(trial);
        self.asked
            .send(Asked::Promote(trial))
            .map_err(|e| e.to_string())
    }
}

/// A dashboard on a made-up study.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    new: Sender<Vec<Event>>,
    asked: Receiver<Asked>,
    folder: tempfile::TempDir,
}

impl Server {
    fn on(events: Vec<Event>) -> Self {
        Self::at("127.0.0.1:0", events)
    }

    fn at(address: &str, events: Vec<Event>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (told, new, asked) = Told::of(folder.path().join("study"));
        new.send(events).unwrap();
        let options = Options {
            address: address.parse().unwrap(),
            token: Some(TOKEN.into()),
        };
        let dashboard = Dashboard::bind(options, Box::new(told)).unwrap();
        let mut address = dashboard.address();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let asked_to_end = stop.clone();
        let serve = move || dashboard.serve(|| asked_to_end.load(Ordering::SeqCst));
        let server = Self {
            address,
            thread: Some(std::thread::spawn(serve)),
            stop,
            new,
            asked,
            folder,
        };
        server.until_read();
        server
    }

    /// Waits for the first state in which the study was read, told by the events' stream.
    fn until_read(&self) {
        let mut stream = self.stream("/live", &[&self.cookie()]);
        let mut said = String::new();
        let mut byte = [0];
        // `data: EVENTS.VERSION`, whose version is 0 until the study was read once.
        while !said
            .lines()
            .any(|l| l.starts_with("data: ") && !l.ends_with(".0") && l.contains('.'))
            || !said.ends_with('\n')
        {
            stream.read_exact(&mut byte).expect("news of the study");
            said.push(char::from(byte[0]));
        }
    }

    fn cookie(&self) -> String {
        format!("Cookie: mnas-token-{}={TOKEN}", self.address.port())
    }

    fn stream(&self, path: &str, headers: &[&str]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let lines: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n",
            self.address
        );
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// Sends bytes and reads to the end of the connection, or what came until it broke.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        // The server may close while a bad request is still being sent.
        let _ = stream.write_all(request);
        // A request that is whole asks to be hung up on after the answer; one that isn't ends here.
        if !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Status and whole answer of a request with these further header lines.
    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
        let lines: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
        let host = match headers.iter().any(|h| h.starts_with("Host:")) {
            true => String::new(),
            false => format!("Host: {}\r\n", self.address),
        };
        let text = format!("{method} {path} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n");
        let answer = self.raw(text.as_bytes());
        (status(&answer), answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, &[&self.cookie()])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The status of an answer, 0 where there is none.
fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|a| a.get(..3));
    code.and_then(|c| c.parse().ok()).unwrap_or(0)
}

fn sample(trials: u64, finals: bool) -> Vec<Event> {
    Sample {
        trials,
        mishaps: true,
        finals,
        seed: 7,
    }
    .events()
}
