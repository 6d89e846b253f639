//! Runs a study: the plan, the store of events, worker processes, the search loop, resume and the
//! final stage.
//!
//! Search, training and deployment meet here and nowhere else. A study is a folder ([`StudyDir`])
//! whose store holds events; its state is the fold of them, so starting, resuming after a kill and
//! reading for a report are one path. What a job *does* is an [`Evaluator`]; *where* it runs is an
//! [`Executor`]; the loop sees neither.

mod clock;
mod dir;
mod error;
mod evaluate;
mod executor;
#[cfg(test)]
mod fakes;
mod finals;
pub mod interchange;
mod job;
mod lock;
mod plan;
mod proxy_check;
mod request;
mod run;
mod search;
mod session;
mod stop;
mod store;
mod tensorboard;
mod update;
mod view;
mod worker;

pub use clock::{Clock, SystemClock};
pub use dir::StudyDir;
pub use error::{Cause, StudyError};
pub use evaluate::int8::{
    CALIBRATION_IMAGES, CALIBRATION_RANGES, FileTestError, calibration_images, evaluate_file,
    facts as int8_facts,
};
pub use evaluate::{Evaluator, NetEvaluator, keys, write_atomically};
pub use executor::{
    Answer, Attempt, Bundle, Cluster, ClusterOptions, EvaluatorFactory, Executor, ExecutorError,
    FolderMailbox, InProcess, JobState, LocalProcesses, MailError, Mailbox, Ray, Report, Request,
    Scheduler, SchedulerError, Slurm, Split, Verdict, WorkerCommand, work_bundle,
};
pub use job::{
    Changed, DataJob, Int8Job, Int8Target, Job, JobFailure, JobId, JobOutput, JobProgress,
    MeasureJob, Measured, Net, TestJob, Tested, TrainJob, TrainedNet, WeightsFrom,
};
pub use lock::{DirLock, LockError};
pub use plan::{
    ClusterPlan, DataPlan, DevicePlan, ExecutorPlan, FailureBudget, Limits, Plan, PlanError,
    RayPlan, SlurmPlan, SpacePlan, Target,
};
pub use proxy_check::{CheckedNet, ProxyCheck, TAU_MIN, proxy_check};
pub use run::{Extend, Rig, RunEnv, Summary, create, create_in_database, run, run_on};
pub use stop::Stop;
#[cfg(feature = "postgres")]
pub use store::{Address, Postgres};
pub use store::{Light, Memory, SNAPSHOTS_KEPT, Sqlite, Store, StoreError, Stored};
pub use update::{Phase, Update};
pub use view::{
    OpenNetError, OpenedNet, best, fold, load, open_net, open_store, plan as plan_of, weights_path,
    winner,
};
pub use worker::{serve, worker_main};
