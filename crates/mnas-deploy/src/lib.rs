//! How fast is it: batch-norm folding, the interpreter, ONNX and TFLite export, devices and measuring.

mod agent;
mod calibrate;
mod device;
mod engine;
mod export;
mod fold;
mod fusion;
mod interpret;
mod measure;
mod os;
mod quantize;

pub use agent::{AgentError, serve_agent};
pub use calibrate::{
    Agreement, CalibrateError, Calibration, Observation, Part, Point, Role, Specimen, Term,
    calibrate, fit_linear, kendall_tau, leave_one_out, parts,
};
pub use device::host::profile;
pub use device::linear::LinearModel;
pub use device::meter::CommandError;
pub use device::predict::{PredictError, TableError};
pub use device::{
    Attached, Candidate, DEVICES, Device, DeviceError, DeviceInfo, DeviceKind, Measured,
    ModelSource, is_remote, open, open_among,
};
pub use engine::library::LibraryError;
pub use engine::profile::OperatorTime;
pub use engine::{EngineError, EngineId, InferenceEngine, UnknownEngine, engines, load_model};
pub use export::{
    ExportError, Format, FormatError, ModelFile, ModelMeta, ReadError, export, export_as,
    export_int8, read_model,
};
pub use fold::fold_batch_norm;
pub use interpret::{interpret, interpret_all};
pub use measure::compare::{Ratio, ratio};
pub use measure::{MeasureError, MeasurePlan, PlanError, Precision, Samples};
pub use quantize::{
    QuantizeError, QuantizeOptions, Quantized, RangeMethod, UnknownRangeMethod, quantize,
};
