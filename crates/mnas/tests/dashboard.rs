//! `mnas dashboard` as people use it: in a browser, on a study that grows.
//!
//! The tests need Chromium (`MNAS_CHROMIUM`, or `chromium` on the path) and say "skipped" without it.
//! `cargo xtask screenshots` runs this file to make the pictures in docs/.

#![cfg(feature = "dashboard")]

#[path = "dashboard/browser.rs"]
mod browser;
#[allow(dead_code, reason = "each test program uses its part")]
mod common;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "../../mnas-report/src/sample.rs"]
mod sample;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use browser::Browser;
use mnas_search::Event;
use mnas_study::{DirLock, Sqlite, Store, StudyDir};
use sample::Sample;
use serde_json::Value;

/// A made-up study on disk, and the dashboard that shows it.
struct Shown {
    folder: tempfile::TempDir,
    store: Sqlite,
    server: Child,
    url: String,
    origin: String,
}

impl Shown {
    fn new(events: &[Event]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("garments");
        std::fs::create_dir(&dir).unwrap();
        let mut store = Sqlite::create(&StudyDir::new(&dir).store()).unwrap();
        store.append(1_790_000_000_000, events).unwrap();
        let mut server = common::command(
            folder.path(),
            &["dashboard", "garments", "--port", "0", "--json"],
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(server.stdout.take().unwrap());
        while !said.ends_with("}\n") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        }
        let said: Value = serde_json::from_str(&said).unwrap();
        let url = said["url"].as_str().unwrap().to_string();
        let (origin, _) = url.split_once("/?token=").unwrap();
        Self {
            origin: origin.into(),
            url,
            folder,
            store,
            server,
        }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("garments")
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    fn append(&mut self, events: &[Event]) {
        self.store.append(1_790_000_600_000, events).unwrap();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
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

/// The first trial that was trained, not a duplicate, and the first that failed.
fn telling(events: &[Event]) -> (u64, u64) {
    use mnas_search::Outcome;
    let first = |keep: fn(&Outcome) -> bool| {
        events.iter().find_map(|e| match e {
            Event::Finished { trial, outcome, .. } if keep(outcome) => Some(*trial),
            _ => None,
        })
    };
    let done = first(|o| matches!(o, Outcome::Done(_)));
    let failed = first(|o| matches!(o, Outcome::Failed(_)));
    (done.unwrap(), failed.unwrap())
}

#[test]
fn a_live_study_grows_on_the_page_and_obeys_its_buttons() {
    let Some(mut browser) = Browser::start("a live study in the browser") else {
        return;
    };
    let events = sample(120, true);
    let searched = events
        .iter()
        .position(|e| matches!(e, Event::FinalStarted { .. }));
    let (begin, rest) = events[..searched.unwrap()].split_at(60);
    let mut shown = Shown::new(begin);
    let lock = DirLock::acquire(&shown.dir()).unwrap();

    browser.open(&shown.url);
    assert!(
        !browser.eval("location.href").to_string().contains("token"),
        "the token stays out of the address"
    );
    browser.until("document.querySelectorAll('#plane .scatter').length == 2");
    browser.until("document.querySelector('#said').textContent == 'live'");
    let dots = "document.querySelectorAll('#plane .wide circle').length";
    let before = browser.eval(dots).as_u64().unwrap();
    browser.eval("window.notReloaded = true; document.querySelector('#beliefs').open = true");
    shown.append(rest);
    browser.until("document.querySelector('#summary').innerText.includes('120 of 120 proposals')");
    let after = browser.eval(dots).as_u64().unwrap();
    assert!(after > before, "{after} dots after {before}");
    assert_eq!(browser.eval("window.notReloaded"), true);
    assert_eq!(
        browser.eval("document.querySelector('#beliefs').open"),
        true
    );

    // Promote a trial on its page, then stop the search.
    let (done, _) = telling(&events);
    browser.open(&shown.at(&format!("/trial/{done}")));
    browser.follow("document.querySelector('form[action^=\"/promote\"] button').click()");
    browser.until("document.body.innerText.includes('To be trained in full in the final round')");
    let dir = StudyDir::new(&shown.dir());
    assert_eq!(dir.promoted(), [done]);
    browser.open(&shown.at("/"));
    browser.follow("document.querySelector('form[action=\"/stop\"] button').click()");
    browser.until("document.body.innerText.includes('was asked to stop')");
    assert!(dir.stop_asked());
    drop(lock);
    browser.until("!document.body.innerText.includes('a search runs')");

    let complaints = browser.complaints(&shown.origin);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn every_page_is_drawn_and_works() {
    let Some(mut browser) = Browser::start("the dashboard's pages in the browser") else {
        return;
    };
    let events = sample(160, true);
    let (done, failed) = telling(&events);
    let shown = Shown::new(&events);
    browser.open(&shown.url);
    browser.until("document.querySelector('.scatter')");
    browser.eval("document.querySelectorAll('details').forEach((d) => d.open = true)");
    let names = charts(&mut browser, "the overview");
    for name in [
        "scatter",
        "reward",
        "latency",
        "entropy",
        "importance",
        "belief",
        "strip",
        "curve",
        "blocks",
    ] {
        assert!(
            names.iter().any(|n| n.contains(name)),
            "no {name} in {names:?}"
        );
    }

    // A dot leads to its trial.
    browser.follow(
        "{ const dot = document.querySelector('#plane .wide svg > circle.front').getBoundingClientRect(); \
         document.querySelector('#plane .wide svg').dispatchEvent(new MouseEvent('click', \
         { clientX: dot.x + 4, clientY: dot.y + 4, bubbles: true })); }",
    );
    assert!(browser.text("h1").starts_with("Trial "));

    browser.open(&shown.at(&format!("/trial/{done}")));
    let names = charts(&mut browser, "a trial");
    for name in ["curve", "strip", "blocks"] {
        assert!(
            names.iter().any(|n| n.contains(name)),
            "no {name} in {names:?}"
        );
    }
    browser.eval("document.querySelector('#layers').open = true");
    assert!(browser.text("#layers").contains("classifier"));
    browser.open(&shown.at(&format!("/trial/{failed}")));
    assert!(!browser.text(".trouble").is_empty());

    // Filter while typing, sort, turn the page, compare what is ticked.
    browser.open(&shown.at("/trials"));
    let rows = "document.querySelectorAll('#rows tbody tr').length";
    assert_eq!(browser.eval(rows), 50);
    browser.eval(
        "{ const box = document.querySelector('#filter-words'); box.focus(); box.value = 'front'; \
         box.dispatchEvent(new InputEvent('input', { bubbles: true })); }",
    );
    browser.until(&format!("{rows} < 50"));
    assert!(browser.text("#rows tbody").lines().count() > 1);
    let states = "[...document.querySelectorAll('#rows tbody tr')].every((r) => r.innerText.includes('front'))";
    assert_eq!(browser.eval(states), true);
    browser.follow("[...document.querySelectorAll('thead a')].find((a) => a.innerText.startsWith('Latency')).click()");
    let sorted = "{ const v = [...document.querySelectorAll('#rows tbody tr')].map((r) => parseFloat(r.cells[4].innerText)); \
                  v.length > 1 && v.every((x, i) => !i || v[i - 1] <= x) }";
    assert_eq!(browser.eval(sorted), true);
    assert_eq!(
        browser.eval("document.querySelector('th[aria-sort]').ariaSort"),
        "ascending"
    );
    browser.eval(
        "[...document.querySelectorAll('#rows input')].slice(0, 3).forEach((i) => i.click())",
    );
    browser.follow("document.querySelector('form[action=\"/compare\"] button').click()");
    assert_eq!(
        browser.eval("document.querySelectorAll('.compare thead th').length"),
        4
    );
    assert!(
        browser
            .eval("document.querySelectorAll('.differs').length")
            .as_u64()
            > Some(2)
    );
    charts(&mut browser, "a comparison");

    // Dark by choice, kept on the next page; then by the system.
    let paper = browser.picture().at(2, 300);
    browser.eval("document.querySelector('#theme').click()");
    let dark = browser.picture().at(2, 300);
    let light = |c: [u8; 3]| c.iter().map(|v| u32::from(*v)).sum::<u32>() > 3 * 128;
    assert!(light(paper) && !light(dark), "{paper:?} {dark:?}");
    browser.open(&shown.at("/trials"));
    assert!(!light(browser.picture().at(2, 300)));

    let complaints = browser.complaints(&shown.origin);
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(browser.requests() > 15, "requests are seen");
}

/// Names of the charts that are shown, each with more than its ground in its pixels.
fn charts(browser: &mut Browser, page: &str) -> Vec<String> {
    let found = browser.eval(
        "[...document.querySelectorAll('svg.chart')].filter((s) => s.getClientRects().length).map((s) => { \
         const r = s.getBoundingClientRect(); \
         return [s.getAttribute('class'), r.x + scrollX, r.y + scrollY, r.width, r.height]; })",
    );
    let picture = browser.picture();
    let mut names = vec![];
    for chart in found.as_array().unwrap() {
        let name = chart[0].as_str().unwrap();
        let rect = [1, 2, 3, 4].map(|i| chart[i].as_f64().unwrap());
        let (share, colours) = picture.drawn(rect);
        assert!(
            share > 0.01 && colours > 4,
            "{name} on {page}: {share} drawn in {colours} colours"
        );
        names.push(name.to_string());
    }
    names
}

#[test]
fn no_page_has_a_serious_fault_of_accessibility() {
    let Ok(axe) = std::env::var("MNAS_AXE") else {
        eprintln!("skipped: accessibility of the dashboard (no MNAS_AXE, the path of axe.min.js)");
        return;
    };
    let Some(mut browser) = Browser::start("accessibility of the dashboard") else {
        return;
    };
    let axe = std::fs::read_to_string(axe).unwrap();
    let events = sample(160, true);
    let (done, failed) = telling(&events);
    let shown = Shown::new(&events);
    let _lock = DirLock::acquire(&shown.dir()).unwrap();
    browser.open(&shown.url);
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light")] {
        browser.window(width, 800, scheme);
        for path in pages(done, failed) {
            browser.open(&shown.at(&path));
            browser.until("document.querySelector('h1')");
            browser.eval("document.querySelectorAll('details').forEach((d) => d.open = true)");
            browser.eval(&format!("{axe}; true"));
            let found = browser.eval(
                "axe.run().then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)) \
                 .map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')))",
            );
            assert_eq!(found, serde_json::json!([]), "{path} at {width}, {scheme}");
            let wide = browser.eval("document.documentElement.scrollWidth");
            assert!(
                wide.as_u64() <= Some(width.into()),
                "{path} is {wide} wide at {width}"
            );
        }
    }
}

/// A page of each kind.
fn pages(done: u64, failed: u64) -> Vec<String> {
    vec![
        "/".into(),
        "/trials".into(),
        format!("/trial/{done}"),
        format!("/trial/{failed}"),
        "/compare".into(),
        format!("/compare?t={done}&t=9&t=20"),
    ]
}

/// Not a test of its own: `cargo xtask screenshots` names the folder.
#[test]
fn pictures_for_the_documentation() {
    let Ok(folder) = std::env::var("MNAS_SCREENSHOTS") else {
        eprintln!("skipped: pictures for docs/ (no MNAS_SCREENSHOTS, a folder)");
        return;
    };
    let Some(mut browser) = Browser::start("pictures for docs/") else {
        return;
    };
    let events = sample(240, true);
    let (done, _) = telling(&events);
    let shown = Shown::new(&events);
    browser.open(&shown.url);
    let pages = [
        ("overview", "/".to_string()),
        (
            "trials",
            "/trials?q=front&sort=accuracy&order=down".to_string(),
        ),
        ("trial", format!("/trial/{done}")),
        ("compare", format!("/compare?t={done}&t=9&t=20")),
    ];
    for (width, scheme) in [(1280, "light"), (390, "light"), (1280, "dark")] {
        browser.window(width, 900, scheme);
        for (name, path) in &pages {
            if scheme == "dark" && !["overview", "trial"].contains(name) {
                continue;
            }
            browser.open(&shown.at(path));
            browser.until("document.querySelector('h1') && document.querySelector('#said').textContent == 'live'");
            let suffix = if scheme == "dark" { "-dark" } else { "" };
            let file = Path::new(&folder).join(format!("{name}-{width}{suffix}.png"));
            std::fs::write(file, browser.picture().top(2400)).unwrap();
        }
    }
}

/// Not a test of its own but a measurement, as in
/// `MNAS_DASHBOARD_TRIALS=100000 cargo test --release -p mnas --test dashboard figures -- --nocapture`.
#[test]
fn figures_of_a_large_study() {
    let trials = std::env::var("MNAS_DASHBOARD_TRIALS").map(|n| n.parse().unwrap());
    let Ok(trials) = trials else {
        eprintln!("skipped: figures of a large study (no MNAS_DASHBOARD_TRIALS, a number)");
        return;
    };
    let Some(mut browser) = Browser::start("figures of a large study") else {
        return;
    };
    // The last batches come in while the page is looked at.
    let events = sample(trials, false);
    let starts: Vec<usize> = (0..events.len())
        .filter(|i| matches!(events[*i], Event::Proposed { .. }))
        .collect();
    let first_late = starts[starts.len() - 6];
    let started = Instant::now();
    let mut shown = Shown::new(&events[..first_late]);
    let written = started.elapsed();
    let drawn = "document.querySelector('#plane .scatter') && document.querySelector('#said').textContent == 'live'";
    let asked = Instant::now();
    browser.open(&shown.url);
    browser.until(drawn);
    println!(
        "{} events written and the server started in {:.2} s",
        first_late,
        written.as_secs_f64()
    );
    println!(
        "first view of a server just started: {} ms",
        asked.elapsed().as_millis()
    );
    let asked = Instant::now();
    browser.open(&shown.at("/"));
    browser.until(drawn);
    println!("the same view again: {} ms", asked.elapsed().as_millis());
    for batch in starts[starts.len() - 6..].windows(2) {
        let proposed = events[batch[0]..batch[1]].to_vec();
        let Event::Proposed { batch: number, .. } = &proposed[0] else {
            unreachable!("batches begin with their proposals");
        };
        let news = format!(
            "document.querySelector('#happened').innerText.includes('Batch {number}: learnt from')"
        );
        let asked = Instant::now();
        shown.append(&proposed);
        browser.until(&news);
        println!(
            "a batch of {} events shown in {} ms",
            proposed.len(),
            asked.elapsed().as_millis()
        );
    }
    for path in [
        "/trials",
        "/trials?q=front&sort=reward&order=down",
        "/trials?q=k5+se0.25&sort=latency&page=40",
        "/trial/5",
    ] {
        let asked = Instant::now();
        browser.open(&shown.at(path));
        browser.until("document.querySelector('h1')");
        println!("{path}: {} ms", asked.elapsed().as_millis());
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", shown.server.id())).unwrap();
    for line in status
        .lines()
        .filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS"))
    {
        println!("server {line}");
    }
}
