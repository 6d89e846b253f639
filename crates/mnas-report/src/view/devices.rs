//! How well each source of latencies did.

use mnas_search::{FailureKind, LatencyRecord, LatencySource, Outcome, Study};
use serde::{Deserialize, Serialize};

use super::search::source;
use crate::format::median;

/// One source of latencies (a device with its engine, or a table) and how steady it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceView {
    /// The source in words.
    pub source: String,
    /// Whether it is a prediction rather than a measurement.
    pub predicted: bool,
    /// Networks timed in the search.
    pub networks: u64,
    /// Of these, measurements that scatter more than the plan allows.
    pub noisy: u64,
    /// Samples taken and thrown away.
    pub dropped: u64,
    /// Median over the networks of the interquartile range as a share of the median latency.
    pub spread: Option<f64>,
}

/// Every source in the order in which it appears, and the failures that are the device's: too
/// unstable to state a latency, and refused or broken.
pub(super) fn devices(study: &Study) -> (Vec<DeviceView>, u64) {
    let mut list: Vec<(&LatencySource, DeviceView, Vec<f64>)> = vec![];
    let mut failures = 0;
    for trial in study.trials().iter().filter(|t| t.duplicate_of.is_none()) {
        let record: &LatencyRecord = match &trial.outcome {
            Some(Outcome::Done(m)) => &m.latency,
            Some(Outcome::TooSlow { latency, .. } | Outcome::Stopped { latency, .. }) => latency,
            Some(Outcome::Failed(f)) => {
                let device = matches!(f.kind, FailureKind::Device | FailureKind::UnstableLatency);
                failures += u64::from(device);
                continue;
            }
            _ => continue,
        };
        let known = list.iter().position(|(s, ..)| **s == record.source);
        let at = known.unwrap_or_else(|| {
            list.push((&record.source, new(&record.source), vec![]));
            list.len() - 1
        });
        let (_, device, spreads) = &mut list[at];
        device.networks += 1;
        device.noisy += u64::from(record.noisy);
        device.dropped += u64::from(record.dropped);
        spreads.push(record.iqr_ms / record.median_ms);
    }
    let devices = list.into_iter().map(|(_, device, spreads)| DeviceView {
        spread: median(spreads),
        ..device
    });
    (devices.collect(), failures)
}

fn new(from: &LatencySource) -> DeviceView {
    DeviceView {
        source: source(from),
        predicted: matches!(from, LatencySource::Predicted { .. }),
        networks: 0,
        noisy: 0,
        dropped: 0,
        spread: None,
    }
}
