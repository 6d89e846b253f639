//! Does the short training of a search rank networks as the full one does? Worth knowing before a
//! budget is spent on it.
//!
//! Networks of the space are measured and trained briefly; ten of them, spread in accuracy and
//! latency, are trained in full too. Kendall's tau of the two orders is the answer; what the same
//! network does under other seeds tells how much of it could be luck. (The practice of Vertex AI NAS,
//! `google/vertex-ai-nas`, proxy-task design: ten networks, a tau of at least 0.65.)

mod ledger;
mod pick;
mod result;
#[cfg(test)]
mod tests;

use std::path::Path;

use mnas_net::{NetSpec, Purpose, cost, stream, zoo};

use crate::clock::{Clock, SystemClock};
use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::evaluate;
use crate::job::{Job, JobId, JobOutput, TrainJob};
use crate::lock::DirLock;
use crate::plan::{Plan, Target};
use crate::run::{Rig, RunEnv, assemble, started};
use crate::search;
use crate::session::{Flow, JobEnd, Session, Work};
use crate::stop::Stop;
use crate::store::{Memory, Store};
use crate::update::Update;

use ledger::{Ledger, Run, RunKey};
pub use result::{CheckedNet, ProxyCheck, TAU_MIN};

/// Networks measured and briefly trained for each one that is trained in full: enough that the
/// chosen ones can lie apart.
const CANDIDATES: usize = 3;
/// Seeds besides the plan's that tell the noise of the short training; one tells that of the full.
const SEEDS: u32 = 2;
/// Networks whose trainings are repeated under them.
const NOISE_NETWORKS: usize = 3;
/// Stream of the candidates; far from the trials of a search.
const STREAM: u64 = 1 << 40;

/// Checks a plan's short training with `networks` networks. What was trained is kept in `dir`, so
/// that a check that was stopped (`None`) goes on; progress is told as a study's is.
///
/// # Errors
/// [`StudyError`]; [`StudyError::OtherCheck`] where the folder holds a check of another plan.
pub fn proxy_check(
    dir: &Path,
    plan: &Plan,
    networks: usize,
    env: &RunEnv,
    stop: &Stop,
    observer: &mut dyn FnMut(&Update),
) -> Result<Option<ProxyCheck>, StudyError> {
    plan.check()?;
    let dir = StudyDir::new(&std::path::absolute(dir).unwrap_or_else(|_| dir.into()));
    std::fs::create_dir_all(dir.path()).map_err(|source| StudyError::Io {
        path: dir.path().into(),
        action: "make the folder",
        source,
    })?;
    let _lock = DirLock::acquire(dir.path())?;
    let mut store = Memory::new();
    let now_ms = SystemClock.now_ms();
    store.append(now_ms, &[started(plan, now_ms)?])?;
    let first = store.events()[0].clone();
    let mut executor = assemble::executor(plan, env, &dir, &first)?;
    let rig = Rig {
        store: &mut store,
        executor: &mut *executor,
        clock: &SystemClock,
        dir,
        cache_dir: env.cache_dir.clone(),
        stop,
        observer,
    };
    check_on(rig, networks)
}

/// As [`proxy_check`], on seams of one's own; the store holds the first event of a study.
pub(crate) fn check_on(rig: Rig<'_>, networks: usize) -> Result<Option<ProxyCheck>, StudyError> {
    let ledger = Ledger::open(&rig.dir.proxy_check(), &rig.store.read_from(1)?, networks)?;
    let session = Session::open(rig)?;
    let mut check = Check { session, ledger };
    let result = check.course(networks);
    if !matches!(result, Ok(Some(_))) {
        check.session.cancel_jobs();
    }
    result
}

struct Check<'a> {
    session: Session<'a>,
    ledger: Ledger,
}

impl Check<'_> {
    fn course(&mut self, networks: usize) -> Result<Option<ProxyCheck>, StudyError> {
        if search::probe(&mut self.session)? == Flow::Stopped
            || self.measure(networks)? == Flow::Stopped
        {
            return Ok(None);
        }
        let candidates = 0..self.ledger.candidates.len();
        let proxies = candidates.map(|net| RunKey::proxy(net, 0));
        if self.train(proxies.collect())? == Flow::Stopped {
            return Ok(None);
        }
        let chosen = pick::spread(&self.ledger.points(), networks);
        let full = chosen.iter().map(|net| RunKey::full(*net, 0));
        let mut keys: Vec<RunKey> = full.collect();
        // By latency, as candidates stand: extremes of accuracy are partly the luck of their run.
        let mut by_latency = chosen.clone();
        by_latency.sort_unstable();
        let ends = [0, chosen.len() / 2, chosen.len().saturating_sub(1)];
        let noisy = ends.into_iter().take(NOISE_NETWORKS);
        let mut noisy: Vec<usize> = noisy.filter_map(|i| by_latency.get(i).copied()).collect();
        noisy.dedup();
        for seed in 1..=SEEDS {
            keys.extend(noisy.iter().map(|net| RunKey::proxy(*net, seed)));
        }
        keys.extend(noisy.iter().map(|net| RunKey::full(*net, 1)));
        if self.train(keys)? == Flow::Stopped {
            return Ok(None);
        }
        self.session.settle();
        let check = ProxyCheck::of(self.session.plan(), &self.ledger, &chosen);
        Ok(Some(check))
    }

    /// Draws candidates and measures them; those that a search would find too slow to train leave.
    fn measure(&mut self, networks: usize) -> Result<Flow, StudyError> {
        if !self.ledger.candidates.is_empty() {
            return Ok(Flow::Done);
        }
        let specs = self.draw(CANDIDATES * networks)?;
        let mut nets = vec![];
        for (i, spec) in specs.iter().enumerate() {
            nets.push(self.session.net(&format!("candidate {i}"), spec));
        }
        if let Target::Reference { name } = &self.session.plan().target {
            // The plan's check knows the name.
            let spec = zoo::find(name).map(|n| n.spec.canonical().to_string());
            nets.extend(spec.map(|spec| self.session.net(name, &spec)));
        }
        let plan = self.session.plan().measure.clone();
        let Some(found) = search::measure(&mut self.session, "candidates", nets, plan)? else {
            return Ok(Flow::Stopped);
        };
        let target_ms = match &self.session.plan().target {
            Target::Fixed { target_ms } => Some(*target_ms),
            Target::Reference { .. } => found.last().and_then(|r| Some(r.as_ref().ok()?.median_ms)),
        };
        let most_ms = target_ms.map_or(f64::INFINITY, |t| t * self.session.plan().too_slow);
        let latencies = found.iter().map(|r| r.as_ref().ok().map(|l| l.median_ms));
        let mut kept: Vec<(String, f64)> = specs
            .into_iter()
            .zip(latencies)
            .filter_map(|(spec, ms)| Some((spec, ms?)))
            .collect();
        kept.sort_by(|a, b| a.1.total_cmp(&b.1));
        let fast = kept.iter().filter(|(_, ms)| *ms <= most_ms).count();
        // A target that few random networks meet must not leave too few to compare.
        kept.truncate(fast.max(networks));
        self.ledger.candidates = kept;
        self.ledger.save()?;
        Ok(Flow::Done)
    }

    /// Distinct networks within the plan's limits.
    fn draw(&self, count: usize) -> Result<Vec<String>, StudyError> {
        let (plan, space) = (self.session.plan(), self.session.space());
        let mut random = stream(plan.seed, STREAM, Purpose::Sample);
        let mut specs: Vec<NetSpec> = vec![];
        for tokens in space.balanced(count, &mut random) {
            let spec = space.decode(&tokens);
            let spec = spec.map_err(|source| StudyError::Decode { trial: 0, source })?;
            let Ok(graph) = spec.graph(plan.data.input(), plan.data.classes.len()) else {
                continue;
            };
            let cost = cost(&graph);
            let over = |value: u64, most: Option<u64>| most.is_some_and(|most| value > most);
            let limits = &plan.limits;
            if !over(cost.params, limits.params)
                && !over(cost.activation_bytes_peak, limits.activation_bytes)
                && !specs.contains(&spec)
            {
                specs.push(spec);
            }
        }
        Ok(specs.iter().map(NetSpec::to_string).collect())
    }

    /// Trains what isn't trained yet, the costliest first, and keeps each result at once.
    fn train(&mut self, mut keys: Vec<RunKey>) -> Result<Flow, StudyError> {
        keys.retain(|key| self.ledger.run(*key).is_none());
        keys.sort_by_key(|key| std::cmp::Reverse(self.cost(*key)));
        let works: Vec<Work> = keys.iter().map(|key| self.work(*key)).collect();
        let by_id: Vec<(JobId, RunKey)> = works.iter().map(|w| w.id.clone()).zip(keys).collect();
        self.session.tell(Update::FinalEta {
            networks: works.len() as u64,
            seconds: None,
        });
        let ledger = &mut self.ledger;
        self.session.run_jobs(works, &mut |_, work, end| {
            let found = by_id.iter().find(|(id, _)| *id == work.id);
            let Some((_, key)) = found else {
                return Err(StudyError::WrongAnswer { job: work.name });
            };
            let (accuracy, seconds, failure) = match end {
                JobEnd::Done(JobOutput::Trained(net)) => (Some(net.accuracy), net.seconds, None),
                JobEnd::Done(_) => return Err(StudyError::WrongAnswer { job: work.name }),
                JobEnd::Failed(failure) => (None, 0.0, Some(failure.message)),
                JobEnd::Lost { attempts, message } => {
                    let job = work.name;
                    return Err(StudyError::JobLost {
                        job,
                        attempts,
                        message,
                    });
                }
            };
            ledger.runs.push(Run {
                key: *key,
                accuracy,
                seconds,
                failure,
            });
            ledger.save()
        })
    }

    fn work(&self, key: RunKey) -> Work {
        let plan = self.session.plan();
        let (spec, _) = &self.ledger.candidates[key.net];
        let name = key.to_string();
        let recipe = if key.full { &plan.full } else { &plan.proxy };
        Work {
            id: JobId(name.replace([' ', ','], "-")),
            trial: None,
            job: Job::Train(TrainJob {
                net: self.session.net(&name, spec),
                data: self.session.data_job(),
                recipe: recipe.clone(),
                seed: plan.seed.wrapping_add(u64::from(key.seed)),
                trial: key.net as u64,
                threads: plan.threads,
                cut: None,
                weights_out: None,
                checkpoint: Some(self.session.dir().checkpoint(&name)),
            }),
            name,
        }
    }

    /// What a training costs beside others: the full ones come first, and the larger networks.
    fn cost(&self, key: RunKey) -> (bool, u64) {
        let (spec, _) = &self.ledger.candidates[key.net];
        let graph = evaluate::graph(&self.session.net("", spec));
        (key.full, graph.map_or(0, |g| cost(&g).macs))
    }
}
