//! Linux: scheduler affinity, `getrusage`, `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Pid 0 is the calling thread to the scheduler.
const THIS_THREAD: Pid = Pid::from_raw(0);

pub(super) fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(THIS_THREAD) else {
        return vec![];
    };
    (0..CpuSet::count())
        .filter(|core| set.is_set(*core).unwrap_or(false))
        .collect()
}

pub(super) fn pin_thread(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(THIS_THREAD, &set)?)
}

#[cfg(target_os = "linux")]
pub(super) fn involuntary_switches() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    u64::try_from(usage.involuntary_context_switches()).ok()
}

/// Android's C library counts by process only; the kernel's file counts by thread.
#[cfg(target_os = "android")]
pub(super) fn involuntary_switches() -> Option<u64> {
    parse_switches(&fs::read_to_string("/proc/thread-self/status").ok()?)
}

pub(super) fn cpu_pressure() -> Option<Duration> {
    parse_pressure(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

pub(super) fn stolen_time(core: usize) -> Option<Duration> {
    let ticks = parse_steal(&fs::read_to_string("/proc/stat").ok()?, core)?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

pub(super) fn cpu_model() -> Option<String> {
    parse_model(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

/// The line `nonvoluntary_ctxt_switches: 12`.
#[cfg(any(test, target_os = "android"))]
fn parse_switches(text: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    value.trim().parse().ok()
}

/// The total of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`, in microseconds.
fn parse_pressure(text: &str) -> Option<Duration> {
    let line = text.lines().find(|l| l.starts_with("some "))?;
    let total = line
        .split_whitespace()
        .find_map(|f| f.strip_prefix("total="))?;
    Some(Duration::from_micros(total.parse().ok()?))
}

/// The eighth counter of the line `cpuN user nice system idle iowait irq softirq steal ...`, in
/// clock ticks.
fn parse_steal(text: &str, core: usize) -> Option<u64> {
    let label = format!("cpu{core}");
    let line = text
        .lines()
        .find(|l| l.split_whitespace().next() == Some(&label))?;
    line.split_whitespace().nth(8)?.parse().ok()
}

/// `model name` of x86; ARM kernels name the machine under `Model` or `Hardware`, if at all.
fn parse_model(text: &str) -> Option<String> {
    ["model name", "Model", "Hardware"].iter().find_map(|key| {
        text.lines().find_map(|l| {
            let (k, v) = l.split_once(':')?;
            (k.trim() == *key && !v.trim().is_empty()).then(|| v.trim().to_string())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read_as_documented() {
        let pressure = "some avg10=1.00 avg60=0.50 avg300=0.10 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(parse_pressure(pressure), Some(Duration::from_millis(2500)));
        assert_eq!(parse_pressure("full total=9"), None);
        let stat =
            "cpu  1 2 3 4 5 6 7 80 9 10\ncpu1 1 2 3 4 5 6 7 8 9 10\ncpu10 1 2 3 4 5 6 7 42 9 10\n";
        assert_eq!(parse_steal(stat, 1), Some(8));
        assert_eq!(parse_steal(stat, 10), Some(42));
        assert_eq!(parse_steal(stat, 2), None);
        assert_eq!(
            parse_model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").as_deref(),
            Some("Some CPU @ 2 GHz")
        );
        assert_eq!(
            parse_model("BogoMIPS: 50\nModel : Some Board\n").as_deref(),
            Some("Some Board")
        );
        assert_eq!(parse_model("BogoMIPS: 50\n"), None);
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(parse_switches(&status).is_some());
        assert_eq!(parse_switches("voluntary_ctxt_switches:\t3\n"), None);
    }
}
