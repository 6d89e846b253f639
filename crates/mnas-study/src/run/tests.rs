//! The loop on a formula in place of training and measuring.

mod budgets;
mod early_stop;
mod outcomes;
mod resume;
mod simulated;
#[cfg(feature = "postgres")]
mod standby;

use mnas_search::{Event, Study};

use crate::fakes::Bench;

/// What the controller proposed and was told, trial by trial; what resume must not change.
fn course(study: &Study) -> Vec<(u64, Vec<u16>, Option<f64>)> {
    study
        .trials()
        .iter()
        .map(|t| (t.id, t.tokens.clone(), t.reward))
        .collect()
}

fn kinds(bench: &Bench) -> Vec<&'static str> {
    bench
        .store
        .events()
        .iter()
        .map(|s| kind(&s.event))
        .collect()
}

fn kind(event: &Event) -> &'static str {
    crate::store::Key::of(event).kind
}
