//! `linear:FILE`: a latency is a bias plus coefficients times features of the network.
//!
//! The file is TOML:
//!
//! ```toml
//! kind = "linear"
//! device = "Some board"
//! engine = "ONNX Runtime, one thread"
//! error = 0.08                  # relative error that its maker found (optional)
//! bias_ms = 0.05
//!
//! [coefficients]                # milliseconds per unit of the feature
//! "conv.macs" = 2.5e-8
//! "pointwise_conv.macs" = 2.0e-8
//! "depthwise_conv.bytes" = 1.5e-7
//! "linear.params" = 1.0e-7
//! "add.count" = 0.002
//! ```
//!
//! A feature is `KIND.FIELD`. Kinds are those of `table:`. Fields, summed over the layers of the
//! kind: `count` (layers), `macs` (multiply-accumulates), `params` (values of kernel and bias after
//! batch norm is folded in), `bytes` (float32 inputs, outputs and parameters), `inputs` and
//! `outputs` (values read and written). A feature that is not listed has coefficient 0.
//!
//! `mnas device calibrate` writes such files. One that it judged too far off has a line
//! `unfit = "why"` and is not opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mnas_net::Graph;
use serde::{Deserialize, Serialize};

use super::predict::{
    FIELDS, KINDS, PredictError, TableError, check_error, check_kind, check_latency, check_number,
    info, layers, path_of, predict_all, read,
};
use super::{Candidate, Device, DeviceError, DeviceInfo, DeviceKind, Measured};
use crate::measure::MeasurePlan;

const SCHEME: &str = "linear";
const USAGE: &str = "linear:FILE   predicts from a linear model of layer features (TOML)";

pub(super) struct LinearKind;

impl DeviceKind for LinearKind {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn describe(&self) -> &'static str {
        USAGE
    }

    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError> {
        let path = path_of(rest, SCHEME, USAGE)?;
        let (model, hash): (LinearModel, String) = read(&path)?;
        if let Err(source) = model.check_usable() {
            return Err(DeviceError::Table { path, source });
        }
        let (device, engine) = (model.device.clone(), model.engine.clone());
        let info = info(SCHEME, &path, device, engine, hash);
        Ok(Box::new(Linear { path, model, info }))
    }

    fn probe(&self) -> Vec<DeviceInfo> {
        vec![]
    }
}

/// A latency as a linear function of a network's layers, as `linear:FILE` reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearModel {
    /// `linear`.
    pub kind: String,
    /// The hardware that the latencies are of.
    pub device: String,
    /// The engine that they are of.
    pub engine: String,
    /// Mean relative error on networks kept out of the fit (0.05 = 5 %).
    pub error: Option<f64>,
    /// Why the model must not be used, where it was judged so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfit: Option<String>,
    /// Milliseconds of a network without layers.
    pub bias_ms: f64,
    /// Milliseconds per unit of each feature `KIND.FIELD`.
    pub coefficients: BTreeMap<String, f64>,
}

impl LinearModel {
    /// The word of the `kind` line.
    pub(crate) const KIND: &'static str = SCHEME;

    /// Reads a model from TOML.
    ///
    /// # Errors
    /// [`TableError`] with what is wrong and where.
    pub fn from_toml(text: &str) -> Result<Self, TableError> {
        let model: Self = toml::from_str(text)?;
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result<(), TableError> {
        check_kind(&self.kind, SCHEME)?;
        check_error(self.error)?;
        check_number("bias_ms", self.bias_ms, true, "a finite number")?;
        for (name, coefficient) in &self.coefficients {
            let known = name
                .split_once('.')
                .is_some_and(|(kind, field)| KINDS.contains(&kind) && FIELDS.contains(&field));
            if !known {
                return Err(TableError::Feature { name: name.clone() });
            }
            check_number(name, *coefficient, true, "a finite number")?;
        }
        Ok(())
    }

    fn check_usable(&self) -> Result<(), TableError> {
        self.check()?;
        match &self.unfit {
            Some(reason) => Err(TableError::Unfit {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Milliseconds of these features; may be no latency (0 or less) where coefficients are
    /// negative.
    pub fn milliseconds(&self, features: &BTreeMap<String, u64>) -> f64 {
        let terms = self.coefficients.iter().map(|(name, coefficient)| {
            coefficient * features.get(name).copied().unwrap_or(0) as f64
        });
        self.bias_ms + terms.sum::<f64>()
    }

    /// The latency of a network in milliseconds; `name` stands for the model in the error.
    pub(super) fn predict(&self, name: &Path, graph: &Graph) -> Result<f64, PredictError> {
        check_latency(name, self.milliseconds(&features(graph)))
    }
}

/// Every feature of a network, those that are 0 left out.
pub(crate) fn features(graph: &Graph) -> BTreeMap<String, u64> {
    features_of(graph, |_| true)
}

/// As [`features`], of the layers whose nodes `wanted` takes by name.
pub(crate) fn features_of(graph: &Graph, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for layer in layers(graph).iter().filter(|l| wanted(&l.node)) {
        for (field, value) in FIELDS.iter().zip(layer.features) {
            if value > 0 {
                *sums.entry(format!("{}.{field}", layer.kind)).or_insert(0) += value;
            }
        }
    }
    sums
}

struct Linear {
    path: PathBuf,
    model: LinearModel,
    info: DeviceInfo,
}

impl Device for Linear {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        predict_all(candidates, plan, self.model.error, |g| {
            self.model.predict(&self.path, g)
        })
    }
}
