//! Does the short training of a search rank networks as the full one does? Worth knowing before a
//! budget is spent on it.
//!
//! A short search of the plan finds networks as the long one will meet them, better ones among them
//! than chance draws. Ten, spread in accuracy and latency, are trained again under other seeds: twice
//! briefly, as the luck of the training that chose them mustn't count, and twice in full, as one full
//! training is a noisy judge. Kendall's tau of the two orders is the answer. (The practice of Vertex AI
//! NAS, `google/vertex-ai-nas`, proxy-task design: ten networks of an earlier search, a tau of at
//! least 0.65.)

mod ledger;
mod pick;
mod result;
#[cfg(test)]
mod tests;

use std::path::Path;

use mnas_net::cost;
use mnas_search::{Study, Trial};

use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::evaluate;
use crate::job::{Job, JobId, JobOutput, TrainJob};
use crate::plan::Plan;
use crate::run::{Rig, RunEnv, create, run_on, with_rig};
use crate::session::{Flow, JobEnd, Session, Work};
use crate::stop::Stop;
use crate::store::StoreError;
use crate::update::Update;

use ledger::{Ledger, Run, RunKey};
pub use result::{CheckedNet, ProxyCheck, TAU_MIN};

/// Seeds under which the chosen networks are trained, both ways; added to the plan's.
const SEEDS: std::ops::RangeInclusive<u32> = 1..=2;

/// Checks a plan's short training with `networks` networks. The search and what was trained are kept
/// in `dir`, so that a check that was stopped (`None`) goes on; progress is told as a study's is.
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
    let dir = StudyDir::new(dir);
    let plan = short_search(plan, networks);
    match create(dir.path(), &plan) {
        Ok(()) | Err(StudyError::Store(StoreError::Exists { .. })) => {}
        Err(error) => return Err(error),
    }
    // How many trainings run side by side changes nothing.
    let workers = plan.workers;
    let same = |stored: Plan| match (Plan { workers, ..stored }) == plan {
        true => Ok(plan),
        false => Err(StudyError::OtherCheck {
            path: dir.path().into(),
        }),
    };
    let check = with_rig(&dir, env, (stop, observer), same, |rig| {
        check_on(rig, networks)
    });
    Ok(check?.flatten())
}

/// The plan of the search that finds the networks.
fn short_search(plan: &Plan, networks: usize) -> Plan {
    Plan {
        trials: ProxyCheck::proposals(networks),
        seconds_max: None,
        finalists: 0,
        early_stop: None,
        ..plan.clone()
    }
}

/// As [`proxy_check`], on seams of one's own; the store holds a study of [`short_search`].
pub(crate) fn check_on(
    mut rig: Rig<'_>,
    networks: usize,
) -> Result<Option<ProxyCheck>, StudyError> {
    // First, so that a file that can't be used is known before the search.
    let ledger = Ledger::open(&rig.dir.proxy_check())?;
    if !run_on(rig.reborrow(), None)?.ended {
        return Ok(None);
    }
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

/// Accuracy and latency of each distinct network that was trained.
fn points(study: &Study) -> Vec<(u64, f64, f64)> {
    let distinct = study.done().filter(|t| t.duplicate_of.is_none());
    let point = |t: &Trial| Some((t.id, t.accuracy()?, t.latency_ms()?));
    distinct.filter_map(point).collect()
}

impl Check<'_> {
    fn course(&mut self, networks: usize) -> Result<Option<ProxyCheck>, StudyError> {
        let chosen = pick::spread(&points(self.session.study()), networks);
        let both = chosen.iter().flat_map(|trial| {
            SEEDS.flat_map(|seed| [RunKey::proxy(*trial, seed), RunKey::full(*trial, seed)])
        });
        if self.train(both.collect())? == Flow::Stopped {
            return Ok(None);
        }
        self.session.settle();
        let study = self.session.study();
        let check = ProxyCheck::of(self.session.plan(), study, &self.ledger, &chosen);
        Ok(Some(check))
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
        let spec = self.spec(key.trial);
        let name = key.to_string();
        let recipe = if key.full { &plan.full } else { &plan.proxy };
        Work {
            id: JobId(name.replace([' ', ','], "-")),
            trial: None,
            job: Job::Train(TrainJob {
                net: self.session.net(&name, &spec),
                data: self.session.data_job(),
                recipe: recipe.clone(),
                seed: plan.seed.wrapping_add(u64::from(key.seed)),
                trial: key.trial,
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
        let graph = evaluate::graph(&self.session.net("", &self.spec(key.trial)));
        (key.full, graph.map_or(0, |g| cost(&g).macs))
    }

    fn spec(&self, trial: u64) -> String {
        let trial = self.session.study().trial(trial);
        trial.map(|t| t.spec.clone()).unwrap_or_default()
    }
}
