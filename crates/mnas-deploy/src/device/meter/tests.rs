//! Programs that misbehave. Each is the script `tests/data/hostile.sh` under a name that tells it
//! what to do wrong.

use std::os::unix::fs::symlink;
use std::time::Instant;

use mnas_net::{Graph, GraphBuilder, Op, Purpose, Shape, Weights, stream};
use tempfile::TempDir;

use super::*;
use crate::device::command;

const LIMITS: Limits = Limits {
    hello: Duration::from_secs(20),
    overhead: Duration::from_secs(20),
    line: 4096,
};

/// For programs that never reply.
const SHORT: Limits = Limits {
    hello: Duration::from_millis(300),
    overhead: Duration::from_millis(300),
    line: 4096,
};

fn program(how: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(how);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile.sh");
    symlink(script, &path).unwrap();
    (folder, path)
}

fn network() -> (Graph, Weights) {
    let mut b = GraphBuilder::new(Shape::new(4, 4, 3)).unwrap();
    let pool = b.add("pool", Op::GlobalAvgPool, &[b.input()]).unwrap();
    let answer = b
        .add("classifier", Op::Linear { features: 2 }, &[pool])
        .unwrap();
    let graph = b.finish(answer);
    let weights = Weights::init(&graph, &mut stream(0, 0, Purpose::Init));
    (graph, weights)
}

pub(super) fn plan() -> MeasurePlan {
    MeasurePlan {
        seconds_max: 0.1,
        ..MeasurePlan::search()
    }
}

fn measure(device: &mut Meter, names: &[&str]) -> Measured {
    let (graph, weights) = network();
    let candidates: Vec<Candidate<'_>> = names
        .iter()
        .map(|name| Candidate {
            name,
            spec: "",
            graph: &graph,
            weights: &weights,
        })
        .collect();
    device.measure(&candidates, &plan()).unwrap()
}

#[test]
fn bad_greetings_are_refused() {
    let check = |how: &str, limits, expected: &str| {
        let (_folder, path) = program(how);
        let start = Instant::now();
        let message = command::open(&path, limits).err().unwrap().to_string();
        assert!(message.contains(expected), "{how}: {message}");
        assert!(start.elapsed() < Duration::from_secs(15), "{how}");
    };
    check("deaf", SHORT, "gave no reply within 0.3 s");
    check("mute", LIMITS, "ended without a reply (exit status: 0)");
    check("babbler", LIMITS, "\"hello there\\n\": expected value");
    check("screamer", LIMITS, "a line of more than 4096 bytes");
    check("future", LIMITS, "protocol 2 instead of 1");
    check("nameless", LIMITS, "device and engine must be named");
    check("talkative", LIMITS, "unknown field `mood`");
    check("binary", LIMITS, "expected value");
}

#[test]
fn bad_replies_are_refused() {
    let check = |how: &str, limits, expected: &str| {
        let (_folder, path) = program(how);
        // Only the reply is late; a slow start of the shell is not what is tested.
        let opening = Limits {
            hello: LIMITS.hello,
            ..limits
        };
        let mut device = command::open(&path, opening).unwrap();
        let start = Instant::now();
        let message = measure(&mut device, &["one"])
            .remove(0)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{how}: {message}");
        assert!(start.elapsed() < Duration::from_secs(15), "{how}");
    };
    check("quitter", LIMITS, "ended without a reply (exit status: 3)");
    check("stuck", SHORT, "gave no reply within 0.4 s");
    check("orphaner", SHORT, "gave no reply within 0.4 s");
    check("flood", LIMITS, "\"y\\n\": expected value");
    check("half", LIMITS, "ended without a reply");
    check("few", LIMITS, "3 times instead of 50");
    check("negative", LIMITS, "-1 ms is no latency");
    check("zero", LIMITS, "0 ms is no latency");
    check("infinite", LIMITS, "number out of range");
    check("other", LIMITS, "id 99 instead of 1");
    check("both", LIMITS, "exactly one of times_ms and error");
    check("neither", LIMITS, "exactly one of times_ms and error");
    check("liar", LIMITS, "it ran model 0000000000000000 instead of");
    check("sorry", LIMITS, "reports: no board");
}

#[test]
fn a_program_that_ends_is_started_again_for_the_next_network() {
    let (_folder, path) = program("choosy");
    let mut device = command::open(&path, LIMITS).unwrap();
    let answers = measure(&mut device, &["good", "bad", "fine"]);
    let good = answers[0].as_ref().unwrap();
    // The script gives 50 times whatever it is asked for, so the first round is enough.
    assert_eq!((good.times_ms.len(), good.dropped), (50, 2));
    assert!(matches!(
        answers[1],
        Err(MeasureError::Command(CommandError::Ended { .. }))
    ));
    assert!(answers[2].is_ok());
    assert!(measure(&mut device, &["good"])[0].is_ok());
}

pub(super) fn model() -> ModelFile {
    let (graph, weights) = network();
    crate::export(&graph, &weights, Format::Onnx, &ModelMeta::default()).unwrap()
}
