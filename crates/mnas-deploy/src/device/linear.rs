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
//! batch norm is folded in), `bytes` (float32 inputs, outputs and parameters). A feature that is
//! not listed has coefficient 0.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mnas_net::Graph;
use serde::Deserialize;

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
        let (file, hash): (File, String) = read(&path)?;
        if let Err(source) = file.check() {
            return Err(DeviceError::Table { path, source });
        }
        let info = info(
            SCHEME,
            &path,
            file.device.clone(),
            file.engine.clone(),
            hash,
        );
        Ok(Box::new(Linear { path, file, info }))
    }

    fn probe(&self) -> Vec<DeviceInfo> {
        vec![]
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: String,
    device: String,
    engine: String,
    error: Option<f64>,
    bias_ms: f64,
    coefficients: BTreeMap<String, f64>,
}

impl File {
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
}

/// Every feature of a network, those that are 0 left out.
pub(super) fn features(graph: &Graph) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for layer in layers(graph) {
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
    file: File,
    info: DeviceInfo,
}

impl Linear {
    fn predict(&self, graph: &Graph) -> Result<f64, PredictError> {
        let features = features(graph);
        let terms = self.file.coefficients.iter().map(|(name, coefficient)| {
            coefficient * features.get(name).copied().unwrap_or(0) as f64
        });
        check_latency(&self.path, self.file.bias_ms + terms.sum::<f64>())
    }
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
        predict_all(candidates, plan, self.file.error, |g| self.predict(g))
    }
}
