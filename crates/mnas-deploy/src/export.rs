//! Model files for deployment: ONNX and TFLite, written without either project's tools.
//!
//! Both formats carry the folded network ([`crate::fold_batch_norm`]) in float32 or in 8-bit integers
//! ([`crate::quantize()`]), with the facts that a user of the file needs (classes, normalisation) as
//! metadata that [`read_model`] returns. Files of either kind take the same float32 image and give
//! float32 logits, so that one replaces the other.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mnas_net::{Graph, Op, Purpose, Shape, Weights, WeightsError, stream};
use serde::{Deserialize, Serialize};

use crate::measure::Precision;
use crate::quantize::{QuantizeError, QuantizeOptions, Quantized, RangeMethod, quantize};

mod onnx;
mod read;
#[cfg(test)]
mod tests;
mod tflite;

pub use read::{ReadError, read_model};

/// A format of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// ONNX, operator set 13, channels first.
    Onnx,
    /// TensorFlow Lite, channels last.
    Tflite,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 2] = [Format::Onnx, Format::Tflite];

    /// The usual file extension, which is also the format's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Onnx => "onnx",
            Format::Tflite => "tflite",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// A name that is no format's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no model format is called {name:?}; there are onnx and tflite")]
pub struct FormatError {
    /// The name given.
    pub name: String,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(name: &str) -> Result<Self, FormatError> {
        let found = Format::ALL.into_iter().find(|f| f.extension() == name);
        found.ok_or_else(|| FormatError { name: name.into() })
    }
}

/// What a model file says about itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelMeta {
    /// The network's name.
    pub name: String,
    /// Class names in the order of the logits; empty where unknown.
    pub classes: Vec<String>,
    /// Mean per channel of pixel values in 0..1, subtracted first; empty where unknown.
    pub normalize_mean: Vec<f32>,
    /// Standard deviation per channel of pixel values in 0..1, divided by second.
    pub normalize_std: Vec<f32>,
    /// Further facts, as the network's text or the study it comes from.
    pub extra: BTreeMap<String, String>,
}

/// A model file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// How `bytes` are to be read.
    pub format: Format,
    /// The file's contents.
    pub bytes: Vec<u8>,
    /// Shape of one image; whether channels come first or last in memory is the format's affair.
    pub input: Shape,
    /// Number of output values: the number of classes of a classifier.
    pub outputs: usize,
}

/// Why a network could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The weights are not those of the graph.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network can't be quantised.
    #[error("quantisation: {0}")]
    Quantize(#[from] QuantizeError),
    /// A weight that is infinite or not a number, after batch-norm folding.
    #[error("tensor {tensor} holds {value} at {index} after batch-norm folding")]
    NotFinite {
        /// The folded tensor's name.
        tensor: String,
        /// Position in the tensor.
        index: usize,
        /// The value there.
        value: f32,
    },
    /// The metadata doesn't describe this network.
    #[error("metadata has {got} {what}; the network has {expected}")]
    Meta {
        /// What was counted.
        what: &'static str,
        /// How many the metadata has.
        got: usize,
        /// How many the network has.
        expected: usize,
    },
    /// An extra metadata key that the exporter writes itself.
    #[error("metadata key {key:?} is reserved")]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// A number that the formats can't hold.
    #[error("{node}: {what} {value} is too large for a model file")]
    TooLarge {
        /// The node's name.
        node: String,
        /// What is too large.
        what: &'static str,
        /// How large it is.
        value: usize,
    },
    /// The weights exceed what both formats can address.
    #[error("{bytes} bytes of weights exceed the {limit} that a model file can hold")]
    FileTooLarge {
        /// Size of the weights in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Writes a network as a model file. Batch norm is folded and dropout dropped on the way.
///
/// The input is one normalised float32 image named `input`: `[1, C, H, W]` in ONNX,
/// `[1, H, W, C]` in TFLite. The output is named `logits` and is `[1, C]` where the network's
/// answer is a vector of C values (a classifier's always is), else `[1, C, H, W]` or
/// `[1, H, W, C]`.
///
/// # Errors
/// [`ExportError`] where weights or metadata don't fit the graph or the format.
pub fn export(
    graph: &Graph,
    weights: &Weights,
    format: Format,
    meta: &ModelMeta,
) -> Result<ModelFile, ExportError> {
    let (graph, weights) = crate::fold_batch_norm(graph, weights)?;
    write(&graph, &weights, None, format, meta)
}

/// Writes a quantised network as a model file, with the ends of [`export`]'s: a float32 image in,
/// float32 logits out. Rounding the image is the file's first operation.
///
/// ONNX files have unsigned 8-bit activations and signed kernels, TFLite files signed both; kernels
/// are scaled per channel, biases are int32.
///
/// # Errors
/// As [`export`].
pub fn export_int8(
    quantized: &Quantized,
    format: Format,
    meta: &ModelMeta,
) -> Result<ModelFile, ExportError> {
    let (graph, weights) = (&quantized.graph, &quantized.weights);
    write(graph, weights, Some(quantized), format, meta)
}

/// Images that [`export_as`] calibrates on.
const STAND_IN_IMAGES: usize = 2;

/// Writes a network as it would be deployed at a precision, to be measured. A network to be measured
/// in 8 bits is calibrated on two seeded random images: which ranges its activations have changes
/// nothing of the time that it takes.
///
/// # Errors
/// As [`export`]; [`ExportError::Quantize`] where values overflow.
pub fn export_as(
    precision: Precision,
    graph: &Graph,
    weights: &Weights,
    format: Format,
    meta: &ModelMeta,
) -> Result<ModelFile, ExportError> {
    match precision {
        Precision::Float => export(graph, weights, format, meta),
        Precision::Int8 => {
            let mut random = stream(0, 0, Purpose::Measure);
            let values = graph.input_shape().len();
            let image = |_| (0..values).map(|_| random.normal() as f32).collect();
            let images: Vec<Vec<f32>> = (0..STAND_IN_IMAGES).map(image).collect();
            let options = QuantizeOptions {
                ranges: RangeMethod::MinMax,
                reduce_range: false,
                threads: 1,
            };
            export_int8(&quantize(graph, weights, &images, options)?, format, meta)
        }
    }
}

/// Writes a folded network.
fn write(
    graph: &Graph,
    weights: &Weights,
    int8: Option<&Quantized>,
    format: Format,
    meta: &ModelMeta,
) -> Result<ModelFile, ExportError> {
    check_meta(graph, meta)?;
    check_sizes(graph)?;
    check_weights(weights)?;
    let bytes = match format {
        Format::Onnx => onnx::write(graph, weights, int8, meta),
        Format::Tflite => tflite::write(graph, weights, int8, meta),
    };
    Ok(ModelFile {
        format,
        bytes,
        input: graph.input_shape(),
        outputs: graph.output_shape().len(),
    })
}

/// Keys of [`ModelMeta`]'s own fields in an ONNX file, which `extra` can't use.
const RESERVED_KEYS: [&str; 4] = ["name", "classes", "normalize_mean", "normalize_std"];

fn check_meta(graph: &Graph, meta: &ModelMeta) -> Result<(), ExportError> {
    let (channels, outputs) = (graph.input_shape().c, graph.output_shape().len());
    let check = |what, got: usize, expected: usize, optional: bool| {
        if got == expected || (optional && got == 0) {
            Ok(())
        } else {
            Err(ExportError::Meta {
                what,
                got,
                expected,
            })
        }
    };
    let (mean, std) = (meta.normalize_mean.len(), meta.normalize_std.len());
    check("classes", meta.classes.len(), outputs, true)?;
    check("channel means", mean, channels, true)?;
    check("channel deviations", std, channels, mean == 0)?;
    match meta.extra.keys().find(|k| RESERVED_KEYS.contains(&&***k)) {
        Some(key) => Err(ExportError::ReservedKey { key: key.clone() }),
        None => Ok(()),
    }
}

/// TFLite counts in int32. Holding every size below its limit lets both writers convert freely.
fn check_sizes(graph: &Graph) -> Result<(), ExportError> {
    for node in graph.nodes() {
        let (kernel, stride) = match node.op {
            Op::Conv { kernel, stride, .. }
            | Op::DepthwiseConv { kernel, stride, .. }
            | Op::AvgPool { kernel, stride }
            | Op::MaxPool { kernel, stride } => (kernel, stride),
            _ => (1, 1),
        };
        let sizes = [
            ("kernel", kernel),
            ("stride", stride),
            ("activation", node.shape.len()),
        ];
        for (what, value) in sizes {
            if i32::try_from(value).is_err() {
                let node = node.name.clone();
                return Err(ExportError::TooLarge { node, what, value });
            }
        }
    }
    Ok(())
}

/// Room for weights: flatbuffers and protobuf files end at 2 GiB, and the rest needs some of it.
const WEIGHT_BYTES_MAX: usize = (1 << 31) - (1 << 26);

fn check_weights(weights: &Weights) -> Result<(), ExportError> {
    let bytes = weights.tensors.values().map(|t| t.data.len() * 4).sum();
    if bytes > WEIGHT_BYTES_MAX {
        let limit = WEIGHT_BYTES_MAX;
        return Err(ExportError::FileTooLarge { bytes, limit });
    }
    for (name, tensor) in &weights.tensors {
        let bad = tensor.data.iter().position(|v| !v.is_finite());
        if let Some(index) = bad {
            let (tensor, value) = (name.clone(), tensor.data[index]);
            return Err(ExportError::NotFinite {
                tensor,
                index,
                value,
            });
        }
    }
    Ok(())
}
