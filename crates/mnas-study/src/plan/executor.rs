//! Where a study's jobs run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::PlanError;

/// Where trials are trained. Changes speed, never what is proposed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ExecutorPlan {
    /// In processes of this machine.
    #[default]
    Local,
    /// In jobs of a Slurm cluster.
    Slurm {
        /// How they are submitted.
        slurm: SlurmPlan,
        /// What all clusters have.
        cluster: ClusterPlan,
    },
    /// In jobs of a Ray cluster.
    Ray {
        /// How they are submitted.
        ray: RayPlan,
        /// What all clusters have.
        cluster: ClusterPlan,
    },
}

/// How any cluster is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterPlan {
    /// Trials per job; `None` for as many as keep the cluster's overhead under a tenth.
    pub per_job: Option<usize>,
    /// Whether latencies are measured at the machine that searches, where a phone may hang, and
    /// not by jobs of the cluster.
    pub measure_here: bool,
}

/// How jobs are submitted to Slurm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlurmPlan {
    /// Partition; the cluster's default without it.
    pub partition: Option<String>,
    /// Account that is charged.
    pub account: Option<String>,
    /// Time limit of a job in minutes.
    pub minutes: Option<u64>,
    /// Further arguments of `sbatch`, as `--gpus=1`.
    pub args: Vec<String>,
    /// Further arguments for jobs that measure, as `--exclusive` or `--gres=phone:1`. Without any,
    /// measuring is kept apart from the study's own jobs only.
    pub measure_args: Vec<String>,
    /// Where the program lies on the nodes; where it lies here without it.
    pub program: Option<PathBuf>,
}

/// How jobs are submitted to Ray.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RayPlan {
    /// Address of the head's dashboard, as `http://head:8265`.
    pub address: String,
    /// GPUs of a job that trains.
    pub gpus: f64,
    /// Resources of a job that trains.
    pub resources: BTreeMap<String, f64>,
    /// Resources of a job that measures, as `phone = 1`. Without any, measuring is kept apart from
    /// the study's own jobs only.
    pub measure_resources: BTreeMap<String, f64>,
    /// Labels that nodes must have.
    pub labels: BTreeMap<String, String>,
    /// Where the program lies on the nodes; it is uploaded without it.
    pub program: Option<PathBuf>,
}

impl ExecutorPlan {
    /// What all clusters have; `None` for this machine.
    pub fn cluster(&self) -> Option<&ClusterPlan> {
        match self {
            Self::Local => None,
            Self::Slurm { cluster, .. } | Self::Ray { cluster, .. } => Some(cluster),
        }
    }

    pub(super) fn check(&self) -> Result<(), PlanError> {
        let per_job = self.cluster().and_then(|c| c.per_job);
        if per_job == Some(0) {
            return Err(PlanError::Range {
                setting: "per_job",
                value: 0.0,
                expected: "at least 1",
            });
        }
        match self {
            Self::Ray { ray, .. } if !ray.address.starts_with("http://") => {
                Err(PlanError::RayAddress {
                    address: ray.address.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}
