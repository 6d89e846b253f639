//! Latency predictors for a device: fitted to what was measured on it, judged on networks kept out.

mod fit;
mod nnls;

pub use fit::{Observation, Term, fit_linear, leave_one_out};
