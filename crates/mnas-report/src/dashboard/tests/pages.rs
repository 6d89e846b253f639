//! What pages say.

use axum::http::HeaderMap;

use super::*;
use crate::dashboard::guard::{Guard, MayAct};
use crate::dashboard::pages::Frame;
use crate::dashboard::routes::App;
use crate::dashboard::server::write;

/// The page's markup, checked to be well formed.
fn body(server: &Server, path: &str) -> String {
    let (status, answer) = server.get(path);
    assert_eq!(status, 200, "{path}: {answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    well_formed(body, false).unwrap_or_else(|e| panic!("{path}: {e}"));
    for bad in ["style=", "onclick", "<script>", "<style"] {
        assert!(
            !body.contains(bad),
            "{path} has {bad}, which the policy forbids"
        );
    }
    body.into()
}

#[test]
fn pages_show_the_study() {
    let server = Server::on(sample(120, true));
    for (path, wanted) in [
        (
            "/",
            vec![
                "class=\"chart scatter\"",
                "chart reward",
                "chart belief",
                "What happened last",
                "120 of 120 proposals",
            ],
        ),
        (
            "/trials",
            vec!["120 of 120, page 1 of 3", "href=\"/trial/0\""],
        ),
        (
            "/trials?q=front&sort=latency",
            vec!["aria-sort=\"ascending\"", "front"],
        ),
        ("/trials?q=nothing-like-it", vec!["0 of 120"]),
        (
            "/trials?page=99999999999999999999&sort=x&order=y",
            vec!["120 of 120"],
        ),
        ("/trials?page=77", vec!["page 3 of 3"]),
        (
            "/trial/3",
            vec![
                "<h1>Trial 3</h1>",
                "Inside a layer",
                "chart blocks",
                "Proposed in batch 0",
            ],
        ),
        ("/compare", vec!["Name two to four trials"]),
        (
            "/compare?t=3&t=4",
            vec!["Trial 3", "Trial 4", "class=\"differs\""],
        ),
        ("/compare?t=3%2C4,5+6,7", vec!["Trial 3", "Trial 6"]),
    ] {
        let page = body(&server, path);
        for text in wanted {
            assert!(page.contains(text), "{path} lacks {text}");
        }
        assert!(
            page.contains("&lt;garments&gt; &amp; "),
            "{path}: the name is escaped"
        );
    }
    assert!(!body(&server, "/compare?t=3,4,5,6,7").contains("Trial 7"));
    for missing in ["/trial/120", "/trial/x", "/trial/-1", "/nothing"] {
        let status = server.get(missing).0;
        assert!([400, 404].contains(&status), "{missing}: {status}");
    }
    assert_eq!(server.get("/report").0, 200);
}

#[test]
fn a_page_hears_of_news() {
    let mut events = sample(40, false);
    let rest = events.split_off(20);
    let server = Server::on(events);
    let mut live = server.stream("/live", &[&server.cookie()]);
    let mut said = String::new();
    let mut read = |until: &str| {
        let mut byte = [0];
        while !said.contains(until) {
            live.read_exact(&mut byte).unwrap();
            said.push(char::from(byte[0]));
        }
    };
    read("data: 20.");
    let last = 20 + rest.len();
    server.new.send(rest).unwrap();
    read(&format!("data: {last}."));
    assert!(body(&server, "/").contains("40 of 40 proposals"));
}

#[test]
fn only_the_owner_acts() {
    let events = sample(24, false);
    let done = events.iter().find_map(|e| match e {
        Event::Finished {
            trial,
            outcome: mnas_search::Outcome::Done(_),
            ..
        } => Some(*trial),
        _ => None,
    });
    let done = done.unwrap();
    let server = Server::on(events);
    let origin = format!("Origin: http://{}", server.address);
    let cookie = server.cookie();
    let promote = format!("/promote/{done}");
    let with_button = |headers: &[&str]| {
        server
            .ask("GET", "/", headers)
            .1
            .contains("action=\"/stop\"")
    };
    assert!(with_button(&[&cookie]) && !with_button(&[]));
    for (path, headers, expected) in [
        ("/stop", vec![], 403),
        ("/stop", vec![&*cookie], 403),
        ("/stop", vec![&*origin], 403),
        ("/stop", vec![&*cookie, "Origin: null"], 403),
        ("/stop", vec![&*cookie, "Origin: http://evil.example"], 403),
        (
            "/stop",
            vec![&*cookie, &*origin, "Sec-Fetch-Site: cross-site"],
            403,
        ),
        ("/promote/99", vec![&*cookie, &*origin], 409),
        ("/promote/x", vec![&*cookie, &*origin], 400),
    ] {
        let (status, answer) = server.ask("POST", path, &headers);
        assert_eq!(status, expected, "{path} {headers:?}: {answer}");
    }
    assert!(server.asked.try_recv().is_err(), "nothing was asked for");
    for path in ["/stop", &promote] {
        let (status, answer) = server.ask("POST", path, &[&cookie, &origin]);
        assert_eq!(status, 303, "{path}: {answer}");
    }
    assert_eq!(server.asked.recv().unwrap(), Asked::Stop);
    assert_eq!(server.asked.recv().unwrap(), Asked::Promote(done));
}

#[test]
fn any_other_address_needs_the_token() {
    let server = Server::at("0.0.0.0:0", sample(24, true));
    for path in [
        "/",
        "/trials",
        "/trial/1",
        "/report",
        "/live",
        "/assets/page.css",
    ] {
        assert_eq!(server.ask("GET", path, &[]).0, 401, "{path}");
    }
    assert_eq!(server.get("/").0, 200);
    let (status, answer) = server.ask("GET", &format!("//evil.example/?token={TOKEN}"), &[]);
    assert_eq!(status, 303);
    assert!(answer.contains("location: /evil.example/\r\n"), "{answer}");
    assert!(answer.contains("HttpOnly; SameSite=Strict"), "{answer}");
    // By an address it may be called, by a name it may not.
    let host = format!("Host: 192.0.2.7:{}", server.address.port());
    assert_eq!(server.ask("GET", "/", &[&host, &server.cookie()]).0, 200);
    let host = format!("Host: rebound.example:{}", server.address.port());
    assert_eq!(server.ask("GET", "/", &[&host, &server.cookie()]).0, 421);
}

#[test]
fn files_of_the_final_round_and_no_others() {
    let events = sample(40, true);
    let named = events.iter().find_map(|e| match e {
        Event::FinalDone { result } => match &result.outcome {
            mnas_search::FinalOutcome::Done { files, .. } => Some(files.clone()),
            mnas_search::FinalOutcome::Failed(_) => None,
        },
        _ => None,
    });
    let named = named.unwrap();
    let server = Server::on(events);
    let study = server.folder.path().join("study");
    std::fs::create_dir_all(study.join("finals")).unwrap();
    std::fs::write(study.join(&named[0]), "weights").unwrap();
    std::fs::write(study.join("study.db"), "database").unwrap();
    std::fs::write(server.folder.path().join("secret"), "outside").unwrap();
    // A file that results name, but that leads out of the folder.
    #[cfg(unix)]
    std::os::unix::fs::symlink("../../secret", study.join(&named[1])).unwrap();
    let (status, answer) = server.get(&format!("/file/{}", named[0]));
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer.ends_with("weights") && answer.contains("attachment"),
        "{answer}"
    );
    for path in [
        &*named[1],
        &*named[2],
        "study.db",
        "../secret",
        "%2e%2e/secret",
        "..%2fsecret",
    ] {
        assert_eq!(server.get(&format!("/file/{path}")).0, 404, "{path}");
    }
}

#[test]
fn pages_and_news_of_one_moment_do_not_wait_for_each_other() {
    let guard = Guard {
        loopback: true,
        port: 0,
        token: TOKEN.into(),
    };
    let (told, ..) = Told::of(PathBuf::new());
    let app = Arc::new(App::new(guard, Box::new(told)));
    let drawn = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let (app, drawn) = (app.clone(), drawn.clone());
        move || {
            while !drawn.load(Ordering::SeqCst) {
                write(&app.notes).version += 1;
            }
        }
    });
    let (done, all) = channel();
    std::thread::spawn(move || {
        (0..1_000_000).for_each(|_| drop(Frame::of(&app, MayAct(false), &HeaderMap::new())));
        drawn.store(true, Ordering::SeqCst);
        done.send(())
    });
    all.recv_timeout(Duration::from_secs(60))
        .expect("no page waits for ever");
}
