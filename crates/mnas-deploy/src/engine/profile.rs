//! Where a run's time goes, operator by operator, as the engine itself counts it.

use serde::Serialize;

use super::{EngineError, EngineId};
use crate::export::ModelFile;
#[cfg(any(feature = "litert", feature = "ort"))]
use crate::measure::statistics::quantile;

/// The time of one operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorTime {
    /// Name in the file, where the engine tells it; else the position in the run.
    pub name: String,
    /// What the engine runs, as `Conv` or `Convolution (NHWC, QC8) DWConv`.
    pub kind: String,
    /// Median over the runs, in milliseconds.
    pub ms: f64,
}

/// Image and runs of a profile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs<'a> {
    /// Image that the model runs on.
    pub(crate) image: &'a [f32],
    /// Runs before the first that counts.
    pub(crate) warmup: usize,
    /// Runs that count.
    pub(crate) runs: usize,
}

/// Runs a model and gives its operators' times, in the order in which they run.
pub(crate) fn profile(
    file: &ModelFile,
    engine: EngineId,
    runs: Runs<'_>,
) -> Result<Vec<OperatorTime>, EngineError> {
    match engine {
        #[cfg(feature = "ort")]
        EngineId::Ort => super::ort::profile(file, runs),
        #[cfg(feature = "litert")]
        EngineId::LiteRt => super::litert::profile(file, runs),
        // rten prints its times and gives them to no caller.
        _ => {
            let _ = (file, runs);
            Err(EngineError::NoProfile { engine })
        }
    }
}

/// Times of operators over runs, as they come in.
#[cfg(any(feature = "litert", feature = "ort"))]
#[derive(Debug, Default)]
pub(super) struct Times {
    operators: Vec<(String, String, Vec<f64>)>,
}

#[cfg(any(feature = "litert", feature = "ort"))]
impl Times {
    /// Notes one run of an operator.
    pub(super) fn add(&mut self, name: &str, kind: &str, ms: f64) {
        let known = self
            .operators
            .iter_mut()
            .find(|(n, k, _)| n == name && k == kind);
        match known {
            Some((_, _, times)) => times.push(ms),
            None => self.operators.push((name.into(), kind.into(), vec![ms])),
        }
    }

    /// The medians, in the order of first appearance.
    pub(super) fn medians(self) -> Vec<OperatorTime> {
        let median = |(name, kind, times): (String, String, Vec<f64>)| OperatorTime {
            name,
            kind,
            ms: quantile(&times, 0.5),
        };
        self.operators.into_iter().map(median).collect()
    }
}
