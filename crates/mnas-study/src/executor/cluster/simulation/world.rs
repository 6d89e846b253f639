//! Nodes, jobs and mail in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use mnas_net::{Purpose, Stream, stream};
use mnas_train::Control;

use super::super::{Answer, Bundle, JobState, Request};
use super::Faults;
use crate::evaluate::Evaluator;
use crate::executor::{Attempt, Verdict};
use crate::fakes::Formula;
use crate::job::JobOutput;

/// Milliseconds that an attempt takes.
pub(crate) type Duration = fn(&Attempt, &mut Stream) -> u64;

/// Milliseconds until the scheduler sees that a node is gone, at most.
const DETECTION_MS: f64 = 60_000.0;
/// Milliseconds that a node is gone, at most.
const OUTAGE_MS: f64 = 200_000.0;
/// Milliseconds that ended jobs stay in the list.
const LISTED_MS: u64 = 100_000;
/// Milliseconds that a job takes to start, at most.
const START_MS: f64 = 2_000.0;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// A job ends its attempt at this place and goes on with the next.
    Attempt {
        job: usize,
        index: usize,
    },
    NodeFails {
        node: usize,
    },
    NodeBack {
        node: usize,
    },
    /// The scheduler sees that a job is gone.
    Seen {
        job: usize,
    },
}

struct SimJob {
    name: String,
    exclusive: bool,
    bundle: Option<Bundle>,
    state: JobState,
    ended_ms: Option<u64>,
    /// Where it runs.
    node: Option<usize>,
    /// Whether its process is at work.
    alive: bool,
    silent: bool,
    attempt_began_ms: u64,
}

struct Mail {
    answer: Answer,
    seen_ms: u64,
    cleared: bool,
}

/// The cluster.
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) faults: Faults,
    pub(crate) bundles: BTreeMap<String, Bundle>,
    pub(crate) keeps_apart: bool,
    /// Attempts ended, and milliseconds of nodes spent on those.
    pub(crate) performed: u64,
    pub(crate) busy_ms: u64,
    /// Most jobs that waited or ran at a time.
    pub(crate) jobs_most: usize,
    /// Whether a measurement ran beside something else.
    pub(crate) disturbed: bool,
    /// Answers of attempts that the scheduler had given up.
    pub(crate) zombies: u64,
    draw: Stream,
    duration: Duration,
    evaluator: Formula,
    jobs: Vec<SimJob>,
    /// Newest job of each name.
    names: BTreeMap<String, usize>,
    waiting: VecDeque<usize>,
    /// Whether each node is there, and what runs on it.
    nodes: Vec<(bool, Option<usize>)>,
    agenda: BinaryHeap<Reverse<(u64, u64, Doing)>>,
    planned: u64,
    mail: BTreeMap<(String, usize), Mail>,
    listed: BTreeMap<String, JobState>,
    /// Jobs that wait or run.
    live: usize,
    /// The controller's steps until it is killed.
    kill_in: Option<u64>,
    kills: VecDeque<u64>,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: usize, faults: Faults, duration: Duration) -> Self {
        let mut world = Self {
            now_ms: 0,
            bundles: BTreeMap::new(),
            keeps_apart: seed.is_multiple_of(2),
            performed: 0,
            busy_ms: 0,
            jobs_most: 0,
            disturbed: false,
            zombies: 0,
            draw: stream(seed, 2, Purpose::Sample),
            duration,
            evaluator: Formula::new(),
            jobs: vec![],
            names: BTreeMap::new(),
            waiting: VecDeque::new(),
            nodes: vec![(true, None); nodes],
            agenda: BinaryHeap::new(),
            planned: 0,
            mail: BTreeMap::new(),
            listed: BTreeMap::new(),
            live: 0,
            kill_in: None,
            kills: faults.kills.iter().copied().collect(),
            faults,
        };
        world.kill_in = world.kills.pop_front();
        (0..nodes).for_each(|node| world.plan_failure(node));
        world
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.draw.uniform() < share
    }

    /// Counts a step; whether the controller dies of it.
    pub(super) fn killed_now(&mut self) -> bool {
        let Some(left) = &mut self.kill_in else {
            return false;
        };
        *left -= 1;
        let dead = *left == 0;
        if dead {
            self.kill_in = self.kills.pop_front();
        }
        dead
    }

    fn plan(&mut self, in_ms: u64, doing: Doing) {
        self.planned += 1;
        self.agenda
            .push(Reverse((self.now_ms + in_ms, self.planned, doing)));
    }

    fn plan_failure(&mut self, node: usize) {
        if self.faults.node_ms > 0.0 {
            let wait = -self.faults.node_ms * (1.0 - self.draw.uniform()).ln();
            self.plan(wait as u64 + 1, Doing::NodeFails { node });
        }
    }

    /// Lets time pass: so many milliseconds, or until something happens, whatever is later, since
    /// a controller that looks on meanwhile sees nothing.
    pub(super) fn pause(&mut self, ms: u64) {
        let next = self.agenda.peek().map_or(0, |Reverse((at, _, _))| *at);
        let until = (self.now_ms + ms).max(next.min(self.now_ms + 60_000));
        while let Some(Reverse((at, _, _))) = self.agenda.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, doing))) = self.agenda.pop() else {
                break;
            };
            self.now_ms = at;
            self.happen(doing);
            self.start_waiting();
        }
        self.now_ms = until;
    }

    pub(super) fn submit(&mut self, request: &Request) {
        let alive = |job: &SimJob| !matches!(job.state, JobState::Ended { .. });
        if let Some(job) = self.names.get(&request.name)
            && alive(&self.jobs[*job])
        {
            return;
        }
        let job = self.jobs.len();
        self.jobs.push(SimJob {
            name: request.name.clone(),
            exclusive: request.exclusive,
            bundle: None,
            state: JobState::Waiting,
            ended_ms: None,
            node: None,
            alive: false,
            silent: false,
            attempt_began_ms: 0,
        });
        self.names.insert(request.name.clone(), job);
        self.waiting.push_back(job);
        self.live += 1;
        self.jobs_most = self.jobs_most.max(self.live);
        self.start_waiting();
    }

    fn start_waiting(&mut self) {
        while !self.waiting.is_empty() {
            let free = |(there, job): &(bool, Option<usize>)| *there && job.is_none();
            let Some(node) = self.nodes.iter().position(free) else {
                return;
            };
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            self.nodes[node].1 = Some(job);
            let silent = self.chance(self.faults.silent);
            let start_ms = (START_MS * self.draw.uniform()) as u64;
            let name = self.jobs[job].name.clone();
            let bundle = self.bundles.get(&name).cloned();
            let first = bundle.as_ref().and_then(|b| b.attempts.first());
            let first_ms = first.map(|a| (self.duration)(a, &mut self.draw));
            let state = &mut self.jobs[job];
            (state.state, state.node) = (JobState::Running, Some(node));
            (state.alive, state.silent) = (true, silent);
            state.bundle = bundle;
            state.attempt_began_ms = self.now_ms + start_ms;
            let beside = self.nodes.iter().filter_map(|(_, j)| *j);
            let beside: Vec<bool> = beside.map(|j| self.jobs[j].exclusive).collect();
            self.disturbed |= beside.len() > 1 && beside.contains(&true);
            match first_ms {
                Some(ms) => self.plan(start_ms + ms, Doing::Attempt { job, index: 0 }),
                // Nobody wants it any more.
                None => self.end(job, true, ""),
            }
        }
    }

    fn end(&mut self, job: usize, well: bool, message: &str) {
        let state = &mut self.jobs[job];
        if matches!(state.state, JobState::Ended { .. }) {
            return;
        }
        state.state = JobState::Ended {
            well,
            message: message.into(),
        };
        state.ended_ms = Some(self.now_ms);
        state.alive &= !well;
        self.live -= 1;
        self.leave(job);
    }

    fn leave(&mut self, job: usize) {
        if let Some(node) = self.jobs[job].node
            && self.nodes[node].1 == Some(job)
        {
            self.nodes[node].1 = None;
        }
    }

    fn happen(&mut self, doing: Doing) {
        match doing {
            Doing::Attempt { job, index } => self.attempt(job, index),
            Doing::NodeFails { node } => {
                let outage_ms = (OUTAGE_MS * self.draw.uniform()) as u64;
                let cut = self.chance(self.faults.cut);
                self.nodes[node].0 = false;
                if let Some(job) = self.nodes[node].1 {
                    self.jobs[job].alive &= cut;
                    let seen_ms = (DETECTION_MS * self.draw.uniform()) as u64;
                    self.plan(seen_ms, Doing::Seen { job });
                }
                self.plan(outage_ms, Doing::NodeBack { node });
            }
            Doing::NodeBack { node } => {
                self.nodes[node] = (true, None);
                self.plan_failure(node);
            }
            Doing::Seen { job } => self.end(job, false, "its node is gone"),
        }
    }

    fn attempt(&mut self, job: usize, index: usize) {
        if !self.jobs[job].alive {
            return;
        }
        let Some(bundle) = self.jobs[job].bundle.clone() else {
            return;
        };
        self.performed += 1;
        self.busy_ms += self.now_ms - self.jobs[job].attempt_began_ms;
        self.jobs[job].attempt_began_ms = self.now_ms;
        let attempt = &bundle.attempts[index];
        let given_up = matches!(self.jobs[job].state, JobState::Ended { .. });
        if !self.jobs[job].silent {
            self.zombies += u64::from(given_up);
            let answer = Answer {
                bundle: bundle.name.clone(),
                index,
                id: attempt.id.clone(),
                attempt: attempt.number,
                verdict: self.perform(attempt),
                seconds: (self.duration)(attempt, &mut self.draw) as f64 / 1e3,
            };
            let node = self.jobs[job].node;
            let cut = node.is_some_and(|n| !self.nodes[n].0);
            // A node that is cut off delivers once it is back.
            let late_ms = if cut { OUTAGE_MS as u64 } else { 0 };
            self.deliver(answer, late_ms);
        }
        let wanted = self.bundles.contains_key(&bundle.name);
        match bundle.attempts.get(index + 1).filter(|_| wanted) {
            Some(next) => {
                let ms = (self.duration)(next, &mut self.draw);
                self.plan(
                    ms,
                    Doing::Attempt {
                        job,
                        index: index + 1,
                    },
                );
            }
            None => self.end(job, true, "it ended well"),
        }
    }

    /// As a worker would, but marked: seconds tell the attempt, so that a result can be traced.
    fn perform(&mut self, attempt: &Attempt) -> Verdict {
        if self.chance(self.faults.crashed) {
            let message = "segmentation fault".into();
            return Verdict::Crashed { message };
        }
        let done = self
            .evaluator
            .perform(&attempt.job, &mut |_| Control::Continue);
        match done {
            Ok(JobOutput::Trained(mut net)) => {
                net.seconds = f64::from(attempt.number);
                Verdict::Done(JobOutput::Trained(net))
            }
            Ok(output) => Verdict::Done(output),
            Err(failure) => Verdict::Failed(failure),
        }
    }

    pub(super) fn deliver(&mut self, answer: Answer, late_ms: u64) {
        let late_ms = late_ms + (self.faults.mail_late_ms as f64 * self.draw.uniform()) as u64;
        let seen_ms = self.now_ms + late_ms;
        let key = (answer.bundle.clone(), answer.index);
        self.mail.entry(key).or_insert(Mail {
            answer,
            seen_ms,
            cleared: false,
        });
    }

    pub(super) fn visible(&self, known: &dyn Fn(&str, usize) -> bool) -> Vec<Answer> {
        let seen = self.mail.values().filter(|m| m.seen_ms <= self.now_ms);
        seen.filter(|m| !known(&m.answer.bundle, m.answer.index))
            .map(|m| m.answer.clone())
            .collect()
    }

    pub(super) fn clear(&mut self, bundle: &str, index: usize) {
        let again = self.chance(self.faults.mail_again);
        let late_ms = (30_000.0 * self.draw.uniform()) as u64;
        let key = (bundle.to_string(), index);
        match self.mail.get_mut(&key) {
            Some(mail) if again && !mail.cleared => {
                (mail.cleared, mail.seen_ms) = (true, self.now_ms + late_ms);
            }
            _ => drop(self.mail.remove(&key)),
        }
    }

    pub(super) fn list(&mut self) -> BTreeMap<String, JobState> {
        if !self.chance(self.faults.list_stale) {
            let now = self.now_ms;
            let recent = |j: &SimJob| j.ended_ms.is_none_or(|at| now - at < LISTED_MS);
            self.names.retain(|_, job| recent(&self.jobs[*job]));
            let jobs = self.names.values().map(|job| &self.jobs[*job]);
            self.listed = jobs.map(|j| (j.name.clone(), j.state.clone())).collect();
        }
        self.listed.clone()
    }

    pub(super) fn cancel(&mut self, name: &str) {
        let Some(job) = self.names.get(name).copied() else {
            return;
        };
        self.waiting.retain(|j| *j != job);
        self.jobs[job].alive = false;
        self.end(job, false, "cancelled");
        self.start_waiting();
    }
}
