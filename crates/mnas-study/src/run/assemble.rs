//! The executor that a plan asks for.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::RunEnv;
use crate::clock::SystemClock;
use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::executor::{
    Cluster, ClusterOptions, Executor, FolderMailbox, LocalProcesses, Ray, Scheduler, Slurm, Split,
    WorkerCommand,
};
use crate::plan::{ExecutorPlan, Plan};
use crate::store::Stored;

/// Builds it for the study in a folder, whose first event tells it apart from all others.
pub(crate) fn executor(
    plan: &Plan,
    env: &RunEnv,
    dir: &StudyDir,
    first: &Stored,
) -> Result<Box<dyn Executor>, StudyError> {
    let local = |workers| LocalProcesses::new(env.program.clone(), env.args.clone(), workers);
    let prefix = prefix(first)?;
    let command = WorkerCommand {
        program: env.program.clone(),
        args: env.args.clone(),
    };
    let (scheduler, shared): (Box<dyn Scheduler>, _) = match plan.executor.clone() {
        ExecutorPlan::Local => return Ok(Box::new(local(plan.workers))),
        ExecutorPlan::Ray { ray, cluster } => {
            (Box::new(Ray::new(ray, command, prefix.clone())), cluster)
        }
        ExecutorPlan::Slurm { slurm, cluster } => {
            (Box::new(Slurm::new(slurm, command, dir.path())), cluster)
        }
    };
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut options = ClusterOptions::new(prefix, plan.workers, plan.threads, folder);
    options.per_job = shared.per_job;
    let mailbox = Box::new(FolderMailbox::of(dir.path()));
    let far = Cluster::new(scheduler, mailbox, Arc::new(SystemClock), options);
    if shared.measure_here {
        return Ok(Box::new(Split {
            near: Box::new(local(1)),
            far: Box::new(far),
        }));
    }
    Ok(Box::new(far))
}

/// What the names of a study's jobs begin with: two studies of one plan differ in their time.
fn prefix(first: &Stored) -> Result<String, StudyError> {
    let text = serde_json::to_vec(&first.event).map_err(StudyError::PlanText)?;
    let digest = Sha256::digest(text);
    let digest: String = digest[..4].iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("mnas-{digest}"))
}
