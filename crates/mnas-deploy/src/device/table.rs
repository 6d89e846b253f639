//! `table:FILE`: a latency is the sum of its layers' latencies, each looked up by key.
//!
//! The file is TOML:
//!
//! ```toml
//! kind = "table"
//! device = "Some phone"          # what the figures were taken on
//! engine = "TFLite, one thread"  # and with
//! error = 0.06                   # relative error that its maker found (optional)
//! overhead_ms = 0.1              # added once per network (default 0)
//! free = ["relu", "add"]         # layer kinds that cost nothing, as they are fused (default none)
//!
//! [layers]                       # milliseconds per layer
//! "conv k3 s2 32x32x3 -> 16x16x16" = 0.21
//! "depthwise_conv k3 s1 16x16x16 -> 16x16x16" = 0.05
//! "pointwise_conv k1 s1 16x16x16 -> 16x16x24" = 0.08
//! "global_avg_pool 16x16x24 -> 1x1x24" = 0.01
//! "linear 1x1x24 -> 1x1x10" = 0.004
//! ```
//!
//! A key is `KIND kK sS INPUT -> OUTPUT`: kernel and stride where the kind has them, shapes as
//! `height x width x channels`, several inputs joined by ` + `. Kinds: `conv`, `pointwise_conv` (a
//! 1x1 convolution), `depthwise_conv`, `linear`, `relu`, `relu6`, `hswish`, `sigmoid`, `add`, `mul`,
//! `concat`, `avg_pool`, `max_pool`, `global_avg_pool`. Batch norm and dropout are no layers. A
//! layer that is neither listed nor free is an error that names its key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mnas_net::Graph;
use serde::Deserialize;

use super::predict::{
    KINDS, PredictError, TableError, check_error, check_kind, check_latency, check_number, info,
    layers, path_of, predict_all, read,
};
use super::{Candidate, Device, DeviceError, DeviceInfo, DeviceKind, Measured};
use crate::measure::MeasurePlan;

const SCHEME: &str = "table";
const USAGE: &str = "table:FILE   predicts from a table of layer latencies (TOML)";

pub(super) struct TableKind;

impl DeviceKind for TableKind {
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
        Ok(Box::new(Table { path, file, info }))
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
    #[serde(default)]
    overhead_ms: f64,
    #[serde(default)]
    free: Vec<String>,
    layers: BTreeMap<String, f64>,
}

impl File {
    fn check(&self) -> Result<(), TableError> {
        check_kind(&self.kind, SCHEME)?;
        check_error(self.error)?;
        let milliseconds = "a number of milliseconds, 0 or more,";
        let overhead = self.overhead_ms;
        check_number("overhead_ms", overhead, overhead >= 0.0, milliseconds)?;
        for (key, ms) in &self.layers {
            check_number(key, *ms, *ms >= 0.0, milliseconds)?;
        }
        match self
            .free
            .iter()
            .find(|kind| !KINDS.contains(&kind.as_str()))
        {
            Some(name) => Err(TableError::LayerKind { name: name.clone() }),
            None => Ok(()),
        }
    }
}

struct Table {
    path: PathBuf,
    file: File,
    info: DeviceInfo,
}

impl Table {
    fn predict(&self, graph: &Graph) -> Result<f64, PredictError> {
        let mut ms = self.file.overhead_ms;
        for layer in layers(graph) {
            match self.file.layers.get(&layer.key) {
                Some(layer_ms) => ms += layer_ms,
                None if self.file.free.iter().any(|kind| kind == layer.kind) => {}
                None => {
                    return Err(PredictError::MissingLayer {
                        table: self.path.display().to_string(),
                        key: layer.key,
                        kind: layer.kind.into(),
                        node: layer.node,
                    });
                }
            }
        }
        check_latency(&self.path, ms)
    }
}

impl Device for Table {
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
