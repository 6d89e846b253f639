//! A network in double precision, by the definitions, one loop per primitive.

use std::collections::BTreeMap;

use mnas_net::{Activation, Graph, Node, Op, Weights};

/// Parameters in double precision.
pub(super) type Params = BTreeMap<String, Vec<f64>>;

pub(super) fn params(w: &Weights) -> Params {
    let double = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect();
    w.tensors
        .iter()
        .map(|(n, t)| (n.clone(), double(&t.data)))
        .collect()
}

/// Normalised images in double precision.
pub(super) fn inputs(images: &[u8], spec: &super::SessionSpec) -> Vec<f64> {
    let c = spec.normalize.mean.len();
    let value = |(i, b): (usize, &u8)| {
        let (m, s) = (spec.normalize.mean[i % c], spec.normalize.std[i % c]);
        (f64::from(*b) / 255.0 - f64::from(m)) / f64::from(s)
    };
    images.iter().enumerate().map(value).collect()
}

fn activate(a: Activation, x: f64) -> f64 {
    match a {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::HSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

/// Batch mean and unbiased variance of each batch-norm node, by its name.
pub(super) type Statistics = BTreeMap<String, (Vec<f64>, Vec<f64>)>;

/// The answers for `n` images; batch statistics where `training`, else running ones.
pub(super) fn logits(
    graph: &Graph,
    p: &Params,
    x: &[f64],
    n: usize,
    training: bool,
) -> (Vec<f64>, Statistics) {
    let mut values: Vec<Vec<f64>> = vec![];
    let mut statistics = Statistics::new();
    for node in graph.nodes() {
        let inputs: Vec<&[f64]> = node.inputs.iter().map(|i| &*values[i.index()]).collect();
        let y = match node.op {
            Op::Input => x.to_vec(),
            Op::BatchNorm { epsilon } => {
                let param = |s: &str| &p[&format!("{}.{s}", node.name)];
                let c = node.shape.c;
                let (mut mean, mut var) =
                    (param("running_mean").clone(), param("running_var").clone());
                if training {
                    let m = (inputs[0].len() / c) as f64;
                    for j in 0..c {
                        let column = || inputs[0].iter().skip(j).step_by(c);
                        mean[j] = column().sum::<f64>() / m;
                        var[j] = column().map(|v| (v - mean[j]).powi(2)).sum::<f64>() / m;
                    }
                    let unbiased = var.iter().map(|v| v * m / (m - 1.0).max(1.0)).collect();
                    statistics.insert(node.name.clone(), (mean.clone(), unbiased));
                }
                let (w, b) = (param("weight"), param("bias"));
                let f = |(i, v): (usize, &f64)| {
                    let j = i % c;
                    w[j] * (v - mean[j]) / (var[j] + f64::from(epsilon)).sqrt() + b[j]
                };
                inputs[0].iter().enumerate().map(f).collect()
            }
            _ => primitive(graph, node, &inputs, p, n),
        };
        values.push(y);
    }
    (values[graph.output().index()].clone(), statistics)
}

fn primitive(graph: &Graph, node: &Node, x: &[&[f64]], p: &Params, n: usize) -> Vec<f64> {
    let out = node.shape;
    let a = graph.node(node.inputs[0]).shape;
    let mut y = vec![0.0; n * out.len()];
    match node.op {
        Op::Input | Op::BatchNorm { .. } => unreachable!("handled by the caller"),
        Op::Act(f) => y
            .iter_mut()
            .zip(x[0])
            .for_each(|(y, x)| *y = activate(f, *x)),
        Op::Dropout { .. } => y.copy_from_slice(x[0]),
        Op::Add => (0..y.len()).for_each(|i| y[i] = x[0][i] + x[1][i]),
        Op::Mul => (0..y.len()).for_each(|i| {
            let (image, c) = (i / out.len(), i % out.c);
            y[i] = x[0][i] * x[1][image * out.c + c];
        }),
        Op::Concat => {
            let mut at = 0;
            for (i, x) in node.inputs.iter().zip(x) {
                let c = graph.node(*i).shape.c;
                for (j, v) in x.iter().enumerate() {
                    y[j / c * out.c + at + j % c] = *v;
                }
                at += c;
            }
        }
        Op::GlobalAvgPool => {
            for (i, v) in x[0].iter().enumerate() {
                y[i / a.len() * a.c + i % a.c] += v / a.pixels() as f64;
            }
        }
        Op::Linear { .. } | Op::Conv { .. } | Op::DepthwiseConv { .. } => {
            convolve(graph, node, x[0], p, n, &mut y);
        }
        Op::AvgPool { kernel, stride } | Op::MaxPool { kernel, stride } => {
            let average = matches!(node.op, Op::AvgPool { .. });
            window(graph, node, n, kernel, stride, |o, taps| {
                for c in 0..out.c {
                    let under = taps.iter().map(|(_, i)| x[0][i * a.c + c]);
                    y[o * out.c + c] = if average {
                        under.sum::<f64>() / taps.len() as f64
                    } else {
                        under.fold(f64::NEG_INFINITY, f64::max)
                    };
                }
            });
        }
    }
    y
}

fn convolve(graph: &Graph, node: &Node, x: &[f64], p: &Params, n: usize, y: &mut [f64]) {
    let (ci, co) = (graph.node(node.inputs[0]).shape.c, node.shape.c);
    let w = &p[&format!("{}.weight", node.name)];
    let bias = p.get(&format!("{}.bias", node.name));
    let (k, s, depthwise) = match node.op {
        Op::Conv { kernel, stride, .. } => (kernel, stride, false),
        Op::DepthwiseConv { kernel, stride, .. } => (kernel, stride, true),
        _ => (1, 1, false),
    };
    window(graph, node, n, k, s, |o, taps| {
        for c in 0..co {
            let mut sum = bias.map_or(0.0, |b| b[c]);
            for (tap, pixel) in taps {
                if depthwise {
                    sum += x[pixel * ci + c] * w[tap * co + c];
                } else {
                    let dot = |i: usize| x[pixel * ci + i] * w[(c * k * k + tap) * ci + i];
                    sum += (0..ci).map(dot).sum::<f64>();
                }
            }
            y[o * co + c] = sum;
        }
    });
}

/// Calls `f(output pixel, [(tap, input pixel)])` for each output pixel of each image.
fn window(
    graph: &Graph,
    node: &Node,
    n: usize,
    k: usize,
    s: usize,
    mut f: impl FnMut(usize, &[(usize, usize)]),
) {
    let (a, out) = (graph.node(node.inputs[0]).shape, node.shape);
    let [top, left] = graph.window_padding(node).map(|p| p.before);
    for o in 0..n * out.pixels() {
        let (image, row, column) = (o / out.pixels(), o % out.pixels() / out.w, o % out.w);
        let mut taps = vec![];
        for t in 0..k * k {
            let (i, j) = (row * s + t / k, column * s + t % k);
            if i >= top && j >= left && i - top < a.h && j - left < a.w {
                taps.push((t, image * a.pixels() + (i - top) * a.w + j - left));
            }
        }
        f(o, &taps);
    }
}

/// Mean smoothed cross-entropy.
pub(super) fn loss(logits: &[f64], labels: &[u16], smoothing: f64) -> f64 {
    let k = logits.len() / labels.len();
    let one = |(x, y): (&[f64], &u16)| {
        let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = x.iter().map(|v| (v - max).exp()).sum::<f64>().ln() + max;
        let target = |j: usize| {
            smoothing / k as f64
                + if j == usize::from(*y) {
                    1.0 - smoothing
                } else {
                    0.0
                }
        };
        (0..k).map(|j| target(j) * (log_sum - x[j])).sum::<f64>()
    };
    logits.chunks_exact(k).zip(labels).map(one).sum::<f64>() / labels.len() as f64
}
