//! Which network next, and what is known so far. Pure: no I/O, no clock, no threads.
//!
//! A [`Space`] is a network's text with holes; a sample is one index per hole. A [`Controller`] sees
//! decisions and rewards only. An [`Objective`] turns accuracy and latency into a reward. What
//! happened is a list of [`Event`]s; a [`Study`] is their fold, and everything that reads a study
//! (resume, report, dashboard) reads the fold.

mod controller;
mod early_stop;
mod event;
pub mod front;
mod objective;
mod space;
mod study;
mod trial;
mod utc;

pub use controller::{
    ALGORITHMS, Algorithm, BuildError, Controller, ControllerSpec, Diagnostics, Network,
    Observation, RestoreError, Setting, Setup, build,
};
pub use early_stop::{EarlyStop, Forecast};
pub use event::{
    Event, FinalEntry, FinalKind, FinalOutcome, FinalResult, Int8Accuracy, Int8Outcome, Proposal,
    VERSION,
};
pub use objective::{Objective, ObjectiveKind};
pub use space::{Decision, Images, Space, SpaceError, SpaceErrorKind, Tokens};
pub use study::{Batch, Counts, FoldError, Retry, Stale, Study, Target};
pub use trial::{
    CurvePoint, Failure, FailureKind, LatencyRecord, LatencySource, Limit, Metrics, Outcome, Trial,
};
pub use utc::utc;
