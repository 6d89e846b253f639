//! Systems other than Linux: what can't be asked is unknown.

use std::io;
use std::time::Duration;

pub(super) fn allowed_cores() -> Vec<usize> {
    vec![]
}

pub(super) fn pin_thread(_core: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The whole process's count where a thread's isn't told: it drops more samples than it must,
/// never fewer.
#[cfg(unix)]
pub(super) fn involuntary_switches() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    u64::try_from(usage.involuntary_context_switches()).ok()
}

#[cfg(not(unix))]
pub(super) fn involuntary_switches() -> Option<u64> {
    None
}

pub(super) fn cpu_pressure() -> Option<Duration> {
    None
}

pub(super) fn stolen_time(_core: usize) -> Option<Duration> {
    None
}

pub(super) fn cpu_model() -> Option<String> {
    std::env::var("PROCESSOR_IDENTIFIER").ok()
}
