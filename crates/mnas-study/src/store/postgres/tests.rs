//! The suite on a real server, and what befalls its clients.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use mnas_testkit::postgres::{End, PASSWORD, Server};

use super::{Address, Postgres};
use crate::store::conformance::{self, finished, observed, proposed, stopped};
use crate::store::{Store, StoreError};

/// A server, or a word about its absence.
fn server(test: &str) -> Option<Server> {
    let server = Server::start();
    if server.is_none() {
        println!("skipped: {test} (no PostgreSQL server: apt-get install postgresql)");
    }
    server
}

fn address(server: &Server, study: &str) -> Address {
    let url = format!("{}?study={study}&lease_seconds=2", server.url());
    Address::parse(&url).unwrap()
}

fn lead(address: &Address) -> Postgres {
    let never = &mut |leader: &str| panic!("{leader} leads");
    Postgres::lead(address, never).unwrap().unwrap()
}

/// A study of three events, and who leads it.
fn fixture(server: &Server, study: &str) -> (Address, Postgres) {
    let address = address(server, study);
    let events = [proposed(0), finished(0, 1), observed(0)];
    Postgres::create(&address, 1, &events).unwrap();
    let store = lead(&address);
    (address, store)
}

#[test]
fn postgres_conforms() {
    let Some(server) = server("postgres_conforms") else {
        return;
    };
    let mut n = 0;
    conformance::check(&mut || {
        n += 1;
        let address = address(&server, &format!("study-{n}"));
        Postgres::create(&address, 0, &[]).unwrap();
        Box::new(lead(&address))
    });
}

#[test]
fn readers_follow_and_cannot_write() {
    let Some(server) = server("readers_follow_and_cannot_write") else {
        return;
    };
    let (address, mut writer) = fixture(&server, "a");
    let mut readers = [(); 5].map(|()| Postgres::open_read_only(&address).unwrap());
    writer.append(2, &[stopped("x")]).unwrap();
    for reader in &mut readers {
        let events = reader.read_from(3).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].event, observed(0));
        let error = reader.append(3, &[stopped("y")]).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    }
}

#[test]
fn what_is_no_study_is_refused_in_one_clear_message() {
    let Some(server) = server("what_is_no_study_is_refused_in_one_clear_message") else {
        return;
    };
    let (address, store) = fixture(&server, "a");
    let exists = Postgres::create(&address, 1, &[]).unwrap_err();
    assert!(matches!(exists, StoreError::Exists { .. }), "{exists:?}");
    drop(store);
    server.sql("UPDATE a.mnas_store SET version = 99");
    server.sql("CREATE SCHEMA other");
    let parse = |url: String| Address::parse(&url).unwrap();
    for (address, words) in [
        (
            address,
            "has version 99 of the store; this mnas knows up to 1",
        ),
        (self::address(&server, "none"), "there is no study"),
        (self::address(&server, "other"), "there is no study"),
        (
            parse(server.url_as("mnas", "wrong")),
            "refuses: password authentication failed for user \"mnas\"; passwords are read from",
        ),
        (
            parse(format!("{}-not-there", server.url())),
            "refuses: database \"mnas-not-there\" does not exist",
        ),
        (
            parse("postgres://mnas@127.0.0.1:1/x".into()),
            "can't be reached: Connection refused",
        ),
    ] {
        let never = &mut |_: &str| panic!();
        for error in [
            Postgres::open_read_only(&address).err(),
            Postgres::lead(&address, never).err(),
        ] {
            let error = error.unwrap().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains(PASSWORD), "{error}");
        }
    }
}

#[test]
fn cuts_and_restarts_lose_and_double_nothing() {
    let Some(mut server) = server("cuts_and_restarts_lose_and_double_nothing") else {
        return;
    };
    let (address, mut store) = fixture(&server, "a");
    let mut reader = Postgres::open_read_only(&address).unwrap();
    // Little room, so that the writer isn't far ahead of what befalls it.
    let (sender, appended) = sync_channel(4);
    let writer = std::thread::spawn(move || {
        for n in 0..400u64 {
            let pair = [stopped(&format!("{n} a")), stopped(&format!("{n} b"))];
            sender.send(store.append(n, &pair).unwrap()).unwrap();
        }
        store
    });
    let mut cut = 0;
    for (after, end) in [
        (40, None),
        (80, None),
        (120, Some(End::Fast)),
        (160, None),
        (200, Some(End::Crash)),
        (240, None),
        (280, None),
    ] {
        // The positions come in order, so this waits for the writer to come so far.
        while appended.recv().unwrap() < after {}
        match end {
            None => cut += server.cut(),
            Some(end) => {
                server.end(end);
                server.restart();
            }
        }
    }
    // The rest comes undisturbed.
    assert_eq!(appended.iter().last(), Some(3 + 800));
    drop(writer.join().unwrap());
    assert!(cut >= 5, "{cut} connections were cut");
    let events = reader.read_from(1).unwrap();
    assert_eq!(events.len(), 3 + 800);
    for (i, stored) in events.iter().enumerate() {
        assert_eq!(stored.seq, i as u64 + 1);
        if let Some(i) = i.checked_sub(3) {
            let word = format!("{} {}", i / 2, ["a", "b"][i % 2]);
            assert_eq!(stored.event, stopped(&word));
        }
    }
}

/// A second controller stands by, takes over when the first says no more, and fences it.
#[test]
fn one_leads_and_the_next_takes_over() {
    let Some(server) = server("one_leads_and_the_next_takes_over") else {
        return;
    };
    let (address, mut first) = fixture(&server, "a");
    let me = format!("process {}", std::process::id());
    // It goes on leading for longer than a term.
    let begun = Instant::now();
    let mut looks = 0;
    let gave_up = Postgres::lead(&address, &mut |leader| {
        assert!(leader.starts_with(&me), "{leader}");
        looks += 1;
        begun.elapsed() < Duration::from_secs(5)
    });
    assert!(gave_up.unwrap().is_none() && looks > 5, "{looks} looks");
    first.held().unwrap();
    first.append(2, &[stopped("first")]).unwrap();

    // As a controller that froze: its lease has ended before it wakes.
    server.sql("UPDATE a.lease SET held_until = clock_timestamp()");
    let mut second = Postgres::lead(&address, &mut |_| true).unwrap().unwrap();
    second.append(3, &[stopped("second")]).unwrap();
    let error = first.append(3, &[stopped("zombie")]).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error:?}");
    assert!(
        error.to_string().contains("is led by another search now"),
        "{error}"
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while first.held().is_ok() {
        assert!(Instant::now() < deadline, "it never hears of it");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    // Its end takes nothing from the one that leads.
    drop(first);
    second.append(4, &[stopped("third")]).unwrap();
    drop(second);
    // One that ended in order is not waited for.
    let mut third = lead(&address);
    assert_eq!(third.append(5, &[stopped("fourth")]).unwrap(), 7);
}

/// Many want to lead at once: one does, and each gets its turn.
#[test]
fn a_crowd_leads_one_by_one() {
    let Some(server) = server("a_crowd_leads_one_by_one") else {
        return;
    };
    let (address, first) = fixture(&server, "a");
    drop(first);
    let one = |n: usize| {
        let address = address.clone();
        std::thread::spawn(move || {
            let mut store = Postgres::lead(&address, &mut |_| true).unwrap().unwrap();
            store
                .append(n as u64, &[stopped("in"), stopped("out")])
                .unwrap();
        })
    };
    let crowd: Vec<_> = (0..6).map(one).collect();
    crowd.into_iter().for_each(|t| t.join().unwrap());
    let mut reader = Postgres::open_read_only(&address).unwrap();
    assert_eq!(reader.read_from(1).unwrap().len(), 3 + 12);
    assert_eq!(server.sql("SELECT epoch FROM a.lease"), "7");
}
