//! Making a study, and becoming the one process that leads it.

use std::path::{Path, PathBuf};

use mnas_search::{Event, VERSION};

use crate::clock::{Clock, SystemClock};
use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::evaluate::write_atomically;
use crate::lock::DirLock;
use crate::plan::Plan;
use crate::stop::Stop;
use crate::store::{Home, Sqlite, Store, StoreError};
use crate::update::Update;
use crate::view;

/// Makes a study: checks the plan and stores it as the first event.
///
/// # Errors
/// [`StudyError::Plan`]; [`StoreError::Exists`] where the folder holds a study; or what the folder
/// reports.
pub fn create(dir: &Path, plan: &Plan) -> Result<(), StudyError> {
    plan.check()?;
    let dir = StudyDir::new(dir);
    make_folder(&dir)?;
    if dir.store_address().exists() {
        let place = dir.store_address().display().to_string();
        return Err(StoreError::Exists { place }.into());
    }
    let _lock = DirLock::acquire(dir.path())?;
    let mut store = new_store(&dir.store())?;
    let now_ms = SystemClock.now_ms();
    store.append(now_ms, &[started(plan, now_ms)?])?;
    write_plan(&dir, plan)
}

/// As [`create`], with the events in the PostgreSQL database at `url`, which the folder's file
/// `store.url` names from then on. A study of the very same plan that is there already is the one
/// meant, so that a second controller is started by the same command.
///
/// # Errors
/// As [`create`]; [`StoreError::Exists`] where the database or the folder holds another study.
pub fn create_in_database(dir: &Path, plan: &Plan, url: &str) -> Result<(), StudyError> {
    #[cfg(not(feature = "postgres"))]
    {
        let _ = (dir, plan, url);
        let place = "store".to_string();
        Err(StoreError::NoPostgres { place }.into())
    }
    #[cfg(feature = "postgres")]
    {
        use crate::store::{Address, Postgres};
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
}

fn make_folder(dir: &StudyDir) -> Result<(), StudyError> {
    std::fs::create_dir_all(dir.path()).map_err(io(dir.path().into(), "make the folder"))
}

fn write_plan(dir: &StudyDir, plan: &Plan) -> Result<(), StudyError> {
    let text = serde_json::to_vec_pretty(plan).map_err(StudyError::PlanText)?;
    write_atomically(&dir.plan(), &text).map_err(io(dir.plan(), "write"))
}

fn io(path: PathBuf, action: &'static str) -> impl FnOnce(std::io::Error) -> StudyError {
    move |source| StudyError::Io {
        path,
        action,
        source,
    }
}

/// An empty store. One without events is left where making a study was cut off.
fn new_store(path: &Path) -> Result<Sqlite, StudyError> {
    match Sqlite::create(path) {
        Err(StoreError::Exists { place }) => {
            let mut store = Sqlite::open(path)?;
            match store.read_from(1)?.is_empty() {
                true => Ok(store),
                false => Err(StoreError::Exists { place }.into()),
            }
        }
        other => Ok(other?),
    }
}

/// The first event of a study.
pub(crate) fn started(plan: &Plan, time_ms: u64) -> Result<Event, StudyError> {
    Ok(Event::Started {
        version: VERSION,
        plan: serde_json::to_value(plan).map_err(StudyError::PlanText)?,
        seed: plan.seed,
        space: plan.space.text.clone(),
        time_ms,
    })
}

/// Why a search stopped that a person or the system asked to. Whoever stands by goes on then.
pub(super) const BY_REQUEST: &str = "stopped by request";

/// A study that no other process writes to for as long as this lives.
pub(super) struct Lead {
    pub(super) store: Box<dyn Store>,
    _lock: Option<DirLock>,
}

/// Becomes the process that leads the study in a folder: the only one that may where its store is
/// a file; otherwise one of several, of which the others stand by. `None` where a stop was asked
/// for meanwhile.
pub(super) fn lead(
    dir: &StudyDir,
    stop: &Stop,
    observer: &mut dyn FnMut(&Update),
) -> Result<Option<Lead>, StudyError> {
    let home = Home::of(dir)?;
    match &home {
        Home::File(path) => {
            if !path.exists() {
                let place = path.display().to_string();
                return Err(StoreError::Missing { place }.into());
            }
            let lock = DirLock::acquire(dir.path())?;
            let store = Box::new(Sqlite::open(path)?);
            Ok(Some(Lead {
                store,
                _lock: Some(lock),
            }))
        }
        #[cfg(feature = "postgres")]
        Home::Postgres(address) => {
            let (mut leads, mut seen) = (None, 0);
            let store = crate::store::Postgres::lead(address, &mut |leader| {
                if leads.is_none() {
                    let events = home.read().and_then(|mut s| s.read_from(1));
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
            if let Some(from) = leads {
                let events = store.read_from(1)?;
                let study = view::fold(&events)?;
                let stopped = study.stopped().filter(|reason| {
                    events.len() > seen && *reason != BY_REQUEST && study.ended_ms().is_none()
                });
                // What was wrong for the one that led is wrong for this one too.
                if let Some(reason) = stopped {
                    let reason = reason.to_string();
                    return Err(StudyError::StoppedElsewhere { by: from, reason });
                }
                observer(&Update::TookOver { from });
            }
            Ok(Some(Lead {
                store: Box::new(store),
                _lock: None,
            }))
        }
    }
}
