//! The CPU engine against a plain double-precision reference, and its contract.

use mnas_net::{
    Activation, Graph, GraphBuilder, NodeId, Op, PaddingRule, Purpose, Shape, Stream, Weights,
    stream,
};

use super::*;
use crate::Optimizer;

mod contract;
mod golden;
mod gradients;
mod reference;
mod storage;

/// Plain gradient descent at rate 1 shows the gradient: weights before minus after.
fn plain_spec(batch: usize, channels: usize) -> SessionSpec {
    SessionSpec {
        batch,
        threads: 1,
        optimizer: Optimizer::Sgd {
            momentum: 0.0,
            nesterov: false,
        },
        weight_decay: 0.0,
        label_smoothing: 0.1,
        bn_momentum: 0.9,
        ema_decay: None,
        normalize: Normalize {
            mean: vec![0.5; channels],
            std: vec![0.25; channels],
        },
        storage: Storage::F32,
        seed: 7,
        trial: 3,
    }
}

/// `n` random images and labels for a graph.
fn batch(graph: &Graph, n: usize, seed: u64) -> (Vec<u8>, Vec<u16>) {
    let mut s = stream(seed, 0, Purpose::Sample);
    let images = (0..n * graph.input_shape().len())
        .map(|_| s.below(256) as u8)
        .collect();
    let labels = (0..n)
        .map(|_| s.below(graph.output_shape().c) as u16)
        .collect();
    (images, labels)
}

/// Weights whose batch-norm parameters and statistics are not the trivial ones.
fn weights(graph: &Graph, seed: u64) -> Weights {
    let mut s = stream(seed, 1, Purpose::Init);
    let mut w = Weights::init(graph, &mut s);
    for p in graph.params() {
        let data = &mut w.tensors.get_mut(&p.name).unwrap().data;
        match p.role {
            mnas_net::ParamRole::BnScale | mnas_net::ParamRole::BnVar => {
                data.iter_mut().for_each(|v| *v = 0.6 + s.uniform() as f32);
            }
            mnas_net::ParamRole::Bias
            | mnas_net::ParamRole::BnShift
            | mnas_net::ParamRole::BnMean => {
                data.iter_mut().for_each(|v| *v = 0.3 * s.normal() as f32);
            }
            _ => {}
        }
    }
    w
}

/// Builds graphs with short calls.
struct Draft {
    b: GraphBuilder,
    count: usize,
}

impl Draft {
    fn new(h: usize, w: usize, c: usize) -> Self {
        Self {
            b: GraphBuilder::new(Shape::new(h, w, c)).unwrap(),
            count: 0,
        }
    }

    fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.count += 1;
        self.b
            .add(&format!("n{}.{}", self.count, op.name()), op, inputs)
            .unwrap()
    }

    fn conv(&mut self, x: NodeId, kernel: usize, stride: usize, filters: usize) -> NodeId {
        self.add(
            Op::Conv {
                kernel,
                stride,
                filters,
                bias: false,
            },
            &[x],
        )
    }

    fn depthwise(&mut self, x: NodeId, kernel: usize, stride: usize) -> NodeId {
        self.add(
            Op::DepthwiseConv {
                kernel,
                stride,
                bias: false,
            },
            &[x],
        )
    }

    fn norm(&mut self, x: NodeId, act: Option<Activation>) -> NodeId {
        let n = self.add(Op::BATCH_NORM, &[x]);
        act.map_or(n, |a| self.add(Op::Act(a), &[n]))
    }

    fn squeeze(&mut self, x: NodeId, width: usize) -> NodeId {
        let c = self.b.shape(x).c;
        let p = self.add(Op::GlobalAvgPool, &[x]);
        let r = self.add(
            Op::Conv {
                kernel: 1,
                stride: 1,
                filters: width,
                bias: true,
            },
            &[p],
        );
        let r = self.add(Op::Act(Activation::Relu), &[r]);
        let e = self.add(
            Op::Conv {
                kernel: 1,
                stride: 1,
                filters: c,
                bias: true,
            },
            &[r],
        );
        let e = self.add(Op::Act(Activation::Sigmoid), &[e]);
        self.add(Op::Mul, &[x, e])
    }

    fn classify(mut self, x: NodeId, classes: usize) -> Graph {
        let p = self.add(Op::GlobalAvgPool, &[x]);
        let d = self.add(Op::Dropout { rate: 0.0 }, &[p]);
        let l = self.add(Op::Linear { features: classes }, &[d]);
        self.b.finish(l)
    }
}

fn pick<T: Copy>(s: &mut Stream, from: &[T]) -> T {
    from[s.below(from.len())]
}

/// A random graph of every primitive, odd sizes and channels that fill no vector.
fn random_graph(seed: u64) -> Graph {
    let mut s = stream(seed, 2, Purpose::Sample);
    let (h, w) = (5 + s.below(9), 5 + s.below(9));
    let mut d = Draft::new(h, w, pick(&mut s, &[1, 3]));
    let rules = [PaddingRule::Same, PaddingRule::Symmetric];
    d.b = d.b.with_padding(rules[seed as usize % 2]);
    let acts = [
        Some(Activation::Relu),
        Some(Activation::Relu6),
        Some(Activation::HSwish),
        Some(Activation::Sigmoid),
        None,
    ];
    let c = 3 + s.below(8);
    let x = d.conv(d.b.input(), 3, 1, c);
    let mut x = d.norm(x, Some(Activation::Relu));
    for _ in 0..2 + s.below(3) {
        let act = pick(&mut s, &acts);
        let stride = pick(&mut s, &[1, 1, 2, 3]);
        let kernel = pick(&mut s, &[1, 3, 5, 7, 9]);
        let filters = 2 + s.below(20);
        x = match s.below(9) {
            0 => {
                let y = d.conv(x, kernel.min(5), stride, filters);
                d.norm(y, act)
            }
            1 => {
                let y = d.depthwise(x, kernel, stride);
                d.norm(y, act)
            }
            2 | 3 => {
                // An inverted residual with squeeze-excitation.
                let y = d.conv(x, 1, 1, filters);
                let y = d.norm(y, act);
                let y = d.depthwise(y, kernel, 1);
                let y = d.norm(y, Some(Activation::Relu));
                let y = if s.below(2) == 0 { d.squeeze(y, 3) } else { y };
                let c = d.b.shape(x).c;
                let y = d.conv(y, 1, 1, c);
                let y = d.norm(y, None);
                d.add(Op::Add, &[y, x])
            }
            4 => {
                // Activated before it is added, and read twice.
                let c = d.b.shape(x).c;
                let y = d.conv(x, 3, 1, c);
                let y = d.norm(y, act);
                let z = d.add(Op::Add, &[x, y]);
                d.add(Op::Add, &[z, y])
            }
            5 => {
                let y = d.conv(x, 1, 1, filters);
                let y = d.norm(y, act);
                let z = d.add(
                    Op::AvgPool {
                        kernel: 3,
                        stride: 1,
                    },
                    &[x],
                );
                let z = d.norm(z, None);
                d.add(Op::Concat, &[y, z, x])
            }
            6 => d.add(Op::MaxPool { kernel: 3, stride }, &[x]),
            7 => {
                let y = d.add(
                    Op::Conv {
                        kernel: 3,
                        stride,
                        filters,
                        bias: true,
                    },
                    &[x],
                );
                let y = d.add(Op::Act(act.unwrap_or(Activation::HSwish)), &[y]);
                let y = d.add(
                    Op::DepthwiseConv {
                        kernel: 3,
                        stride: 1,
                        bias: true,
                    },
                    &[y],
                );
                // A batch norm with two readers, and a sum with itself.
                let n = d.norm(y, None);
                let a = d.add(Op::Act(Activation::Relu), &[n]);
                let y = d.add(Op::Add, &[n, a]);
                d.add(Op::Add, &[y, y])
            }
            _ => {
                let y = d.norm(x, act);
                let y = d.squeeze(y, 2);
                d.add(Op::Add, &[y, x])
            }
        };
    }
    d.classify(x, 5)
}
