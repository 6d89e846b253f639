//! Benchmarks of mnas: never timed tests.
//!
//! `mnas-bench [--net NAME|all] [--threads N] [--seconds S] [--optimizer sgd|rmsprop] [--bf16] [--json]`
//! times training steps and single-image inference of the networks that `mnas-bench --list` names;
//! `mnas-bench --graph NAME|TEXT [--image HxWxC] [--classes N]` prints a network for another engine
//! to build.
//!
//! `benches/training_peer.py` runs the same networks in PyTorch, interleaved with this program.

use std::process::ExitCode;
use std::time::Instant;

use mnas_kernels::Isa;
use mnas_net::{Purpose, Shape, Weights, cost, stream};
use mnas_train::{Engine, EngineError, Normalize, Optimizer, SessionSpec, Storage, cpu};
use serde_json::json;

use networks::{Network, names, network};

mod networks;

/// What is asked for.
enum Task {
    List,
    Graph,
    Time,
}

/// Settings from the command line.
struct Settings {
    task: Task,
    net: String,
    image: Option<Shape>,
    classes: Option<usize>,
    threads: usize,
    seconds: f64,
    optimizer: Optimizer,
    storage: Storage,
    json: bool,
}

fn settings() -> Result<Settings, String> {
    let mut s = Settings {
        task: Task::Time,
        net: "all".into(),
        image: None,
        classes: None,
        threads: 2,
        seconds: 3.0,
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            nesterov: false,
        },
        storage: Storage::F32,
        json: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag} needs a value"));
        let bad = |v: &str| format!("{flag} can't be {v}");
        match flag.as_str() {
            "--list" => s.task = Task::List,
            "--graph" => (s.task, s.net) = (Task::Graph, value()?),
            "--net" => s.net = value()?,
            "--image" => s.image = Some(value().and_then(|v| shape(&v).ok_or(bad(&v)))?),
            "--classes" => {
                s.classes = Some(value().and_then(|v| v.parse().map_err(|_| bad(&v)))?);
            }
            "--threads" => s.threads = value().and_then(|v| v.parse().map_err(|_| bad(&v)))?,
            "--seconds" => s.seconds = value().and_then(|v| v.parse().map_err(|_| bad(&v)))?,
            "--optimizer" => match value()?.as_str() {
                "sgd" => {}
                "rmsprop" => {
                    s.optimizer = Optimizer::RmsProp {
                        decay: 0.9,
                        momentum: 0.9,
                        epsilon: 1e-3,
                    };
                }
                v => return Err(bad(v)),
            },
            "--bf16" => s.storage = Storage::Bf16,
            "--json" => s.json = true,
            // `cargo bench` adds it.
            "--bench" => {}
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    Ok(s)
}

/// A shape written as `HxWxC`.
fn shape(text: &str) -> Option<Shape> {
    let sides: Vec<usize> = text.split('x').flat_map(str::parse).collect();
    match sides[..] {
        [h, w, c] => Some(Shape::new(h, w, c)),
        _ => None,
    }
}

/// Median seconds of `f`, run for `seconds` after three runs to warm up.
fn median(
    seconds: f64,
    mut f: impl FnMut() -> Result<(), EngineError>,
) -> Result<f64, EngineError> {
    for _ in 0..3 {
        f()?;
    }
    let mut times = vec![];
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds || times.len() < 5 {
        let t = Instant::now();
        f()?;
        times.push(t.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The most memory that this process ever held, in bytes; 0 where the system doesn't say.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let number = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

fn time(network: &Network, s: &Settings) -> Result<(), EngineError> {
    let graph = &network.graph;
    let classes = network.classes();
    let spec = SessionSpec {
        batch: network.batch,
        threads: s.threads,
        optimizer: s.optimizer,
        weight_decay: 0.0,
        label_smoothing: 0.0,
        bn_momentum: 0.9,
        ema_decay: None,
        normalize: Normalize {
            mean: vec![0.5; graph.input_shape().c],
            std: vec![0.25; graph.input_shape().c],
        },
        storage: s.storage,
        seed: 1,
        trial: 0,
    };
    let mut random = stream(1, 0, Purpose::Sample);
    let pixels = network.batch * graph.input_shape().len();
    let images: Vec<u8> = (0..pixels).map(|_| random.below(256) as u8).collect();
    let labels: Vec<u16> = (0..network.batch)
        .map(|i| (i * 7 % classes) as u16)
        .collect();
    let rate = if matches!(s.optimizer, Optimizer::Sgd { .. }) {
        0.01
    } else {
        1e-3
    };
    let mut session = cpu().compile(graph, &spec)?;
    session.load(&Weights::init(graph, &mut stream(1, 0, Purpose::Init)))?;
    let mut loss = 0.0;
    let step = median(s.seconds, || {
        session
            .step(&images, &labels, rate)
            .map(|stats| loss = stats.loss)
    })?;
    let (memory, peak) = (session.memory_bytes(), peak_rss_bytes());
    let mut one = cpu().compile(graph, &SessionSpec { batch: 1, ..spec })?;
    one.load(&session.weights())?;
    let mut out = vec![];
    let image = &images[..graph.input_shape().len()];
    let infer = median(s.seconds / 4.0, || one.logits(image, &mut out))?;
    // A step costs about three forward passes, of two operations per multiply-accumulate.
    let gflops = 6.0 * cost(graph).macs as f64 * network.batch as f64 / step / 1e9;
    let (ms, rate, infer_ms) = (step * 1e3, network.batch as f64 / step, infer * 1e3);
    let (name, threads) = (&network.name, s.threads);
    if s.json {
        let line = json!({
            "net": name, "threads": threads, "storage": s.storage, "isa": Isa::detect().name(), "train_ms": ms, "images_per_second": rate,
            "gflops": gflops, "infer_ms": infer_ms, "session_bytes": memory, "peak_rss_bytes": peak, "loss": loss });
        println!("{line}");
    } else {
        println!(
            "net {name}, {threads} thread(s): {ms:.2} ms per step of {}, {rate:.0} images/s, \
             {gflops:.1} GFLOP/s, {:.1} MB; one image {infer_ms:.3} ms; loss {loss:.3}",
            network.batch,
            memory as f64 / 1e6
        );
    }
    Ok(())
}

fn run(s: &Settings) -> Result<(), String> {
    let all = matches!(s.task, Task::List) || s.net == "all";
    let chosen = if all { names() } else { vec![s.net.clone()] };
    for name in chosen {
        let network = network(&name, s.image, s.classes)?;
        match s.task {
            Task::List => println!("{name}"),
            Task::Graph => println!("{}", network.json()),
            Task::Time => time(&network, s).map_err(|e| format!("net {name}: {e}"))?,
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match settings().and_then(|s| run(&s)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("mnas-bench: {message}");
            ExitCode::from(2)
        }
    }
}
