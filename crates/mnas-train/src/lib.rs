//! How good is it: datasets, augmentation, training engines, the trainer and checkpoints.

mod augment;
mod dataset;
mod engine;
mod evaluate;
mod facts;
#[cfg(test)]
mod fake;
mod loader;
mod optimizer;
mod recipe;
mod trainer;

pub use augment::{Augment, PadFill};
pub use dataset::error::{DataError, ImageError, RawFault};
pub use dataset::split::Split;
pub use dataset::{Data, Meta, OpenOptions, load_image, open, validation_fraction};
pub use engine::{
    CpuEngine, Engine, EngineError, Normalize, Session, SessionSpec, StepStats, Storage, cpu,
};
pub use evaluate::{AnswerError, Evaluation, evaluate, evaluate_with};
pub use facts::{FactsError, TrainedFacts, keys};
pub use loader::{Batch, Loader, LoaderPlan};
pub use optimizer::Optimizer;
pub use recipe::{Recipe, RecipeError, Schedule};
pub use trainer::{Control, Cut, Point, Progress, TrainError, TrainJob, Trained, train};
