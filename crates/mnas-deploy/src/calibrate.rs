//! A latency predictor for a device of one's own: measured on parts and networks of a search space,
//! fitted as a [`LinearModel`], judged on whole networks kept out of the fit.

use std::collections::BTreeMap;

use mnas_net::{Graph, Purpose, Weights, stream};

mod fit;
mod judge;
mod nnls;
mod part;

pub use fit::{Observation, Term, fit_linear, leave_one_out};
pub use judge::{Agreement, kendall_tau};
pub use part::{Part, parts};

use crate::device::linear::{LinearModel, features};
use crate::device::predict::KINDS;
use crate::device::{Candidate, Device, DeviceError};
use crate::measure::MeasurePlan;

/// What a network is measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A part of a network, for the fit.
    Part,
    /// A whole network, for the fit.
    Fit,
    /// A whole network that judges the fit.
    HeldOut,
}

impl Role {
    /// Name in files and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Part => "part",
            Role::Fit => "fit",
            Role::HeldOut => "held out",
        }
    }
}

/// A network to measure.
#[derive(Debug, Clone)]
pub struct Specimen {
    /// What reports call it.
    pub name: String,
    /// Its text; empty for a part.
    pub spec: String,
    /// Its graph.
    pub graph: Graph,
    /// What it is for.
    pub role: Role,
}

/// A measured network beside its prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What reports call it.
    pub name: String,
    /// What it was measured for.
    pub role: Role,
    /// Measured median in milliseconds.
    pub measured_ms: f64,
    /// Latency that the fitted model gives, in milliseconds.
    pub predicted_ms: f64,
    /// Whether the measurement was noisy.
    pub noisy: bool,
}

/// A fitted and judged predictor.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The model; `unfit` in it says where it must not be used.
    pub model: LinearModel,
    /// Everything that was measured.
    pub points: Vec<Point>,
    /// How well the model predicts networks that it was not fitted to.
    pub held_out: Agreement,
    /// How well multiply-accumulates alone do, fitted to the same networks.
    pub macs_only: Agreement,
    /// Networks that could not be measured, each with its reason.
    pub failures: Vec<(String, String)>,
}

/// Why there is no predictor.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The device can't be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A device that predicts.
    #[error(
        "{device} predicts latencies; a predictor is calibrated on a device that measures them"
    )]
    Predicted {
        /// The device's name.
        device: String,
    },
    /// Too little was measured.
    #[error("only {measured} of {asked} networks could be measured; the first failure: {reason}")]
    TooFew {
        /// Networks with a latency.
        measured: usize,
        /// Networks asked for.
        asked: usize,
        /// Why the first failed.
        reason: String,
    },
}

/// Networks that are measured interleaved in one call: enough for turns, few enough to lose little
/// where the machine is disturbed.
const BATCH: usize = 8;
/// Share of the networks that must have been measured.
const MEASURED_MIN: f64 = 0.8;

/// Measures `specimens` on the device, in batches in which all roles are mixed, fits a model to
/// parts and `Fit` networks and judges it on those held out. `progress` is told how many are done.
///
/// # Errors
/// [`CalibrateError`]. A model that is too far off is no error: it is marked `unfit`.
pub fn calibrate(
    device: &mut dyn Device,
    mut specimens: Vec<Specimen>,
    plan: &MeasurePlan,
    seed: u64,
    mut progress: impl FnMut(usize, usize),
) -> Result<Calibration, CalibrateError> {
    let info = device.info().clone();
    if info.predicted {
        return Err(CalibrateError::Predicted { device: info.name });
    }
    // In any other order a drift of the machine would fall on one role.
    stream(seed, 0, Purpose::Shuffle).shuffle(&mut specimens);
    let asked = specimens.len();
    let (mut measured, mut failures) = (vec![], vec![]);
    for batch in specimens.chunks(BATCH) {
        for (specimen, answer) in batch.iter().zip(measure(device, batch, plan, seed)?) {
            match answer {
                Ok(samples) => measured.push((specimen, samples.median_ms(), samples.noisy)),
                Err(e) => failures.push((specimen.name.clone(), e.to_string())),
            }
        }
        progress(measured.len() + failures.len(), asked);
    }
    let enough = measured.len() as f64 >= MEASURED_MIN * asked as f64;
    if let Some((name, why)) = failures.first().filter(|_| !enough) {
        return Err(CalibrateError::TooFew {
            measured: measured.len(),
            asked,
            reason: format!("{name}: {why}"),
        });
    }
    let (model, points) = fit_points(&info.device, &info.engine, &measured);
    let (_, by_macs) = macs_points(&measured);
    let held_out = Agreement::of(&held_out(&points));
    Ok(Calibration {
        model: LinearModel {
            error: Some(held_out.mape),
            unfit: held_out.objection(),
            ..model
        },
        held_out,
        macs_only: Agreement::of(&held_out_of(&points, &by_macs)),
        points,
        failures,
    })
}

fn measure(
    device: &mut dyn Device,
    batch: &[Specimen],
    plan: &MeasurePlan,
    seed: u64,
) -> Result<crate::Measured, DeviceError> {
    let weights: Vec<Weights> = batch
        .iter()
        .map(|s| Weights::init(&s.graph, &mut stream(seed, 0, Purpose::Init)))
        .collect();
    let candidates: Vec<Candidate<'_>> = batch
        .iter()
        .zip(&weights)
        .map(|(s, weights)| Candidate {
            name: &s.name,
            spec: &s.spec,
            graph: &s.graph,
            weights,
        })
        .collect();
    device.measure(&candidates, plan)
}

type Latency<'a> = (&'a Specimen, f64, bool);

fn fit_points(device: &str, engine: &str, measured: &[Latency<'_>]) -> (LinearModel, Vec<Point>) {
    let known: Vec<(&Latency<'_>, BTreeMap<String, u64>)> =
        measured.iter().map(|m| (m, features(&m.0.graph))).collect();
    let observation = |(m, features): &(&Latency<'_>, BTreeMap<String, u64>)| Observation {
        features: features.clone(),
        ms: m.1,
        // Whole networks are what is to be predicted.
        weight: if m.0.role == Role::Fit {
            1.0
        } else {
            PART_WEIGHT
        },
        whole: true,
    };
    let fitted: Vec<Observation> = known
        .iter()
        .filter(|(m, _)| m.0.role != Role::HeldOut)
        .map(observation)
        .collect();
    let model = fit_linear(device, engine, &device_terms(), &fitted);
    let point = |((specimen, ms, noisy), features): &(&Latency<'_>, BTreeMap<String, u64>)| Point {
        name: specimen.name.clone(),
        role: specimen.role,
        measured_ms: *ms,
        predicted_ms: model.milliseconds(features),
        noisy: *noisy,
    };
    let points = known.iter().map(point).collect();
    (model, points)
}

/// The weight of a part's relative error; a network's is 1. A part runs with warm caches and takes
/// so little time that what it costs alone says less of what it costs within a network.
const PART_WEIGHT: f64 = 0.3;

/// The unknowns of a device: arithmetic, weights and values per kind of layer, and a cost per layer.
/// What reads and writes values with hardly any arithmetic has the values' cost only.
fn device_terms() -> Vec<Term> {
    let mut terms = vec![];
    for kind in ["conv", "pointwise_conv", "depthwise_conv"] {
        for field in ["macs", "params", "inputs", "outputs"] {
            terms.push(Term::of(field, &[kind]));
        }
    }
    terms.push(Term::of("params", &["linear"]));
    terms.push(Term::of("inputs", &["global_avg_pool"]));
    for kinds in [
        &["relu", "relu6"][..],
        &["hswish"],
        &["sigmoid"],
        &["add", "mul", "concat"],
        &["avg_pool", "max_pool"],
    ] {
        terms.push(Term::of("outputs", kinds));
    }
    terms.push(Term::of("count", &KINDS));
    terms
}

/// Predictions of a model of multiply-accumulates and a bias, in the order of `measured`.
fn macs_points(measured: &[Latency<'_>]) -> (LinearModel, Vec<f64>) {
    let terms = [Term::of(
        "macs",
        &["conv", "pointwise_conv", "depthwise_conv", "linear"],
    )];
    let whole = measured.iter().filter(|m| m.0.role == Role::Fit);
    let observations: Vec<Observation> = whole
        .map(|m| Observation::of_network(&m.0.graph, m.1))
        .collect();
    let model = fit_linear("", "", &terms, &observations);
    let predict = |m: &Latency<'_>| model.milliseconds(&features(&m.0.graph));
    let predicted = measured.iter().map(predict).collect();
    (model, predicted)
}

/// Measured and predicted latencies of the networks held out.
fn held_out(points: &[Point]) -> Vec<(f64, f64)> {
    let predicted: Vec<f64> = points.iter().map(|p| p.predicted_ms).collect();
    held_out_of(points, &predicted)
}

fn held_out_of(points: &[Point], predicted: &[f64]) -> Vec<(f64, f64)> {
    let pairs = points.iter().zip(predicted);
    let judged = pairs.filter(|(p, _)| p.role == Role::HeldOut);
    judged.map(|(p, ms)| (p.measured_ms, *ms)).collect()
}

#[cfg(test)]
mod tests;
