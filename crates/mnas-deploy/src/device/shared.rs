//! Several devices of one kind that share the work.
//!
//! In a search each network goes to the device that is free first, and networks asked for together
//! are dealt out. A final comparison runs on one device, as no two are equally fast to a percent.
//! Devices are locked against other processes of mnas, so that each measures one thing at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::meter::{CommandError, Meter};
use super::{Candidate, Device, DeviceError, DeviceInfo, Measured, ModelSource};
use crate::engine::library::hash_bytes;
use crate::measure::{MeasureError, MeasurePlan, Samples};

/// How often devices that are in use are looked at.
const TURN: Duration = Duration::from_millis(20);
/// How often one that is lost is looked for while others work.
const LOOK: Duration = Duration::from_secs(30);

/// How to open one of the devices.
pub(super) type Opener = Box<dyn Fn() -> Result<Meter, CommandError> + Send>;

/// Measures the networks of some indices on one device.
type Job<'a> = dyn Fn(&mut Meter, &[usize]) -> Result<Measured, DeviceError> + Sync + 'a;

pub(super) struct Shared {
    info: DeviceInfo,
    members: Vec<Member>,
    /// The member that is tried first next time, so that all stay cool.
    next: usize,
}

struct Member {
    name: String,
    open: Opener,
    /// None where it couldn't be opened yet.
    meter: Option<Meter>,
    lost: bool,
    /// When it was last looked for while it was lost.
    looked: Instant,
}

impl Member {
    /// Looks for a member that is lost: `true` where it answers and is what the others are.
    fn look(&mut self, info: &DeviceInfo) -> bool {
        self.looked = Instant::now();
        if let Some(meter) = &mut self.meter {
            return meter.is_back();
        }
        match (self.open)() {
            Ok(meter) if alike(meter.info(), info) => {
                self.meter = Some(meter);
                true
            }
            Ok(meter) => {
                tracing::warn!(
                    "{} is left out: it is {}",
                    self.name,
                    describe(meter.info())
                );
                false
            }
            Err(error) => {
                tracing::warn!("{error}");
                false
            }
        }
    }
}

/// Whether two devices differ in their names only.
fn alike(a: &DeviceInfo, b: &DeviceInfo) -> bool {
    let name = b.name.clone();
    DeviceInfo { name, ..a.clone() } == *b
}

fn describe(info: &DeviceInfo) -> String {
    format!("{}, {}", info.device, info.engine)
}

impl Shared {
    /// A device of all these, by their names after the scheme. One that can't be opened now may
    /// come later, where others can.
    pub(super) fn open(
        scheme: &str,
        devices: Vec<(String, Opener)>,
    ) -> Result<Box<dyn Device>, DeviceError> {
        let names: Vec<&str> = devices.iter().map(|(name, _)| &**name).collect();
        let name = format!("{scheme}:{}", names.join(","));
        let (mut members, mut failures) = (vec![], vec![]);
        for (name, open) in devices {
            let meter = open();
            let lost = meter.is_err();
            let meter = match meter {
                Ok(meter) => Some(meter),
                Err(error) => {
                    failures.push(error);
                    None
                }
            };
            members.push(Member {
                name: format!("{scheme}:{name}"),
                open,
                meter,
                lost,
                looked: Instant::now(),
            });
        }
        let mut opened = members
            .iter()
            .filter_map(|m| Some(m.meter.as_ref()?.info()));
        let Some(first) = opened.next() else {
            let none = DeviceError::NoPhone { attached: vec![] };
            let failure = failures.into_iter().next();
            return Err(failure.map_or(none, DeviceError::from));
        };
        if !opened.all(|other| alike(other, first)) {
            let infos = members
                .iter()
                .filter_map(|m| Some(m.meter.as_ref()?.info()));
            let devices = infos
                .map(|i| format!("{}: {}", i.name, describe(i)))
                .collect();
            return Err(DeviceError::Unlike { devices });
        }
        for error in &failures {
            tracing::warn!("{error}; the others do without");
        }
        let info = DeviceInfo {
            name,
            ..first.clone()
        };
        Ok(Box::new(Self {
            info,
            members,
            next: 0,
        }))
    }

    /// Looks for the members that are lost: for each now and then, for all where there is no other.
    fn look(&mut self) {
        let all = self.members.iter().all(|m| m.lost);
        for member in self.members.iter_mut().filter(|m| m.lost) {
            if all || member.looked.elapsed() >= LOOK {
                member.lost = !member.look(&self.info);
            }
        }
    }

    /// Has `count` networks measured.
    fn deal(
        &mut self,
        count: usize,
        plan: &MeasurePlan,
        job: &Job<'_>,
    ) -> Result<Measured, DeviceError> {
        plan.check()?;
        let mut answers: Vec<Option<Result<Samples, MeasureError>>> =
            (0..count).map(|_| None).collect();
        let quick = plan.runs <= MeasurePlan::RUNS_MIN;
        loop {
            let open: Vec<usize> = (0..count).filter(|i| answers[*i].is_none()).collect();
            if open.is_empty() {
                break;
            }
            self.look();
            let shares = if quick {
                self.members.len().min(open.len())
            } else {
                1
            };
            let taken = self.acquire(shares);
            let hands: Vec<Vec<usize>> = (0..taken.len())
                .map(|hand| {
                    open.iter()
                        .copied()
                        .skip(hand)
                        .step_by(taken.len())
                        .collect()
                })
                .collect();
            let mut loss = None;
            for (hand, outcome) in hands.iter().zip(self.work(&taken, &hands, job)) {
                match outcome {
                    Ok(measured) => {
                        for (i, answer) in hand.iter().zip(measured) {
                            answers[*i] = Some(answer);
                        }
                    }
                    Err(error @ DeviceError::Command(CommandError::Lost { .. })) => {
                        loss = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            if let Some(error) = loss {
                if self.members.iter().all(|m| m.lost) {
                    return Err(error);
                }
                tracing::warn!("{error}; the others take over");
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Each taken member does its hand, side by side.
    fn work(
        &mut self,
        taken: &[(usize, Option<File>)],
        hands: &[Vec<usize>],
        job: &Job<'_>,
    ) -> Vec<Result<Measured, DeviceError>> {
        let mut free: Vec<Option<&mut Member>> = self.members.iter_mut().map(Some).collect();
        thread::scope(|scope| {
            let threads: Vec<_> = taken
                .iter()
                .zip(hands)
                .map(|((index, _), hand)| {
                    let member = free[*index].take().expect("a member is taken once");
                    scope.spawn(move || {
                        let outcome = match &mut member.meter {
                            Some(meter) => job(meter, hand),
                            None => Err(DeviceError::Command(CommandError::Lost {
                                program: member.name.clone().into(),
                                detail: "it never answered".into(),
                            })),
                        };
                        member.lost = matches!(
                            &outcome,
                            Err(DeviceError::Command(CommandError::Lost { .. }))
                        );
                        outcome
                    })
                })
                .collect();
            let join = |t: thread::ScopedJoinHandle<'_, _>| {
                t.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        })
    }

    /// Up to `most` members that nobody uses, at least one: waits for it. Members that are lost
    /// are taken only where all are, and then say so.
    fn acquire(&mut self, most: usize) -> Vec<(usize, Option<File>)> {
        let count = self.members.len();
        let all_lost = self.members.iter().all(|m| m.lost);
        loop {
            let mut taken = vec![];
            for i in (self.next..self.next + count).map(|i| i % count) {
                let member = &self.members[i];
                if taken.len() < most
                    && (all_lost || !member.lost)
                    && let Some(lock) = lock(&member.name)
                {
                    taken.push((i, lock));
                }
            }
            if let Some((last, _)) = taken.last() {
                self.next = (last + 1) % count;
                return taken;
            }
            thread::sleep(TURN);
        }
    }
}

/// Locks a device for this process until the file is dropped: `None` where another holds it. Where
/// there can't be a lock, devices do without.
fn lock(name: &str) -> Option<Option<File>> {
    let file: PathBuf = format!("mnas-device-{}.lock", hash_bytes(name.as_bytes())).into();
    let path = std::env::temp_dir().join(file);
    let mut options = OpenOptions::new();
    let opened = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    // Another user's file can be read and locked.
    let Ok(file) = opened.or_else(|_| File::open(&path)) else {
        return Some(None);
    };
    match file.try_lock() {
        Ok(()) => Some(Some(file)),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(_)) => Some(None),
    }
}

impl Device for Shared {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        self.deal(candidates.len(), plan, &|meter, indices| {
            let hand: Vec<Candidate<'_>> = indices.iter().map(|i| candidates[*i]).collect();
            meter.measure(&hand, plan)
        })
    }

    fn measure_models(
        &mut self,
        models: &[ModelSource<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        self.deal(models.len(), plan, &|meter, indices| {
            let hand: Vec<ModelSource<'_>> = indices.iter().map(|i| models[*i]).collect();
            meter.measure_models(&hand, plan)
        })
    }
}
