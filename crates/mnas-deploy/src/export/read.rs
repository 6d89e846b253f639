//! Reads back what a model file says about itself: shape of the image, number of outputs, classes
//! and normalisation. Files of other exporters are read too, as far as they have one float32 image
//! and one float32 answer.

use mnas_net::Shape;
use prost::Message;
use serde::de::DeserializeOwned;

use super::onnx::proto::{ModelProto, StringEntry, ValueInfo};
use super::tflite::read as tflite;
use super::tflite::schema::{TensorKind, field};
use super::{Format, ModelFile, ModelMeta, RESERVED_KEYS};

/// Why a model file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither ONNX nor TFLite.
    #[error("neither an ONNX nor a TFLite file: {0}")]
    Format(#[from] prost::DecodeError),
    /// A file that is cut off or damaged.
    #[error("the {format} file is damaged: it has no {what}")]
    Damaged {
        /// What the file is by its first bytes.
        format: Format,
        /// What was looked for.
        what: &'static str,
    },
    /// A model of another kind than one image in, one answer out.
    #[error("{what} is not one float32 tensor of fixed shape [1, ...]{found}")]
    Signature {
        /// Which end of the model.
        what: &'static str,
        /// What was found, with a leading comma, or nothing.
        found: String,
    },
    /// Metadata that should be JSON.
    #[error("metadata {key} is not what mnas writes: {source}")]
    Metadata {
        /// The entry's key.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Recognises a model file by its contents and reads its shapes and metadata.
///
/// A file without mnas metadata gives an empty [`ModelMeta`].
///
/// # Errors
/// [`ReadError`] where the bytes are neither format, damaged, or a model of another kind.
pub fn read_model(bytes: Vec<u8>) -> Result<(ModelFile, ModelMeta), ReadError> {
    if tflite::is_tflite(&bytes) {
        read_tflite(bytes)
    } else {
        read_onnx(bytes)
    }
}

fn read_tflite(bytes: Vec<u8>) -> Result<(ModelFile, ModelMeta), ReadError> {
    let format = Format::Tflite;
    let damaged = |what| ReadError::Damaged { format, what };
    let model = tflite::model(&bytes).ok_or_else(|| damaged("model"))?;
    let end = |direction, what| {
        let (shape, kind) = tflite::end(model, direction).ok_or_else(|| damaged(what))?;
        let shape: Option<Vec<usize>> = shape.iter().map(|d| usize::try_from(*d).ok()).collect();
        let is_float = kind == TensorKind::Float32 as i8;
        Ok::<_, ReadError>(shape.filter(|_| is_float))
    };
    let input = image(end(field::subgraph::INPUTS, "input")?.as_deref())?;
    let [h, w, c] = input;
    let outputs = answer(end(field::subgraph::OUTPUTS, "output")?.as_deref())?;
    let meta = match tflite::metadata(model, super::tflite::METADATA_NAME) {
        Some(json) => parse("mnas", json)?,
        None => ModelMeta::default(),
    };
    let file = ModelFile {
        format,
        bytes,
        input: Shape::new(h, w, c),
        outputs,
    };
    Ok((file, meta))
}

fn read_onnx(bytes: Vec<u8>) -> Result<(ModelFile, ModelMeta), ReadError> {
    let format = Format::Onnx;
    let model = ModelProto::decode(&*bytes)?;
    let what = "graph";
    let graph = model.graph.ok_or(ReadError::Damaged { format, what })?;
    // Older files list their weights among the inputs.
    let is_constant = |v: &&ValueInfo| graph.initializer.iter().any(|t| t.name == v.name);
    let inputs: Vec<&ValueInfo> = graph.input.iter().filter(|v| !is_constant(v)).collect();
    let only = |list: &[&ValueInfo]| match list {
        [one] => one.float_shape(),
        _ => None,
    };
    let [c, h, w] = image(only(&inputs).as_deref())?;
    let outputs: Vec<&ValueInfo> = graph.output.iter().collect();
    let outputs = answer(only(&outputs).as_deref())?;
    let meta = onnx_meta(&model.metadata_props)?;
    let file = ModelFile {
        format,
        bytes,
        input: Shape::new(h, w, c),
        outputs,
    };
    Ok((file, meta))
}

/// The three extents after the leading 1.
fn image(shape: Option<&[usize]>) -> Result<[usize; 3], ReadError> {
    match shape {
        Some(&[1, a, b, c]) if a > 0 && b > 0 && c > 0 => Ok([a, b, c]),
        other => Err(signature("input", other)),
    }
}

/// The number of values after the leading 1.
fn answer(shape: Option<&[usize]>) -> Result<usize, ReadError> {
    let product = |rest: &[usize]| rest.iter().try_fold(1usize, |a, b| a.checked_mul(*b));
    match shape {
        Some([1, rest @ ..]) => product(rest).ok_or_else(|| signature("output", shape)),
        other => Err(signature("output", other)),
    }
}

fn signature(what: &'static str, found: Option<&[usize]>) -> ReadError {
    let found = found.map_or(String::new(), |s| format!(", but {s:?}"));
    ReadError::Signature { what, found }
}

fn onnx_meta(entries: &[StringEntry]) -> Result<ModelMeta, ReadError> {
    let find = |key: &str| entries.iter().find(|e| e.key == key).map(|e| &*e.value);
    let mut meta = ModelMeta {
        name: find("name").unwrap_or_default().into(),
        ..ModelMeta::default()
    };
    // Files of other exporters may use these keys for something else; all of them only mnas does.
    if RESERVED_KEYS.iter().all(|key| find(key).is_some()) {
        let list = |key: &str| find(key).unwrap_or("[]").as_bytes();
        meta.classes = parse("classes", list("classes"))?;
        meta.normalize_mean = parse("normalize_mean", list("normalize_mean"))?;
        meta.normalize_std = parse("normalize_std", list("normalize_std"))?;
    }
    let extra = entries.iter().filter(|e| !RESERVED_KEYS.contains(&&*e.key));
    meta.extra = extra.map(|e| (e.key.clone(), e.value.clone())).collect();
    Ok(meta)
}

fn parse<T: DeserializeOwned>(key: &str, json: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(json).map_err(|source| ReadError::Metadata {
        key: key.into(),
        source,
    })
}
