//! Studies whose events are in a PostgreSQL database: making one, and standing by for one.

use std::path::Path;

use super::lead::{BY_REQUEST, Lead, io, make_folder, started, write_plan};
use crate::clock::{Clock, SystemClock};
use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::evaluate::write_atomically;
use crate::plan::Plan;
use crate::stop::Stop;
use crate::store::{Address, Postgres, Store, StoreError};
use crate::update::Update;
use crate::view;

/// As [`super::create`], with the events in the PostgreSQL database at `url`, which the folder's file
/// `store.url` names from then on. A study of the very same plan that is there already is the one
/// meant, so that a second controller is started by the same command.
///
/// # Errors
/// As [`super::create`]; [`StoreError::Exists`] where the database or the folder holds another study.
pub fn create_in_database(dir: &Path, plan: &Plan, url: &str) -> Result<(), StudyError> {
    plan.check()?;
    let address = Address::parse(url)?;
    let dir = StudyDir::new(dir);
    let (pointer, file) = (dir.store_address(), dir.store());
    let other = std::fs::read_to_string(&pointer).is_ok_and(|there| there.trim() != url.trim());
    if other || file.exists() {
        let place = if other { pointer } else { file };
        let place = place.display().to_string();
        return Err(StoreError::Exists { place }.into());
    }
    let now_ms = SystemClock.now_ms();
    match Postgres::create(&address, now_ms, &[started(plan, now_ms)?]) {
        Err(StoreError::Exists { place }) => {
            let events = Postgres::open_read_only(&address)?.read_from(1)?;
            let planned = serde_json::to_value(plan).map_err(StudyError::PlanText)?;
            if *view::fold(&events)?.plan() != planned {
                return Err(StoreError::Exists { place }.into());
            }
        }
        made => made?,
    }
    make_folder(&dir)?;
    // Only its owner may read the file, since the address may hold a password.
    write_atomically(&pointer, format!("{}\n", url.trim()).as_bytes())
        .map_err(io(pointer, "write"))?;
    write_plan(&dir, plan)
}

/// Leads the study, at once or when the process that does has ended or died.
pub(super) fn stand_by(
    address: &Address,
    stop: &Stop,
    observer: &mut dyn FnMut(&Update),
) -> Result<Option<Lead>, StudyError> {
    let (mut leads, mut seen) = (None, 0);
    let store = Postgres::lead(address, &mut |leader| {
        if leads.is_none() {
            let events = Postgres::open_read_only(address).and_then(|mut s| s.read_from(1));
            seen = events.map_or(0, |e| e.len());
        }
        if leads.as_deref() != Some(leader) {
            leads = Some(leader.to_string());
            let leader = leader.to_string();
            observer(&Update::StandingBy { leader });
        }
        !stop.requested()
    })?;
    let Some(mut store) = store else {
        return Ok(None);
    };
    if let Some(by) = leads {
        let events = store.read_from(1)?;
        let study = view::fold(&events)?;
        let stopped = study.stopped().filter(|reason| {
            events.len() > seen && *reason != BY_REQUEST && study.ended_ms().is_none()
        });
        // What was wrong for the one that led is wrong for this one too.
        if let Some(reason) = stopped {
            let reason = reason.to_string();
            return Err(StudyError::StoppedElsewhere { by, reason });
        }
        observer(&Update::TookOver { from: by });
    }
    Ok(Some(Lead {
        store: Box::new(store),
        _lock: None,
    }))
}
