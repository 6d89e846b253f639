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

pub(super) fn make_folder(dir: &StudyDir) -> Result<(), StudyError> {
    std::fs::create_dir_all(dir.path()).map_err(io(dir.path().into(), "make the folder"))
}

pub(super) fn write_plan(dir: &StudyDir, plan: &Plan) -> Result<(), StudyError> {
    let text = serde_json::to_vec_pretty(plan).map_err(StudyError::PlanText)?;
    write_atomically(&dir.plan(), &text).map_err(io(dir.plan(), "write"))
}

pub(super) fn io(path: PathBuf, action: &'static str) -> impl FnOnce(std::io::Error) -> StudyError {
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
pub(crate) struct Lead {
    pub(crate) store: Box<dyn Store>,
    pub(super) _lock: Option<DirLock>,
}

/// Becomes the process that leads the study in a folder: the only one that may where its store is
/// a file; otherwise one of several, of which the others stand by. `None` where a stop was asked
/// for meanwhile.
#[cfg_attr(
    not(feature = "postgres"),
    allow(unused_variables, reason = "nobody stands by for a file")
)]
pub(crate) fn lead(
    dir: &StudyDir,
    stop: &Stop,
    observer: &mut dyn FnMut(&Update),
) -> Result<Option<Lead>, StudyError> {
    match Home::of(dir)? {
        Home::File(path) => alone(dir, &path).map(Some),
        #[cfg(feature = "postgres")]
        Home::Postgres(address) => super::database::stand_by(&address, stop, observer),
    }
}

/// Leads the study whose store is a file, or not at all.
fn alone(dir: &StudyDir, path: &Path) -> Result<Lead, StudyError> {
    if !path.exists() {
        let place = path.display().to_string();
        return Err(StoreError::Missing { place }.into());
    }
    let lock = DirLock::acquire(dir.path())?;
    let store = Box::new(Sqlite::open(path)?);
    Ok(Lead {
        store,
        _lock: Some(lock),
    })
}
