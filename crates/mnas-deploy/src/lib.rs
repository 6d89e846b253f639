//! How fast is it: batch-norm folding, the interpreter, ONNX and TFLite export, devices and measuring.

mod device;
mod engine;
mod export;
mod fold;
mod interpret;
mod measure;
mod os;

pub use device::{
    Candidate, DEVICES, Device, DeviceError, DeviceInfo, DeviceKind, ModelSource, list, open,
};
pub use device::command::CommandError;
pub use device::predict::PredictError;
pub use engine::library::LibraryError;
pub use engine::{EngineError, EngineId, InferenceEngine, load_model};
pub use measure::{MeasureError, MeasurePlan, Precision, Samples};
pub use export::{
    ExportError, Format, FormatError, ModelFile, ModelMeta, ReadError, export, read_model,
};
pub use fold::fold_batch_norm;
pub use interpret::{interpret, interpret_all};
