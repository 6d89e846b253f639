//! A cluster in virtual time: nodes that crash or are cut off, a scheduler that answers late,
//! twice or not at all, a mailbox that loses and repeats, and a controller that is killed between
//! any two of its doings. Everything follows from one seed, so a schedule that fails replays.

mod faults;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mnas_search::Event;

use super::{
    Answer, Bundle, Cluster, ClusterOptions, JobState, MailError, Mailbox, Request, Scheduler,
    SchedulerError,
};
use crate::clock::Clock;
use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::plan::Plan;
use crate::run::{Rig, Summary, run_on, started};
use crate::stop::Stop;
use crate::store::{Memory, Store, StoreError, Stored};

pub(crate) use faults::Faults;
pub(crate) use world::World;

/// What unwinds a controller that is killed.
struct Killed;

/// A handle on the world: its clock, its scheduler and its mailbox.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world; a controller that was killed while it held it did no harm.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of the controller, before or after which it may be killed.
    fn step<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let die = |shared: &Self| {
            if shared.world().killed_now() {
                std::panic::resume_unwind(Box::new(Killed));
            }
        };
        die(self);
        let value = work(&mut self.world());
        die(self);
        value
    }
}

impl Clock for Shared {
    fn now_ms(&self) -> u64 {
        self.world().now_ms
    }

    fn pause(&self, duration: Duration) {
        self.step(|w| w.pause(duration.as_millis() as u64));
    }
}

fn unreachable() -> SchedulerError {
    SchedulerError::Unreachable {
        message: "no route to the cluster".into(),
    }
}

impl Scheduler for Shared {
    fn name(&self) -> &'static str {
        "the simulation"
    }

    fn overhead_seconds(&self) -> f64 {
        1.5
    }

    fn keeps_measuring_apart(&self) -> bool {
        self.world().keeps_apart
    }

    fn submit(&mut self, request: &Request) -> Result<(), SchedulerError> {
        self.step(|w| {
            if w.chance(w.faults.submit_lost) {
                return Err(unreachable());
            }
            w.submit(request);
            match w.chance(w.faults.reply_lost) {
                true => Err(unreachable()),
                false => Ok(()),
            }
        })
    }

    fn list(&mut self) -> Result<BTreeMap<String, JobState>, SchedulerError> {
        self.step(|w| match w.chance(w.faults.list_fails) {
            true => Err(unreachable()),
            false => Ok(w.list()),
        })
    }

    fn cancel(&mut self, names: &[String]) -> Result<(), SchedulerError> {
        self.step(|w| {
            if w.chance(w.faults.reply_lost) {
                return Err(unreachable());
            }
            names.iter().for_each(|name| w.cancel(name));
            Ok(())
        })
    }
}

impl Shared {
    /// A step with the mailbox, which may fail before or after it was done.
    fn mail<T>(&self, work: impl FnOnce(&mut World) -> T) -> Result<T, MailError> {
        let fails = || MailError::Io {
            path: "the simulation".into(),
            source: std::io::Error::other("stale file handle"),
        };
        self.step(|w| {
            if w.chance(w.faults.mail_fails) {
                return Err(fails());
            }
            let value = work(w);
            match w.chance(w.faults.mail_fails) {
                true => Err(fails()),
                false => Ok(value),
            }
        })
    }
}

impl Mailbox for Shared {
    fn address(&self) -> String {
        "simulation".into()
    }

    fn post(&mut self, bundle: &Bundle) -> Result<(), MailError> {
        self.mail(|w| {
            w.bundles.insert(bundle.name.clone(), bundle.clone());
        })
    }

    fn bundles(&mut self) -> Result<Vec<Bundle>, MailError> {
        self.mail(|w| w.bundles.values().cloned().collect())
    }

    fn fetch(&mut self, name: &str) -> Result<Option<Bundle>, MailError> {
        self.mail(|w| w.bundles.get(name).cloned())
    }

    fn forget(&mut self, name: &str) -> Result<(), MailError> {
        self.mail(|w| {
            w.bundles.remove(name);
        })
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), MailError> {
        self.mail(|w| w.deliver(answer.clone(), 0))
    }

    fn answers(&mut self, known: &dyn Fn(&str, usize) -> bool) -> Result<Vec<Answer>, MailError> {
        self.mail(|w| w.visible(known))
    }

    fn clear(&mut self, bundle: &str, index: usize) -> Result<(), MailError> {
        self.mail(|w| w.clear(bundle, index))
    }
}

/// A store beside which the controller may be killed, and which may fail before or after it has
/// stored.
struct FaultyStore<'a> {
    inner: &'a mut Memory,
    shared: Shared,
}

impl Store for FaultyStore<'_> {
    fn append(&mut self, time_ms: u64, events: &[Event]) -> Result<u64, StoreError> {
        let fails = || StoreError::Runtime(std::io::Error::other("the disk is gone"));
        let inner = &mut *self.inner;
        self.shared.step(|w| {
            if w.chance(w.faults.store_fails) {
                return Err(fails());
            }
            let stored = inner.append(time_ms, events);
            match w.chance(w.faults.store_fails) {
                true => Err(fails()),
                false => stored,
            }
        })
    }

    fn read_from(&mut self, seq: u64) -> Result<Vec<Stored>, StoreError> {
        self.inner.read_from(seq)
    }
}

/// How one run of the controller ended.
#[derive(Debug)]
pub(crate) enum RunEnd {
    Returned(Result<Summary, StudyError>),
    Killed,
}

/// A study on the simulated cluster.
pub(crate) struct Scene {
    pub(crate) shared: Shared,
    pub(crate) store: Memory,
    pub(crate) jobs_max: usize,
    pub(crate) per_job: Option<usize>,
    pub(crate) stop: Stop,
    folder: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new(plan: &Plan, world: World, jobs_max: usize) -> Self {
        let mut store = Memory::new();
        store.append(0, &[started(plan, 0).unwrap()]).unwrap();
        Self {
            shared: Shared::new(world),
            store,
            jobs_max,
            per_job: None,
            stop: Stop::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Starts a controller and lets it run to its end or its death.
    pub(crate) fn run(&mut self) -> RunEnd {
        let folder = PathBuf::from("/");
        let mut options = ClusterOptions::new("sim".into(), self.jobs_max, 1, folder);
        options.per_job = self.per_job;
        let shared = &self.shared;
        let mut cluster = Cluster::new(
            Box::new(shared.clone()),
            Box::new(shared.clone()),
            Arc::new(shared.clone()),
            options,
        );
        let mut store = FaultyStore {
            inner: &mut self.store,
            shared: shared.clone(),
        };
        let rig = Rig {
            store: &mut store,
            executor: &mut cluster,
            clock: shared,
            dir: StudyDir::new(self.folder.path()),
            cache_dir: "cache".into(),
            stop: &self.stop,
            observer: &mut |_| {},
        };
        match catch_unwind(AssertUnwindSafe(|| run_on(rig, None))) {
            Ok(result) => RunEnd::Returned(result),
            Err(payload) if payload.is::<Killed>() => RunEnd::Killed,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }
}
