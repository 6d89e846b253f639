//! Shows a study: as plain data, text, figures and one offline HTML page.
//!
//! [`View`] is computed once from the folded study and is all that the others read, so that every
//! form says the same. Nothing here reads a file, a clock or the network, and the page that
//! [`html`] gives needs neither network nor script to be read.
//!
//! ```
//! # fn show(study: &mnas_search::Study) -> Result<(), serde_json::Error> {
//! let view = mnas_report::View::of(study);
//! println!("{}", mnas_report::text(&view));
//! let page: String = mnas_report::html(&view);
//! let json = serde_json::to_string(&view)?;
//! # Ok(())
//! # }
//! ```

mod compare;
#[cfg(feature = "dashboard")]
mod dashboard;
mod figures;
mod format;
mod html;
mod markdown;
mod plot;
mod provenance;
mod text;
mod view;
mod words;

pub use compare::{
    Compared, Comparison, Difference, FinalPoint, Group, Point, Published, PublishedRow,
    compare_html, compare_text,
};
#[cfg(feature = "dashboard")]
pub use dashboard::{Dashboard, News, Options, ServeError, Standing, StudyAccess};
pub use figures::figures;
pub use html::html;
pub use markdown::markdown;
pub use plot::calibration::{Prediction, calibration_chart};
pub use text::text;
pub use view::{
    Architecture, BatchView, Belief, BeliefHistory, DeviceView, Facts, FailureView, FinalView,
    Importance, LatencyView, Stage, StageKind, State, Step, StepRole, Totals, TrialView, View,
    Winner,
};

#[cfg(test)]
mod sample;
