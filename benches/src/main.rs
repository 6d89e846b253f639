//! Benchmarks of mnas: never timed tests.
//!
//! `mnas-bench [--net a|b|all] [--threads N] [--seconds S] [--optimizer sgd|rmsprop] [--json]`
//! times training steps and single-image inference of two networks:
//!
//! - **a**, a small MBConv network: 32x32 images, batch 64, 10 classes;
//! - **b**, MnasNet-B1 without its published recipe: 96x96 images, batch 16, 1000 classes.
//!
//! `benches/training_peer.py` runs the same networks in PyTorch, interleaved with this program.

use std::process::ExitCode;
use std::time::Instant;

use mnas_net::{
    Activation, Graph, GraphBuilder, GraphError, NodeId, Op, Purpose, Shape, Weights, cost, stream,
};
use mnas_train::{Engine, Normalize, Optimizer, SessionSpec, cpu};

/// One stage of inverted residuals: expansion, kernel, width, layers, stride.
type Stage = (usize, usize, usize, usize, usize);

/// A network and its batch.
struct Bench {
    name: &'static str,
    size: usize,
    batch: usize,
    classes: usize,
    stem: (usize, usize),
    /// Whether a separable convolution of 16 channels follows the stem.
    separable: bool,
    stages: &'static [Stage],
    head: usize,
}

const BENCHES: [Bench; 2] = [
    Bench {
        name: "a",
        size: 32,
        batch: 64,
        classes: 10,
        stem: (16, 1),
        separable: false,
        stages: &[(3, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 2, 2)],
        head: 160,
    },
    Bench {
        name: "b",
        size: 96,
        batch: 16,
        classes: 1000,
        stem: (32, 2),
        separable: true,
        stages: &[
            (3, 3, 24, 3, 2),
            (3, 5, 40, 3, 2),
            (6, 5, 80, 3, 2),
            (6, 3, 96, 2, 1),
            (6, 5, 192, 4, 2),
            (6, 3, 320, 1, 1),
        ],
        head: 1280,
    },
];

/// A graph in the making, with numbered names.
struct Draft {
    builder: GraphBuilder,
    count: usize,
}

impl Draft {
    fn add(&mut self, op: Op, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        self.count += 1;
        self.builder.add(&format!("n{}", self.count), op, inputs)
    }

    fn conv(&mut self, x: NodeId, k: usize, s: usize, c: usize) -> Result<NodeId, GraphError> {
        self.add(
            Op::Conv {
                kernel: k,
                stride: s,
                filters: c,
                bias: false,
            },
            &[x],
        )
    }

    fn norm(&mut self, x: NodeId, relu: bool) -> Result<NodeId, GraphError> {
        let n = self.add(Op::BATCH_NORM, &[x])?;
        if relu {
            self.add(Op::Act(Activation::Relu), &[n])
        } else {
            Ok(n)
        }
    }

    fn inverted(
        &mut self,
        x: NodeId,
        (e, k, c, s): (usize, usize, usize, usize),
    ) -> Result<NodeId, GraphError> {
        let width = self.builder.shape(x).c;
        let mut y = x;
        if e > 1 {
            y = self.conv(y, 1, 1, width * e)?;
            y = self.norm(y, true)?;
        }
        y = self.add(
            Op::DepthwiseConv {
                kernel: k,
                stride: s,
                bias: false,
            },
            &[y],
        )?;
        y = self.norm(y, true)?;
        y = self.conv(y, 1, 1, c)?;
        y = self.norm(y, false)?;
        if s == 1 && c == width {
            self.add(Op::Add, &[y, x])
        } else {
            Ok(y)
        }
    }
}

impl Bench {
    fn graph(&self) -> Result<Graph, GraphError> {
        let builder = GraphBuilder::new(Shape::new(self.size, self.size, 3))?;
        let mut d = Draft { builder, count: 0 };
        let mut x = d.conv(d.builder.input(), 3, self.stem.1, self.stem.0)?;
        x = d.norm(x, true)?;
        if self.separable {
            x = d.inverted(x, (1, 3, 16, 1))?;
        }
        for (e, k, c, layers, s) in self.stages {
            for i in 0..*layers {
                x = d.inverted(x, (*e, *k, *c, if i == 0 { *s } else { 1 }))?;
            }
        }
        x = d.conv(x, 1, 1, self.head)?;
        x = d.norm(x, true)?;
        x = d.add(Op::GlobalAvgPool, &[x])?;
        x = d.add(
            Op::Linear {
                features: self.classes,
            },
            &[x],
        )?;
        Ok(d.builder.finish(x))
    }
}

/// Settings from the command line.
struct Settings {
    net: String,
    threads: usize,
    seconds: f64,
    optimizer: Optimizer,
    json: bool,
}

fn settings() -> Result<Settings, String> {
    let mut s = Settings {
        net: "all".into(),
        threads: 2,
        seconds: 3.0,
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            nesterov: false,
        },
        json: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag} needs a value"));
        let bad = |v: &str| format!("{flag} can't be {v}");
        match flag.as_str() {
            "--net" => s.net = value()?,
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
            "--json" => s.json = true,
            // `cargo bench` adds it.
            "--bench" => {}
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    Ok(s)
}

/// Median seconds of `f`, run for `seconds` after three runs to warm up.
fn median(
    seconds: f64,
    mut f: impl FnMut() -> Result<(), mnas_train::EngineError>,
) -> Result<f64, mnas_train::EngineError> {
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

fn run(bench: &Bench, s: &Settings) -> Result<(), Box<dyn std::error::Error>> {
    let graph = bench.graph()?;
    let spec = SessionSpec {
        batch: bench.batch,
        threads: s.threads,
        optimizer: s.optimizer,
        weight_decay: 0.0,
        label_smoothing: 0.0,
        bn_momentum: 0.9,
        ema_decay: None,
        normalize: Normalize {
            mean: vec![0.5; 3],
            std: vec![0.25; 3],
        },
        seed: 1,
        trial: 0,
    };
    let mut random = stream(1, 0, Purpose::Sample);
    let pixels = bench.batch * graph.input_shape().len();
    let images: Vec<u8> = (0..pixels).map(|_| random.below(256) as u8).collect();
    let labels: Vec<u16> = (0..bench.batch)
        .map(|i| (i * 7 % bench.classes) as u16)
        .collect();
    let rate = if matches!(s.optimizer, Optimizer::Sgd { .. }) {
        0.01
    } else {
        1e-3
    };
    let mut session = cpu().compile(&graph, &spec)?;
    session.load(&Weights::init(&graph, &mut stream(1, 0, Purpose::Init)))?;
    let mut loss = 0.0;
    let step = median(s.seconds, || {
        session
            .step(&images, &labels, rate)
            .map(|stats| loss = stats.loss)
    })?;
    let memory = session.memory_bytes();
    let mut one = cpu().compile(&graph, &SessionSpec { batch: 1, ..spec })?;
    one.load(&session.weights())?;
    let mut out = vec![];
    let image = &images[..graph.input_shape().len()];
    let infer = median(s.seconds / 4.0, || one.logits(image, &mut out))?;
    let macs = cost(&graph).macs;
    // A step costs about three forward passes, of two operations per multiply-accumulate.
    let gflops = 6.0 * macs as f64 * bench.batch as f64 / step / 1e9;
    let (ms, rate) = (step * 1e3, bench.batch as f64 / step);
    let (name, threads, infer) = (bench.name, s.threads, infer * 1e3);
    if s.json {
        println!(
            "{{\"net\":\"{name}\",\"threads\":{threads},\"train_ms\":{ms:.3},\
             \"images_per_second\":{rate:.1},\"gflops\":{gflops:.1},\"infer_ms\":{infer:.3},\
             \"memory_bytes\":{memory},\"loss\":{loss:.4}}}"
        );
    } else {
        println!(
            "net {name}, {threads} thread(s): {ms:.2} ms per step of {}, {rate:.0} images/s, \
             {gflops:.1} GFLOP/s, {:.1} MB; one image {infer:.3} ms; loss {loss:.3}",
            bench.batch,
            memory as f64 / 1e6
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let s = match settings() {
        Ok(s) => s,
        Err(message) => {
            eprintln!("mnas-bench: {message}");
            return ExitCode::from(2);
        }
    };
    for bench in BENCHES.iter().filter(|b| s.net == "all" || s.net == b.name) {
        if let Err(e) = run(bench, &s) {
            eprintln!("mnas-bench: net {}: {e}", bench.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
