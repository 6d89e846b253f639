//! A study in a PostgreSQL database that restarts, cuts its clients and outlives its controllers.
#![cfg(feature = "postgres")]

#[allow(dead_code, reason = "each test program uses a part")]
mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{command, json, mnas, study};
use mnas_testkit::postgres::{End, PASSWORD, Server};
use serde_json::Value;

/// Seconds that any wait here may take.
const PATIENCE: Duration = Duration::from_secs(240);

const SPACE: &str = "stem_k3_s2_c8\n\
    {ds,ir_e3}_r{1,2}_k{3,5}_s2_c{8,16,24}\n\
    {ds,ir_e3}_r{1,2}_k{3,5}_s2_c{8,16,24}\n\
    head_c{16,32}_drop0.1\n";

/// A server, or a word about its absence.
fn server(test: &str) -> Option<Server> {
    let server = Server::start();
    if server.is_none() {
        println!("skipped: {test} (no PostgreSQL server: apt-get install postgresql)");
    }
    server
}

/// A folder with `study.toml`, whose events are in a file, and `shared.toml`, whose events are in
/// the database.
fn studies(url: &str, trials: u32) -> (tempfile::TempDir, PathBuf) {
    let (kept, folder) = study();
    std::fs::write(folder.join("tiny.space"), SPACE).unwrap();
    let text = std::fs::read_to_string(folder.join("study.toml")).unwrap();
    let text = text
        .replace("trials = 6", &format!("trials = {trials}"))
        .replace("images = 128", "images = 512");
    std::fs::write(folder.join("study.toml"), &text).unwrap();
    let shared = format!("store = {url:?}\n{text}");
    std::fs::write(folder.join("shared.toml"), shared).unwrap();
    (kept, folder)
}

/// Number, network and accuracy of every trial.
fn course(view: &Value) -> Vec<(u64, String, String)> {
    let trials = view["trials"].as_array().unwrap();
    trials
        .iter()
        .map(|t| {
            let text = |key: &str| t[key].to_string();
            (t["trial"].as_u64().unwrap(), text("spec"), text("accuracy"))
        })
        .collect()
}

fn wait_for(what: &str, done: &mut dyn FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "no {what} in time");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A controller, and the file that it talks to.
struct Controller {
    process: Child,
    log: PathBuf,
}

impl Controller {
    fn start(folder: &Path, name: &str, args: &[&str]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let process = command(folder, args)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { process, log }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn await_word(&mut self, word: &str) {
        wait_for(word, &mut || {
            let said = self.said();
            let ended = self.process.try_wait().unwrap();
            let found = said.contains(word);
            assert!(
                found || ended.is_none(),
                "{ended:?} without {word:?}: {said}"
            );
            found
        });
    }

    fn interrupt(&self) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Its exit code, and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.process.wait().unwrap().code();
        (code, self.said())
    }
}

/// Every trial ended once, and three controllers led, one after the other.
fn check_events(server: &Server, view: &Value) {
    assert_eq!(view["totals"]["pending"], 0);
    assert_eq!(
        server.sql("SELECT COUNT(*) = MAX(seq) FROM pets.events"),
        "t"
    );
    let doubled = "SELECT COUNT(*) FROM (SELECT trial FROM pets.events WHERE kind = 'finished' \
         GROUP BY trial HAVING COUNT(*) > 1) AS doubled";
    assert_eq!(server.sql(doubled), "0");
    assert_eq!(server.sql("SELECT epoch FROM pets.lease"), "3");
}

#[test]
fn a_study_outlives_its_server_and_its_controllers() {
    let Some(mut server) = server("a_study_outlives_its_server_and_its_controllers") else {
        return;
    };
    let url = format!("{}?study=pets&lease_seconds=3", server.url());
    let (_kept, folder) = studies(&url, 48);
    let expected = course(&json(&folder, &["search", "study.toml", "--dir", "here"]));
    assert_eq!(expected.len(), 48);

    let finished = |server: &Server| -> u64 {
        let count = "SELECT COUNT(*) FROM pets.events WHERE kind = 'finished'";
        server.sql(count).parse().unwrap()
    };
    let await_more = |server: &Server, more: u64| {
        let before = finished(server);
        wait_for("further trials", &mut || finished(server) >= before + more);
    };
    let search = ["search", "shared.toml", "--dir", "s"];
    let mut first = Controller::start(&folder, "first", &search);
    wait_for("a study", &mut || {
        !server.sql("SELECT to_regclass('pets.events')").is_empty()
    });
    await_more(&server, 2);
    assert!(server.cut() > 0);
    await_more(&server, 2);
    server.end(End::Fast);
    server.restart();
    await_more(&server, 2);

    // A second one, by the command that started the first.
    let mut second = Controller::start(&folder, "second", &search);
    second.await_word("leads this study; standing by");
    await_more(&server, 2);
    first.process.kill().unwrap();
    let (code, said) = first.end();
    assert_eq!(code, None, "{said}");
    second.await_word("leads no more; this process goes on");
    await_more(&server, 2);

    // A third one takes over from one that is stopped, as by a machine that shuts down.
    let mut third = Controller::start(&folder, "third", &["resume", "s"]);
    third.await_word("standing by");
    server.end(End::Crash);
    server.restart();
    await_more(&server, 2);
    second.interrupt();
    let (code, said) = second.end();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = third.end();
    assert!(
        code == Some(0) && said.contains("goes on with the study"),
        "{said}"
    );

    let view = json(&folder, &["report", "s"]);
    assert_eq!(course(&view), expected);
    check_events(&server, &view);
    // Its networks are found by its folder, as those of any study.
    let tested = json(&folder, &["eval", "s:best", "--data", "fashion-mnist-10k"]);
    assert_eq!(tested["images"], 2000);
    for name in ["first.log", "second.log", "third.log", "s/plan.json"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(!text.contains(PASSWORD), "{name}: {text}");
    }
}

#[test]
fn who_stands_by_can_be_stopped() {
    let Some(server) = server("who_stands_by_can_be_stopped") else {
        return;
    };
    let (_kept, folder) = studies(&server.url(), 6);
    json(&folder, &["search", "shared.toml", "--dir", "s"]);
    // As one that leads and is alive.
    server.sql("UPDATE mnas.lease SET leader = 'Ann''s', held_until = 'infinity'");
    let mut second = Controller::start(&folder, "second", &["resume", "s", "--trials", "9"]);
    second.await_word("Ann's leads this study; standing by");
    second.interrupt();
    let (code, said) = second.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(server.sql("SELECT epoch FROM mnas.lease"), "1");
    // Readers wait for nobody.
    assert_eq!(json(&folder, &["report", "s"])["totals"]["proposals"], 6);
}

#[test]
fn a_store_that_is_of_no_use_is_named_with_code_5() {
    let Some(server) = server("a_store_that_is_of_no_use_is_named_with_code_5") else {
        return;
    };
    let good = server.url();
    let (_kept, folder) = studies(&good, 6);
    json(&folder, &["search", "shared.toml", "--dir", "s"]);
    let text = std::fs::read_to_string(folder.join("shared.toml")).unwrap();
    let url = |url: &str| text.replace(&good, url);
    for (file, code, words) in [
        (url("mysql://a:b@c/d"), 5, "none of PostgreSQL"),
        (url("postgres://a:b@c:d/e"), 5, "invalid port number"),
        (
            url("postgres://a:b@127.0.0.1:1/e"),
            5,
            "can't be reached: Connection refused",
        ),
        (
            url(&server.url_as("mnas", "wrong")),
            5,
            "password authentication failed",
        ),
        (
            url(&format!("{good}-lab")),
            5,
            "\"mnas-lab\" does not exist",
        ),
        // Another study is there already.
        (
            text.replace("trials = 6", "trials = 7"),
            5,
            "there is a study already",
        ),
        // What TOML can't read is quoted without the password.
        (text.replace('"', ""), 2, "://mnas:***@127.0.0.1"),
    ] {
        std::fs::write(folder.join("wrong.toml"), file).unwrap();
        let out = mnas(&folder, &["search", "wrong.toml", "--dir", "new"]);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words), "{words}: {stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
        assert!(!stderr.contains(PASSWORD), "{stderr}");
        assert!(
            !folder.join("new").exists(),
            "a refused search leaves nothing"
        );
    }
    // The folder that names a study which is gone.
    server.sql("DROP SCHEMA mnas CASCADE");
    for args in [&["report", "s"][..], &["resume", "s"]] {
        let out = mnas(&folder, args);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(5), "{args:?}: {stderr}");
        assert!(stderr.contains("there is no study"), "{args:?}: {stderr}");
    }
}
