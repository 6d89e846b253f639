//! Where trials are trained, as a user types it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mnas_study::{ClusterPlan, ExecutorPlan, RayPlan, SlurmPlan};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Config;
use crate::exit::CommandError;

/// Where trials are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExecutorName {
    /// Processes of this machine.
    Local,
    /// Jobs of a Slurm cluster.
    Slurm,
    /// Jobs of a Ray cluster.
    Ray,
}

/// How a cluster is used.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterConfig {
    /// Trials per job of the cluster; by default as many as keep its overhead under a tenth.
    pub per_job: Option<usize>,
    /// Measure latencies at this machine and not by jobs of the cluster. Default: true where a
    /// table or model predicts them.
    pub measure_here: Option<bool>,
}

/// How jobs are submitted to Slurm.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlurmConfig {
    /// Partition; the cluster's default without it.
    pub partition: Option<String>,
    /// Account that is charged.
    pub account: Option<String>,
    /// Time limit of a job in minutes.
    pub minutes: Option<u64>,
    /// Further arguments of sbatch, as "--gpus=1".
    #[serde(default)]
    pub args: Vec<String>,
    /// Further arguments of sbatch for jobs that measure (default: "--exclusive"), as
    /// "--gres=phone:1".
    pub measure_args: Option<Vec<String>>,
    /// Where mnas lies on the nodes; by default where it lies here.
    pub program: Option<PathBuf>,
}

/// How jobs are submitted to Ray.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RayConfig {
    /// Address of the head's dashboard (default: "http://127.0.0.1:8265").
    pub address: Option<String>,
    /// GPUs of a job that trains.
    pub gpus: Option<f64>,
    /// Custom resources of a job that trains.
    #[serde(default)]
    pub resources: BTreeMap<String, f64>,
    /// Custom resources of a job that measures, as phone = 1.
    #[serde(default)]
    pub measure_resources: BTreeMap<String, f64>,
    /// Labels that nodes must have.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where mnas lies on the nodes; it is uploaded without it.
    pub program: Option<PathBuf>,
}

/// Where Ray's dashboard listens unless told otherwise.
const RAY_ADDRESS: &str = "http://127.0.0.1:8265";

impl Config {
    /// The executor asked for. `predicted` tells whether latencies are predicted.
    pub(crate) fn executor(&self, predicted: bool) -> Result<ExecutorPlan, CommandError> {
        let name = self.executor.unwrap_or(ExecutorName::Local);
        let unused = |part: &str| {
            let message = format!("[{part}] is given, but executor isn't {part:?}");
            Err(CommandError::usage(message))
        };
        if self.slurm != SlurmConfig::default() && name != ExecutorName::Slurm {
            return unused("slurm");
        }
        if self.ray != RayConfig::default() && name != ExecutorName::Ray {
            return unused("ray");
        }
        let cluster = ClusterPlan {
            per_job: self.cluster.per_job,
            measure_here: self.cluster.measure_here.unwrap_or(predicted),
        };
        Ok(match name {
            ExecutorName::Local => ExecutorPlan::Local,
            ExecutorName::Slurm => {
                let c = self.slurm.clone();
                let slurm = SlurmPlan {
                    partition: c.partition,
                    account: c.account,
                    minutes: c.minutes,
                    args: c.args,
                    // A node to itself: nothing else disturbs what is measured there.
                    measure_args: c.measure_args.unwrap_or_else(|| vec!["--exclusive".into()]),
                    program: c.program,
                };
                ExecutorPlan::Slurm { slurm, cluster }
            }
            ExecutorName::Ray => {
                let c = self.ray.clone();
                let ray = RayPlan {
                    address: c.address.unwrap_or_else(|| RAY_ADDRESS.into()),
                    gpus: c.gpus.unwrap_or(0.0),
                    resources: c.resources,
                    measure_resources: c.measure_resources,
                    labels: c.labels,
                    program: c.program,
                };
                ExecutorPlan::Ray { ray, cluster }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_is_planned_or_refused() {
        let plan = |text: &str, predicted| Config::parse(text).unwrap().executor(predicted);
        assert_eq!(plan("", true).unwrap(), ExecutorPlan::Local);
        let ExecutorPlan::Slurm { slurm, cluster } =
            plan("executor = \"slurm\"\n[slurm]\npartition = \"gpu\"", true).unwrap()
        else {
            panic!()
        };
        assert_eq!(slurm.partition.as_deref(), Some("gpu"));
        assert_eq!(slurm.measure_args, ["--exclusive"]);
        assert!(cluster.measure_here);
        let ExecutorPlan::Ray { ray, cluster } = plan("executor = \"ray\"", false).unwrap() else {
            panic!()
        };
        assert!(ray.address == RAY_ADDRESS && !cluster.measure_here);
        let error = plan("executor = \"ray\"\n[slurm]\npartition = \"gpu\"", false).unwrap_err();
        assert_eq!(
            error.message,
            "[slurm] is given, but executor isn't \"slurm\""
        );
    }
}
