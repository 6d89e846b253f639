//! What measuring asks of the operating system. Everything here that only Linux tells has an honest
//! answer elsewhere: "unknown", never a made-up value.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as system;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use portable as system;

use std::io;
use std::time::Duration;

/// Cores that this process may run on, ascending; empty where the system can't tell or can't pin.
pub(crate) fn allowed_cores() -> Vec<usize> {
    system::allowed_cores()
}

/// Binds the calling thread to one core for the rest of its life.
///
/// # Errors
/// What the system says; `Unsupported` where threads can't be pinned.
pub(crate) fn pin_thread(core: usize) -> io::Result<()> {
    system::pin_thread(core)
}

/// How often the scheduler took the core from the calling thread (from the process, where the
/// system doesn't count by thread); `None` = unknown.
pub(crate) fn involuntary_switches() -> Option<u64> {
    system::involuntary_switches()
}

/// Time since boot during which at least one runnable process waited for a core; `None` = unknown.
pub(crate) fn cpu_pressure() -> Option<Duration> {
    system::cpu_pressure()
}

/// Time since boot that the hypervisor kept this core from the machine; `None` = unknown.
pub(crate) fn stolen_time(core: usize) -> Option<Duration> {
    system::stolen_time(core)
}

/// Model name of the processor, else the architecture.
pub(crate) fn cpu_model() -> String {
    system::cpu_model().unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_holds_and_counters_move_forward() {
        let Some(core) = allowed_cores().last().copied() else {
            println!("skipped: threads can't be pinned on this system");
            return;
        };
        let inside = std::thread::spawn(move || {
            pin_thread(core).unwrap();
            allowed_cores()
        });
        assert_eq!(inside.join().unwrap(), vec![core]);
        let before = involuntary_switches().unwrap();
        assert!(involuntary_switches().unwrap() >= before);
        assert!(!cpu_model().is_empty());
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused() {
        assert!(pin_thread(100_000).is_err());
    }
}
