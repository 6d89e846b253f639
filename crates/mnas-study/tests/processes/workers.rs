//! Workers are reused, restarted, told apart by their deaths, and never outlive their parent.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mnas_search::FailureKind;
use mnas_study::{
    Attempt, Executor, ExecutorError, Job, JobFailure, JobId, JobOutput, LocalProcesses, Report,
    Verdict,
};

const LONG: Duration = Duration::from_secs(60);

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn processes(workers: usize) -> LocalProcesses {
    LocalProcesses::new(this_program(), vec!["scripted-worker".into()], workers)
}

fn attempt(script: &str, number: u32, seconds_max: Option<f64>) -> Attempt {
    let job = Job::OpenDevice(script.into());
    Attempt {
        id: JobId(script.into()),
        number,
        job,
        seconds_max,
    }
}

/// The end of the one job under way.
fn end(executor: &mut LocalProcesses) -> Verdict {
    loop {
        for Report { verdict, .. } in executor.poll(LONG).unwrap() {
            if !matches!(verdict, Verdict::Progress(_)) {
                return verdict;
            }
        }
    }
}

fn process_id(verdict: &Verdict) -> u32 {
    let Verdict::Done(JobOutput::Device(device)) = verdict else {
        panic!("{verdict:?}")
    };
    device.name.parse().unwrap()
}

/// Process id of the worker of an endless job, once it has begun.
fn endless_id(executor: &mut LocalProcesses) -> u32 {
    let reports = executor.poll(LONG).unwrap();
    let Verdict::Progress(progress) = &reports[0].verdict else {
        panic!("{reports:?}")
    };
    progress.fraction as u32
}

/// Waits for a process that isn't a child of this one, or has been waited for, to be gone.
pub(crate) fn await_gone(id: u32) {
    let deadline = Instant::now() + LONG;
    let alive = || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status"));
        // A zombie has ended; whoever adopted it has yet to look.
        status.is_ok_and(|s| !s.contains("State:\tZ"))
    };
    while alive() {
        assert!(Instant::now() < deadline, "process {id} lives on");
        std::thread::yield_now();
    }
}

pub(crate) fn a_worker_is_reused() {
    let mut executor = processes(1);
    let mut ids = vec![];
    for number in 1..=3 {
        executor.submit(attempt("who", number, None));
        ids.push(process_id(&end(&mut executor)));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    drop(executor);
    await_gone(ids[0]);
}

pub(crate) fn a_panic_is_a_crash_and_gets_a_fresh_worker() {
    let mut executor = processes(1);
    executor.submit(attempt("who", 1, None));
    let before = process_id(&end(&mut executor));
    executor.submit(attempt("panic", 1, None));
    let crashed = Verdict::Crashed {
        message: "as the script says".into(),
    };
    assert_eq!(end(&mut executor), crashed);
    executor.submit(attempt("who", 2, None));
    assert_ne!(process_id(&end(&mut executor)), before);
    await_gone(before);
}

pub(crate) fn deaths_are_told_apart() {
    let mut executor = processes(1);
    let mut check = |script: &str, expected: &dyn Fn(&Verdict) -> bool| {
        executor.submit(attempt(script, 1, None));
        let verdict = end(&mut executor);
        assert!(expected(&verdict), "{script}: {verdict:?}");
        // The next job finds a worker.
        executor.submit(attempt("who", 1, None));
        process_id(&end(&mut executor));
    };
    check(
        "abort",
        &|v| matches!(v, Verdict::Crashed { message } if message.contains("the last words")),
    );
    check(
        "exit",
        &|v| matches!(v, Verdict::Crashed { message } if message.contains("exit status: 3")),
    );
    check(
        "killed",
        &|v| matches!(v, Verdict::Lost { message } if message.contains("signal: 9")),
    );
    check(
        "allocation",
        &|v| matches!(v, Verdict::Failed(JobFailure::Net(f)) if f.kind == FailureKind::OutOfMemory),
    );
}

pub(crate) fn a_late_job_is_ended() {
    let mut executor = processes(1);
    executor.submit(attempt("endless", 1, Some(0.3)));
    let id = endless_id(&mut executor);
    assert_eq!(end(&mut executor), Verdict::TimedOut { seconds: 0.3 });
    await_gone(id);
    executor.submit(attempt("who", 1, Some(60.0)));
    assert_ne!(process_id(&end(&mut executor)), id);
}

pub(crate) fn a_cancelled_job_is_ended() {
    let mut executor = processes(1);
    executor.submit(attempt("endless", 1, None));
    executor.submit(attempt("never", 1, None));
    let id = endless_id(&mut executor);
    executor.cancel_all();
    await_gone(id);
    assert!(executor.poll(LONG).unwrap().is_empty());
    executor.submit(attempt("who", 1, None));
    process_id(&end(&mut executor));
}

pub(crate) fn workers_run_side_by_side() {
    let mut executor = processes(2);
    executor.submit(attempt("endless", 1, None));
    executor.submit(attempt("who", 1, None));
    let (mut endless, mut other) = (None, None);
    while endless.is_none() || other.is_none() {
        for report in executor.poll(LONG).unwrap() {
            match &report.verdict {
                Verdict::Progress(p) => endless = Some(p.fraction as u32),
                done => other = Some(process_id(done)),
            }
        }
    }
    assert_ne!(endless, other);
    drop(executor);
    await_gone(endless.unwrap());
    await_gone(other.unwrap());
}

/// However its parent ends, a worker's input ends with it, and so does the worker, although it is
/// in the middle of an endless job.
pub(crate) fn a_worker_ends_with_its_input() {
    let mut worker = Command::new(this_program())
        .arg("scripted-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = worker.stdin.take().unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "{\"hello\":{\"protocol\":1}}"
    );
    writeln!(
        stdin,
        "{{\"do\":{{\"id\":\"x\",\"attempt\":1,\"job\":{{\"open_device\":\"endless\"}}}}}}"
    )
    .unwrap();
    let progress = lines.find(|l| l.as_ref().unwrap().starts_with("{\"progress\""));
    assert!(progress.is_some());
    drop(stdin);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}

pub(crate) fn what_is_no_worker_is_refused() {
    let refused = |program: PathBuf, args: &[&str]| {
        let args = args.iter().map(|a| a.to_string()).collect();
        let mut executor = LocalProcesses::new(program, args, 1);
        executor.submit(attempt("who", 1, None));
        loop {
            match executor.poll(LONG) {
                Ok(reports) => assert!(reports.is_empty(), "{reports:?}"),
                Err(error) => return error,
            }
        }
    };
    let missing = refused("no/such/program".into(), &[]);
    assert!(
        matches!(missing, ExecutorError::Start { .. }),
        "{missing:?}"
    );
    let mute = refused("sh".into(), &["-c", "echo no worker >&2; exit 1"]);
    assert!(matches!(mute, ExecutorError::Protocol { .. }), "{mute:?}");
    assert!(mute.to_string().contains("no worker"), "{mute}");
    let other = refused(this_program(), &["old-worker"]);
    assert!(other.to_string().contains("protocol 999, not 1"), "{other}");
}
