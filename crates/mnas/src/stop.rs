//! Ctrl-C: the first asks for a clean stop, the second ends at once.

use mnas_study::Stop;

/// A flag that Ctrl-C (or a termination signal) sets.
pub(crate) fn stop_flag() -> Stop {
    let stop = Stop::new();
    let handler = stop.clone();
    let set = ctrlc::set_handler(move || {
        if handler.requested() {
            std::process::exit(130);
        }
        handler.request();
        eprintln!("\nstopping cleanly; Ctrl-C again to end at once");
    });
    if let Err(e) = set {
        tracing::warn!("Ctrl-C will end the program at once: {e}");
    }
    stop
}
