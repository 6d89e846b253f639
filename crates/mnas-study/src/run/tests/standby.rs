//! When a controller that stands by takes over, and when it doesn't.

use std::sync::mpsc::channel;

use mnas_search::Event;
use mnas_testkit::postgres::Server;

use crate::error::StudyError;
use crate::fakes::plan;
use crate::run::database::{create_in_database, stand_by};
use crate::stop::Stop;
use crate::store::{Address, Postgres, Store};
use crate::update::Update;

#[test]
fn what_stopped_the_leader_stops_who_stands_by() {
    let Some(server) = Server::start() else {
        println!("skipped: what_stopped_the_leader_stops_who_stands_by (no PostgreSQL server)");
        return;
    };
    for (n, reason, takes_over) in [
        (0, "stopped by request", true),
        (1, "10 of 10 trials failed", false),
        (2, "", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{}?study=s{n}&lease_seconds=2", server.url());
        create_in_database(folder.path(), &plan(), &url).unwrap();
        let address = Address::parse(&url).unwrap();
        let stopped = |reason: &str| Event::Stopped {
            reason: reason.into(),
        };
        let never = &mut |_: &str| panic!("another leads");
        let mut leader = Postgres::lead(&address, never).unwrap().unwrap();
        // What stopped it on another day is mended.
        leader.append(1, &[stopped("yesterday's trouble")]).unwrap();
        let (sender, told) = channel();
        let waiting = address.clone();
        let second = std::thread::spawn(move || {
            let mut tell = |update: &Update| sender.send(update.clone()).unwrap();
            stand_by(&waiting, &Stop::new(), &mut tell).map(|lead| lead.is_some())
        });
        assert!(matches!(told.recv().unwrap(), Update::StandingBy { .. }));
        if !reason.is_empty() {
            leader.append(2, &[stopped(reason)]).unwrap();
        }
        drop(leader);
        let ended = second.join().unwrap();
        if takes_over {
            assert!(ended.unwrap(), "{reason}");
            assert!(matches!(told.recv().unwrap(), Update::TookOver { .. }));
        } else {
            let error = ended.unwrap_err();
            assert!(
                matches!(error, StudyError::StoppedElsewhere { .. }),
                "{error}"
            );
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

#[test]
fn the_same_plan_joins_and_another_is_refused() {
    let Some(server) = Server::start() else {
        println!("skipped: the_same_plan_joins_and_another_is_refused (no PostgreSQL server)");
        return;
    };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = server.url();
    create_in_database(first.path(), &plan(), &url).unwrap();
    create_in_database(first.path(), &plan(), &url).unwrap();
    create_in_database(second.path(), &plan(), &url).unwrap();
    for dir in [&first, &second] {
        assert_eq!(crate::view::load(dir.path()).unwrap().trials().len(), 0);
    }
    let mut other = plan();
    other.seed += 1;
    let refused = |plan, url: &str| {
        let error = create_in_database(first.path(), plan, url).unwrap_err();
        assert!(
            error.to_string().contains("there is a study already"),
            "{error}"
        );
    };
    refused(&other, &url);
    refused(&plan(), &format!("{url}?study=other"));
    assert_eq!(server.sql("SELECT COUNT(*) FROM mnas.events"), "1");
    let here = crate::run::create(first.path(), &plan()).unwrap_err();
    assert!(here.to_string().contains("store.url exists"), "{here}");
}
