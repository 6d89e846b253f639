//! Latency samples, the plan they are taken by, and the protocol that takes them.
//!
//! Raw samples are kept and statistics recomputed from them, so a stored measurement can be judged
//! again by another statistic.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::device::meter::CommandError;
use crate::device::predict::PredictError;
use crate::engine::EngineError;
use crate::export::ExportError;

pub(crate) mod compare;
pub(crate) mod protocol;
pub(crate) mod statistics;

use statistics::{mean, quantile, standard_deviation};

/// Arithmetic that a network is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floating point.
    Float,
    /// 8-bit integers ([`crate::export_int8`]).
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Float => "float",
            Precision::Int8 => "int8",
        })
    }
}

/// How often and how long a network is run. Checked by [`MeasurePlan::check`] before use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurePlan {
    /// Samples to keep per network, at least [`MeasurePlan::RUNS_MIN`].
    pub runs: usize,
    /// Runs before the first kept sample, at least [`MeasurePlan::WARMUP_MIN`].
    pub warmup: usize,
    /// Rounds over all networks; each takes `runs / rounds` samples of each, in turn.
    pub rounds: usize,
    /// Bound on the time per network in seconds, warm-up included, loading excluded.
    pub seconds_max: f64,
    /// Core that the measuring thread is pinned to; `None` = the last core this process may use.
    pub core: Option<usize>,
    /// Arithmetic of the model.
    pub precision: Precision,
}

/// A plan that can't be followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A count below its minimum.
    #[error("{field} is {got}; at least {least} is needed")]
    TooFew {
        /// The plan's field.
        field: &'static str,
        /// The value given.
        got: usize,
        /// The least allowed.
        least: usize,
    },
    /// A time bound that is not a positive number.
    #[error("seconds_max is {got}; a positive number of seconds is needed")]
    Seconds {
        /// The value given.
        got: f64,
    },
}

impl MeasurePlan {
    /// Fewest kept samples: what TensorFlow Lite's `benchmark_model` takes by default (`num_runs`).
    pub const RUNS_MIN: usize = 50;
    /// Fewest runs before the first kept sample.
    pub const WARMUP_MIN: usize = 5;

    /// The plan of a search: the fewest samples that count, in five rounds, within 3 s.
    pub const fn search() -> Self {
        Self {
            runs: Self::RUNS_MIN,
            warmup: Self::WARMUP_MIN,
            rounds: 5,
            seconds_max: 3.0,
            core: None,
            precision: Precision::Float,
        }
    }

    /// The plan of a final comparison: 200 samples in ten rounds, within 30 s.
    pub const fn thorough() -> Self {
        Self {
            runs: 200,
            warmup: 10,
            rounds: 10,
            seconds_max: 30.0,
            core: None,
            precision: Precision::Float,
        }
    }

    /// Checks the plan.
    ///
    /// # Errors
    /// [`PlanError`] names the first field out of range.
    pub fn check(&self) -> Result<(), PlanError> {
        let counts = [
            ("runs", self.runs, Self::RUNS_MIN),
            ("warmup", self.warmup, Self::WARMUP_MIN),
            ("rounds", self.rounds, 1),
        ];
        for (field, got, least) in counts {
            if got < least {
                return Err(PlanError::TooFew { field, got, least });
            }
        }
        let seconds = self.seconds_max;
        // The upper bound keeps a `Duration` of it in range.
        if seconds > 0.0 && seconds < 1e9 {
            Ok(())
        } else {
            Err(PlanError::Seconds { got: seconds })
        }
    }
}

/// Latency samples of one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Samples {
    /// Kept samples in milliseconds per run, in the order taken. One value where predicted.
    pub times_ms: Vec<f64>,
    /// Samples thrown away because the core was taken from the measuring thread meanwhile.
    pub dropped: u32,
    /// Runs that each sample is the mean of; more than one where a run is too short to time.
    pub runs_per_sample: u32,
    /// Whether the machine was too busy or too unsteady for the figure to be trusted to 5 %.
    pub noisy: bool,
    /// What was noticed, for people.
    pub notes: Vec<String>,
    /// Core that the measuring thread was pinned to, where it was.
    #[serde(default)]
    pub core: Option<usize>,
    /// Whether the one value comes from a predictor instead of a run.
    pub predicted: bool,
    /// Relative error that a predictor states of itself (0.05 = 5 %).
    pub stated_error: Option<f64>,
}

impl Samples {
    /// Measured samples in milliseconds.
    ///
    /// # Panics
    /// If `times_ms` is empty.
    pub fn measured(times_ms: Vec<f64>, dropped: u32) -> Self {
        assert!(
            !times_ms.is_empty(),
            "samples without a sample have no median"
        );
        Self {
            times_ms,
            dropped,
            runs_per_sample: 1,
            noisy: false,
            notes: vec![],
            core: None,
            predicted: false,
            stated_error: None,
        }
    }

    /// A predicted latency in milliseconds.
    pub fn predicted(ms: f64, stated_error: Option<f64>) -> Self {
        Self {
            predicted: true,
            stated_error,
            ..Self::measured(vec![ms], 0)
        }
    }

    /// Median in milliseconds.
    pub fn median_ms(&self) -> f64 {
        quantile(&self.times_ms, 0.5)
    }

    /// Lower quartile in milliseconds; the steadiest statistic on a busy machine.
    pub fn p25_ms(&self) -> f64 {
        quantile(&self.times_ms, 0.25)
    }

    /// 90th percentile in milliseconds, the figure of MLPerf Mobile.
    pub fn p90_ms(&self) -> f64 {
        quantile(&self.times_ms, 0.9)
    }

    /// Interquartile range in milliseconds.
    pub fn iqr_ms(&self) -> f64 {
        quantile(&self.times_ms, 0.75) - self.p25_ms()
    }

    /// Coefficient of variation: sample standard deviation over mean; 0 for a single value.
    pub fn cv(&self) -> f64 {
        standard_deviation(&self.times_ms) / mean(&self.times_ms)
    }

    /// Share of the samples taken that were dropped, `0..=1`.
    pub fn dropped_share(&self) -> f64 {
        let dropped = f64::from(self.dropped);
        dropped / (dropped + self.times_ms.len() as f64)
    }
}

/// Why one network has no latency. Other networks of the same call may have theirs.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// Too few samples were free of interruptions within the time bound.
    #[error(
        "latency is unstable: {kept} of {needed} clean samples in {seconds:.1} s, {dropped} dropped because other work took the core (CPU pressure {}, steal {})",
        percent(.pressure), percent(.steal)
    )]
    Unstable {
        /// Clean samples taken.
        kept: usize,
        /// Samples the plan asks for.
        needed: usize,
        /// Samples thrown away.
        dropped: u32,
        /// Seconds spent on all networks of the call.
        seconds: f64,
        /// Share of the time that some process waited for a core, where the system tells.
        pressure: Option<f64>,
        /// Share of the core's time that the hypervisor took, where the system tells.
        steal: Option<f64>,
    },
    /// The network takes so long that its runs don't fit in the time bound.
    #[error("{kept} of {needed} runs of about {run_ms:.1} ms fit in {seconds_max} s")]
    TooSlow {
        /// Clean samples taken.
        kept: usize,
        /// Samples the plan asks for.
        needed: usize,
        /// Time of one run in milliseconds.
        run_ms: f64,
        /// The plan's bound in seconds per network.
        seconds_max: f64,
    },
    /// The network could not be written in the engine's format.
    #[error("export failed: {0}")]
    Export(#[from] ExportError),
    /// The engine refused the model or failed while running it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The predictor has no figure for the network.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// The measuring program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

fn percent(share: &Option<f64>) -> String {
    share.map_or("unknown".into(), |s| format!("{:.0} %", 100.0 * s))
}

#[cfg(test)]
mod tests;
