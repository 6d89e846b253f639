//! What predictors share: layers of a network by key and by feature, and the errors of their
//! tables. A predictor never guesses: what its table doesn't know is an error that names it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mnas_net::{Activation, Graph, LayerCost, Node, Op, cost};
use serde::de::DeserializeOwned;

use super::{Candidate, DeviceError, DeviceInfo, Measured};
use crate::engine::library::hash_bytes;
use crate::measure::{MeasurePlan, Precision, Samples};

/// Why a predictor has no figure for a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PredictError {
    /// A layer that the table doesn't list.
    #[error(
        "{table} has no layer {key:?} (node {node}); add it, or list its kind {kind:?} under `free`"
    )]
    MissingLayer {
        /// The table's name.
        table: String,
        /// The layer's key.
        key: String,
        /// The layer's kind.
        kind: String,
        /// The node that needs it.
        node: String,
    },
    /// A sum that is no latency.
    #[error("{table} predicts {ms} ms, which is no latency")]
    NotALatency {
        /// The table's name.
        table: String,
        /// The sum.
        ms: f64,
    },
}

/// Why a file is no predictor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TableError {
    /// Not the TOML that is expected; the message has line and column.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A table of another kind.
    #[error("kind is {got:?}; this device reads {expected:?}")]
    Kind {
        /// The kind stated.
        got: String,
        /// The kind needed.
        expected: &'static str,
    },
    /// A feature that doesn't exist.
    #[error("no feature is called {name:?}; a feature is KIND.FIELD with KIND one of {} and FIELD one of {}", KINDS.join(", "), FIELDS.join(", "))]
    Feature {
        /// The name given.
        name: String,
    },
    /// A layer kind that doesn't exist.
    #[error("no layer kind is called {name:?}; there are {}", KINDS.join(", "))]
    LayerKind {
        /// The name given.
        name: String,
    },
    /// A number out of range.
    #[error("{field} is {got}; {expected} is needed")]
    Number {
        /// Where the number stands.
        field: String,
        /// The number.
        got: f64,
        /// What it has to be.
        expected: &'static str,
    },
    /// A calibration that was judged too far off.
    #[error(
        "this calibration was judged unfit: {reason}; calibrate again, or remove the line `unfit` to use it all the same"
    )]
    Unfit {
        /// The judgement.
        reason: String,
    },
}

/// Kinds of layers. Batch norm and dropout are none: inference folds them away.
pub(crate) const KINDS: [&str; 14] = [
    "conv",
    "pointwise_conv",
    "depthwise_conv",
    "linear",
    "relu",
    "relu6",
    "hswish",
    "sigmoid",
    "add",
    "mul",
    "concat",
    "avg_pool",
    "max_pool",
    "global_avg_pool",
];

/// Features per kind: layers, multiply-accumulates, trained values after folding, bytes of
/// float32 inputs, outputs and parameters, and values read and written.
pub(crate) const FIELDS: [&str; 6] = ["count", "macs", "params", "bytes", "inputs", "outputs"];

/// One layer of a network as predictors see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) node: String,
    pub(crate) kind: &'static str,
    pub(crate) key: String,
    /// In the order of [`FIELDS`].
    pub(crate) features: [u64; 6],
}

/// The layers that the output depends on, in graph order.
pub(crate) fn layers(graph: &Graph) -> Vec<Layer> {
    let costs = cost(graph).layers;
    let macs: BTreeMap<&str, &LayerCost> = costs.iter().map(|l| (&*l.name, l)).collect();
    let needed = needed(graph);
    graph
        .nodes()
        .iter()
        .zip(needed)
        .filter(|(_, needed)| *needed)
        .filter_map(|(node, _)| {
            let kind = kind(&node.op)?;
            let macs = macs.get(&*node.name).map_or(0, |l| l.macs);
            let params = folded_params(graph, node);
            let read = node.inputs.iter().map(|i| graph.node(*i).shape.len());
            let (inputs, outputs) = (read.sum::<usize>() as u64, node.shape.len() as u64);
            let bytes = 4 * (inputs + outputs + params);
            Some(Layer {
                node: node.name.clone(),
                kind,
                key: key(graph, node, kind),
                features: [1, macs, params, bytes, inputs, outputs],
            })
        })
        .collect()
}

/// Which nodes the output depends on.
fn needed(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes().len()];
    needed[graph.output().index()] = true;
    for id in graph.ids().rev() {
        if needed[id.index()] {
            let inputs = &graph.node(id).inputs;
            inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    needed
}

fn kind(op: &Op) -> Option<&'static str> {
    Some(match op {
        Op::Input | Op::BatchNorm { .. } | Op::Dropout { .. } => return None,
        Op::Conv { kernel: 1, .. } => "pointwise_conv",
        Op::Conv { .. } => "conv",
        Op::DepthwiseConv { .. } => "depthwise_conv",
        Op::Act(Activation::Relu) => "relu",
        Op::Act(Activation::Relu6) => "relu6",
        Op::Act(Activation::HSwish) => "hswish",
        Op::Act(Activation::Sigmoid) => "sigmoid",
        Op::Add => "add",
        Op::Mul => "mul",
        Op::Concat => "concat",
        Op::AvgPool { .. } => "avg_pool",
        Op::MaxPool { .. } => "max_pool",
        Op::GlobalAvgPool => "global_avg_pool",
        Op::Linear { .. } => "linear",
    })
}

/// Values of the kernel, and of the bias that folding gives every convolution.
fn folded_params(graph: &Graph, node: &Node) -> u64 {
    let own: usize = graph
        .node_params(node)
        .iter()
        .filter(|p| p.role.trainable())
        .map(|p| p.len())
        .sum();
    let folded = match node.op {
        Op::Conv { bias: false, .. } | Op::DepthwiseConv { bias: false, .. } => node.shape.c,
        _ => 0,
    };
    (own + folded) as u64
}

/// `kind kK sS HxWxC -> HxWxC`, without the parts that a kind doesn't have.
fn key(graph: &Graph, node: &Node, kind: &str) -> String {
    let window = match node.op {
        Op::Conv { kernel, stride, .. }
        | Op::DepthwiseConv { kernel, stride, .. }
        | Op::AvgPool { kernel, stride }
        | Op::MaxPool { kernel, stride } => format!(" k{kernel} s{stride}"),
        _ => String::new(),
    };
    let inputs: Vec<String> = node
        .inputs
        .iter()
        .map(|i| graph.node(*i).shape.to_string())
        .collect();
    format!("{kind}{window} {} -> {}", inputs.join(" + "), node.shape)
}

/// Reads a predictor's file: its bytes' hash and its contents.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, String), DeviceError> {
    let bytes = fs::read(path).map_err(|source| DeviceError::Read {
        path: path.into(),
        source,
    })?;
    let hash = hash_bytes(&bytes);
    let text = String::from_utf8(bytes).map_err(|e| DeviceError::Read {
        path: path.into(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, e),
    })?;
    let table = toml::from_str(&text).map_err(|e| DeviceError::Table {
        path: path.into(),
        source: e.into(),
    })?;
    Ok((table, hash))
}

/// Checks a number that is relative error or time.
pub(super) fn check_number(
    field: &str,
    got: f64,
    ok: bool,
    expected: &'static str,
) -> Result<(), TableError> {
    if ok && got.is_finite() {
        Ok(())
    } else {
        Err(TableError::Number {
            field: field.into(),
            got,
            expected,
        })
    }
}

/// The `kind` line of a file.
pub(super) fn check_kind(got: &str, expected: &'static str) -> Result<(), TableError> {
    if got == expected {
        Ok(())
    } else {
        Err(TableError::Kind {
            got: got.into(),
            expected,
        })
    }
}

/// The stated relative error of a file.
pub(super) fn check_error(error: Option<f64>) -> Result<(), TableError> {
    let error = error.unwrap_or(0.0);
    check_number("error", error, error >= 0.0, "a relative error, as 0.05,")
}

/// The facts of a predictor.
pub(super) fn info(
    scheme: &str,
    path: &Path,
    device: String,
    engine: String,
    hash: String,
) -> DeviceInfo {
    DeviceInfo {
        name: format!("{scheme}:{}", path.display()),
        device,
        engine,
        library_hash: Some(hash),
        predicted: true,
    }
}

/// Predicts each candidate by itself.
pub(super) fn predict_all(
    candidates: &[Candidate<'_>],
    plan: &MeasurePlan,
    error: Option<f64>,
    predict: impl Fn(&Graph) -> Result<f64, PredictError>,
) -> Result<Measured, DeviceError> {
    plan.check()?;
    if plan.precision != Precision::Float {
        return Err(DeviceError::Precision {
            precision: plan.precision,
        });
    }
    let answer = |c: &Candidate<'_>| Ok(Samples::predicted(predict(c.graph)?, error));
    Ok(candidates.iter().map(answer).collect())
}

/// The path after the colon.
pub(super) fn path_of(
    rest: Option<&str>,
    scheme: &'static str,
    usage: &'static str,
) -> Result<PathBuf, DeviceError> {
    match rest {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(DeviceError::Argument { scheme, usage }),
    }
}

/// A sum of milliseconds that has to be a latency.
pub(super) fn check_latency(table: &Path, ms: f64) -> Result<f64, PredictError> {
    if ms.is_finite() && ms > 0.0 {
        Ok(ms)
    } else {
        Err(PredictError::NotALatency {
            table: table.display().to_string(),
            ms,
        })
    }
}
