//! Which inference engine runs a model file here.

use mnas_deploy::{EngineError, EngineId, Format, InferenceEngine, ModelFile, load_model};

/// Opens a model file in the first engine that is present and reads its format.
pub(crate) fn for_file(file: &ModelFile) -> Result<Box<dyn InferenceEngine>, EngineError> {
    let engines: &[EngineId] = match file.format {
        Format::Onnx => &[EngineId::Ort, EngineId::Rten],
        Format::Tflite => &[EngineId::LiteRt],
    };
    let mut result = load_model(file, engines[0]);
    for engine in &engines[1..] {
        if result.is_err() {
            result = load_model(file, *engine);
        }
    }
    result
}
