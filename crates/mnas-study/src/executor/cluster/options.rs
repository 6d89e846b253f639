//! How a cluster is used.

use std::path::PathBuf;

/// How a cluster is used.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterOptions {
    /// Begins the names of this study's jobs; no other study's names begin so.
    pub prefix: String,
    /// Jobs in the cluster at a time.
    pub jobs_max: usize,
    /// Cores that an attempt uses.
    pub threads: usize,
    /// Attempts per job; by default as many as keep the cluster's overhead under a tenth.
    pub per_job: Option<usize>,
    /// The folder that relative paths in jobs start from.
    pub folder: PathBuf,
    /// Milliseconds between two looks at the cluster's list of jobs.
    pub list_ms: u64,
    /// Milliseconds between two looks for answers.
    pub answers_ms: u64,
    /// Milliseconds that answers of an ended job may take to be seen here: after a bad end, and
    /// after a good one, whose answers are known to be written.
    pub grace_ms: [u64; 2],
    /// Milliseconds after which a job that was submitted must be in the list.
    pub settle_ms: u64,
    /// Milliseconds that cluster or mailbox may be out of reach before the run ends.
    pub patience_ms: u64,
}

impl ClusterOptions {
    /// What suits Slurm and Ray: a look at the list every 3 s and for answers every 0.3 s; answers
    /// of an ended job may take 10 s, or 90 s where a shared folder is slow to show them.
    pub fn new(prefix: String, jobs_max: usize, threads: usize, folder: PathBuf) -> Self {
        Self {
            prefix,
            jobs_max,
            threads,
            per_job: None,
            folder,
            list_ms: 3_000,
            answers_ms: 300,
            grace_ms: [10_000, 90_000],
            settle_ms: 60_000,
            patience_ms: 600_000,
        }
    }
}
