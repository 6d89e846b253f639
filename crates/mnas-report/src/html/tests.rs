use mnas_search::{Event, FinalKind, Study};

use super::check::well_formed;
use super::html;
use crate::sample::{Sample, plan};
use crate::view::View;

const SAMPLE: Sample = Sample {
    trials: 120,
    mishaps: true,
    finals: true,
    seed: 7,
};

fn page(study: &Study) -> String {
    let page = html(&View::of(study));
    well_formed(&page, false).unwrap_or_else(|e| panic!("{e}"));
    page
}

#[test]
fn the_page_has_every_part_that_was_asked_for() {
    let page = page(&SAMPLE.study());
    for part in [
        "id=\"accuracy\"",
        "class=\"frontier\"",
        "class=\"target\"",
        "class=\"winner\"",
        "class=\"reference\"",
        "class=\"chart latency\"",
        "class=\"chart reward\"",
        "class=\"average\"",
        "class=\"chart blocks\"",
        "class=\"chart layer\"",
        "class=\"chart importance\"",
        "class=\"chart belief\"",
        "class=\"chart strip\"",
        "class=\"chart curve\"",
        "id=\"devices\"",
        "id=\"finals\"",
        "mobilenet-v2-small",
        "id=\"failures\"",
        "training diverged",
        "id=\"trials\"",
        "Where each number came from",
        "measured on host (made-up processor) with rten 0.0.0",
        "prefers-color-scheme:dark",
        "@media print",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn the_page_loads_nothing_and_forbids_the_rest() {
    let page = page(&SAMPLE.study());
    // The SVG name space is a name, not an address that is loaded.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for outside in [
        "http:",
        "https:",
        "//cdn",
        "url(",
        "@import",
        "<link",
        "<img",
        " src=",
        " style=\"",
        " onclick",
    ] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
    let style = &page[page.find("<style>").unwrap() + 7..page.find("</style>").unwrap()];
    let script = &page[page.find("<script>").unwrap() + 8..page.find("</script>").unwrap()];
    let policy = super::policy::policy(style, script);
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    assert!(
        page.contains(&format!("content=\"{policy}\"")),
        "hashes are of what is in the page"
    );
}

#[test]
fn ids_are_unique_and_links_lead_somewhere() {
    let page = page(&SAMPLE.study());
    let values = |key: &str| -> Vec<String> {
        let parts = page.split(key).skip(1);
        parts
            .map(|p| p.split('"').next().unwrap().to_string())
            .collect()
    };
    let ids = values(" id=\"");
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len());
    let links = values(" href=\"#");
    assert!(links.len() >= 6);
    for link in links {
        assert!(ids.contains(&link), "#{link} leads nowhere");
    }
}

/// Every text of the study that a user's file may hold.
#[test]
fn names_and_messages_cannot_become_markup() {
    const EVIL: &str = "\"'><script>alert(1)</script><b onclick=x>&amp; </style>";
    let mut events = SAMPLE.events();
    for event in &mut events {
        match event {
            Event::Started { plan, space, .. } => {
                for key in [
                    "/data/source",
                    "/device/name",
                    "/device/engine",
                    "/space/name",
                    "/controller/algorithm",
                ] {
                    *plan.pointer_mut(key).unwrap() = EVIL.into();
                }
                *space = EVIL.into();
            }
            Event::Target { reference, .. } => *reference = Some(EVIL.into()),
            Event::Proposed { proposals, .. } => {
                for p in proposals {
                    p.spec = format!("{EVIL}{}", p.spec);
                    p.hash = format!("{EVIL}{}", p.hash);
                }
            }
            Event::Finished { outcome, .. } => match outcome {
                mnas_search::Outcome::Failed(failure) => failure.message = EVIL.into(),
                mnas_search::Outcome::Lost { message, .. } => *message = EVIL.into(),
                mnas_search::Outcome::Done(m) => {
                    m.latency.source = mnas_search::LatencySource::Predicted { table: EVIL.into() };
                }
                _ => {}
            },
            Event::FinalStarted { finalists } => finalists.iter_mut().for_each(rename),
            Event::FinalDone { result } => {
                rename(&mut result.entry);
                match &mut result.outcome {
                    mnas_search::FinalOutcome::Done { files, .. } => *files = vec![EVIL.into()],
                    mnas_search::FinalOutcome::Failed(failure) => failure.message = EVIL.into(),
                }
            }
            _ => {}
        }
    }
    fn rename(entry: &mut mnas_search::FinalEntry) {
        entry.name = format!("{EVIL}{}", entry.name);
        entry.spec = EVIL.into();
        if entry.kind == FinalKind::Reference {
            entry.hash = EVIL.into();
        }
    }
    let study = Study::fold(&events).unwrap();
    let page = page(&study);
    assert!(page.contains("&lt;script&gt;alert(1)"), "the text is shown");
    assert_eq!(page.matches("<script").count(), 1, "and is no script");
    assert!(!page.contains("<b onclick") && page.matches("</style>").count() == 1);
    for (name, svg) in crate::figures(&View::of(&study)) {
        well_formed(&svg, true).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!svg.contains("<script"), "{name}");
    }
}

#[test]
fn the_page_stays_small() {
    let size = |trials: u64| {
        let study = Sample { trials, ..SAMPLE }.study();
        page(&study).len()
    };
    let small = size(200);
    assert!(small < 300_000, "{small} bytes for 200 trials");
    let large = size(10_000);
    assert!(large < 3_000_000, "{large} bytes for 10,000 trials");
}

#[test]
fn unfinished_studies_have_a_page() {
    let started = Event::Started {
        version: mnas_search::VERSION,
        plan: serde_json::Value::Null,
        seed: 1,
        space: String::new(),
        time_ms: 0,
    };
    let bare = page(&Study::fold([&started]).unwrap());
    assert!(
        bare.contains("No network proposed yet") && !bare.contains("<table id=\"trials-table\"")
    );

    let events = SAMPLE.events();
    let proposed = page(&Study::fold(&events[..3]).unwrap());
    assert!(
        proposed.contains("No network trained yet"),
        "8 proposals, none with a result"
    );
    assert!(proposed.contains("8 without a result yet"));

    let searched = Sample {
        finals: false,
        ..SAMPLE
    };
    let searched = page(&searched.study());
    assert!(searched.contains("Best so far") && !searched.contains("id=\"finals\""));
}

#[test]
fn one_trial_of_each_fate_alone_has_a_page() {
    let events = Sample {
        trials: 400,
        finals: false,
        ..SAMPLE
    }
    .events();
    let started = &events[..2];
    let mut fates = std::collections::BTreeSet::new();
    for event in &events {
        let Event::Finished { trial, outcome, .. } = event else {
            continue;
        };
        let proposal = events.iter().find_map(|e| match e {
            Event::Proposed { proposals, .. } => proposals.iter().find(|p| p.trial == *trial),
            _ => None,
        });
        let mut proposal = proposal.unwrap().clone();
        proposal.trial = 0;
        let mut alone = started.to_vec();
        alone.push(Event::Proposed {
            batch: 0,
            proposals: vec![proposal],
        });
        alone.push(Event::Finished {
            trial: 0,
            attempt: 1,
            outcome: outcome.clone(),
        });
        let study = Study::fold(&alone).unwrap();
        let view = View::of(&study);
        if fates.insert(view.trials[0].state) {
            page(&study);
            assert!(!crate::text(&view).is_empty());
        }
    }
    assert_eq!(fates.len(), 5, "{fates:?}");
    assert!(plan(1).is_object());
}
