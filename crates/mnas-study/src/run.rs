//! Making, running and resuming a study.

use std::path::{Path, PathBuf};

use mnas_search::{Counts, Event, Study};

use crate::clock::{Clock, SystemClock};
use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::executor::Executor;
use crate::finals;
use crate::plan::Plan;
use crate::search;
use crate::session::{Flow, Session};
use crate::stop::Stop;
use crate::store::Store;
use crate::update::Update;
use crate::view;

pub(crate) mod assemble;
#[cfg(feature = "postgres")]
mod database;
mod lead;
#[cfg(test)]
mod tests;

#[cfg(feature = "postgres")]
pub use database::create_in_database;
pub use lead::create;
#[cfg(test)]
pub(crate) use lead::started;

use lead::BY_REQUEST;

/// What a run needs besides the study's folder.
#[derive(Debug, Clone)]
pub struct RunEnv {
    /// The program that workers run.
    pub program: PathBuf,
    /// Its arguments, which make it call [`crate::worker_main`].
    pub args: Vec<String>,
    /// Folder of decoded images.
    pub cache_dir: PathBuf,
    /// More proposals than planned.
    pub extend: Option<Extend>,
}

impl RunEnv {
    /// Workers are this program with the argument `worker`.
    ///
    /// # Errors
    /// [`StudyError::Program`] where the program's own file can't be found.
    pub fn this_program(cache_dir: PathBuf) -> Result<Self, StudyError> {
        let program = std::env::current_exe().map_err(StudyError::Program)?;
        Ok(Self {
            program,
            args: vec!["worker".into()],
            cache_dir,
            extend: None,
        })
    }
}

/// Continues a study beyond its planned end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extend {
    /// The number of proposals in all, at least those there are.
    pub trials: u64,
}

/// What a run stands on: the seams of a study.
pub struct Rig<'a> {
    /// Where events go.
    pub store: &'a mut dyn Store,
    /// Where jobs run.
    pub executor: &'a mut dyn Executor,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The study's folder, for weights and models.
    pub dir: StudyDir,
    /// Folder of decoded images.
    pub cache_dir: PathBuf,
    /// Asks the run to stop.
    pub stop: &'a Stop,
    /// Told of everything.
    pub observer: &'a mut dyn FnMut(&Update),
}

/// Without the feature `postgres` there are no such studies.
///
/// # Errors
/// [`StoreError::NoPostgres`](crate::StoreError::NoPostgres).
#[cfg(not(feature = "postgres"))]
pub fn create_in_database(_: &Path, _: &Plan, _: &str) -> Result<(), StudyError> {
    let place = "the study file's `store`".into();
    Err(crate::store::StoreError::NoPostgres { place }.into())
}

impl Rig<'_> {
    /// The same for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Rig<'_> {
        Rig {
            store: &mut *self.store,
            executor: &mut *self.executor,
            clock: self.clock,
            dir: self.dir.clone(),
            cache_dir: self.cache_dir.clone(),
            stop: self.stop,
            observer: &mut *self.observer,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Trials of each kind.
    pub counts: Counts,
    /// Latency target in milliseconds, where it became known.
    pub target_ms: Option<f64>,
    /// The trial with the best reward.
    pub best: Option<u64>,
    /// The network to deploy; see [`view::winner`].
    pub winner: Option<u64>,
    /// Whether the study is complete.
    pub ended: bool,
    /// Why it stopped before, if it did.
    pub stopped: Option<String>,
    /// Seconds spent searching, over all runs, the final stage not counted.
    pub search_seconds: f64,
}

/// Runs a study from where it stands, where its plan says: in processes of this machine or in
/// jobs of a cluster.
///
/// A study that was stopped or killed goes on exactly; one that ended is left as it is, unless it
/// is extended.
///
/// # Errors
/// [`StudyError`]; what was stored before stays.
pub fn run(
    dir: &Path,
    env: &RunEnv,
    stop: &Stop,
    observer: &mut dyn FnMut(&Update),
) -> Result<Summary, StudyError> {
    let dir = StudyDir::new(dir);
    match with_rig(&dir, env, (stop, observer), Ok, |rig| {
        run_on(rig, env.extend)
    })? {
        Some(summary) => Ok(summary),
        None => {
            let study = view::load(dir.path())?;
            Ok(summary(&study, 0.0, Some("stopped while standing by")))
        }
    }
}

/// Lets `act` work on a study with the real store, executor and clock; `adjust` takes the stored plan
/// and says which one the executor follows. `None` where it was stopped while standing by.
///
/// # Errors
/// [`StudyError`]; those of `adjust` and `act`.
pub(crate) fn with_rig<R>(
    dir: &StudyDir,
    env: &RunEnv,
    (stop, observer): (&Stop, &mut dyn FnMut(&Update)),
    adjust: impl FnOnce(Plan) -> Result<Plan, StudyError>,
    act: impl FnOnce(Rig<'_>) -> Result<R, StudyError>,
) -> Result<Option<R>, StudyError> {
    // Workers on other machines don't start where this program did.
    let dir = StudyDir::new(&std::path::absolute(dir.path()).unwrap_or_else(|_| dir.path().into()));
    let Some(mut lead) = lead::lead(&dir, stop, observer)? else {
        return Ok(None);
    };
    let events = lead.store.read_from(1)?;
    let plan = adjust(view::plan(&view::fold(&events)?)?)?;
    let mut executor = assemble::executor(&plan, env, &dir, &events[0])?;
    drop(events);
    let rig = Rig {
        store: &mut *lead.store,
        executor: &mut *executor,
        clock: &SystemClock,
        dir,
        cache_dir: env.cache_dir.clone(),
        stop,
        observer,
    };
    act(rig).map(Some)
}

/// As [`run`], on seams of one's own. The caller sees to it that no other run writes to the store.
///
/// # Errors
/// As [`run`].
pub fn run_on(rig: Rig<'_>, extend: Option<Extend>) -> Result<Summary, StudyError> {
    let dir = rig.dir.clone();
    dir.forget_stop();
    let mut session = Session::open(rig)?;
    session.note_interruption()?;
    if let Some(Extend { trials }) = extend {
        session.append(vec![Event::Extended { trials }])?;
    }
    if session.study().ended_ms().is_some() {
        return Ok(summary(session.study(), session.search_seconds(), None));
    }
    let flow = course(&mut session);
    if flow.is_ok() {
        session.settle();
    }
    let stopped = match &flow {
        Ok(Flow::Done) => None,
        Ok(Flow::Stopped) => Some(BY_REQUEST.to_string()),
        // A store that fails takes no more events.
        Err(StudyError::Store(_)) => None,
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = stopped {
        session.append(vec![Event::Stopped { reason }])?;
        dir.forget_stop();
    }
    flow.map(|_| summary(session.study(), session.search_seconds(), None))
}

/// A study's course, each part skipping what was done already.
fn course(session: &mut Session<'_>) -> Result<Flow, StudyError> {
    type Part = fn(&mut Session<'_>) -> Result<Flow, StudyError>;
    let parts: [Part; 4] = [
        search::probe,
        search::find_target,
        search::search,
        finals::final_stage,
    ];
    for part in parts {
        if part(session)? == Flow::Stopped {
            return Ok(Flow::Stopped);
        }
    }
    let time_ms = session.now_ms();
    session.append(vec![Event::Ended { time_ms }])?;
    Ok(Flow::Done)
}

fn summary(study: &Study, search_seconds: f64, stopped: Option<&str>) -> Summary {
    let stopped = stopped.or(study.stopped());
    Summary {
        counts: study.counts(),
        target_ms: study.target_ms(),
        best: study.best().map(|t| t.id),
        winner: view::winner(study),
        ended: study.ended_ms().is_some(),
        stopped: stopped
            .filter(|_| study.ended_ms().is_none())
            .map(String::from),
        search_seconds,
    }
}
