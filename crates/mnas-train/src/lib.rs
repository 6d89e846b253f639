//! How good is it: datasets, augmentation, training engines, the trainer and checkpoints.

mod engine;
mod optimizer;

pub use engine::{CpuEngine, Engine, EngineError, Normalize, Session, SessionSpec, StepStats, cpu};
pub use optimizer::Optimizer;
