//! The interpreter: plain loops that are right by inspection, the oracle for every other reader of
//! a graph. One image, channels last, evaluation mode; sums run in float64, values are float32.

use mnas_net::{Graph, Node, NodeId, Op, Padding, ParamRole, Shape, Weights};

#[cfg(test)]
mod tests;

/// The network's answer for one image: `graph.output_shape().len()` values, channels last.
///
/// `input` holds `graph.input_shape().len()` normalised values, channels last. Graphs may be folded
/// or not; batch norm uses its running statistics and dropout does nothing.
///
/// # Panics
/// If `input` is of another length, or `weights` don't hold the graph's parameters
/// ([`Weights::check`] first).
pub fn interpret(graph: &Graph, weights: &Weights, input: &[f32]) -> Vec<f32> {
    interpret_all(graph, weights, input).swap_remove(graph.output().index())
}

/// The values of every node for one image, in graph order; see [`interpret`].
///
/// # Panics
/// As [`interpret`].
pub fn interpret_all(graph: &Graph, weights: &Weights, input: &[f32]) -> Vec<Vec<f32>> {
    assert_eq!(
        input.len(),
        graph.input_shape().len(),
        "an image of {} is expected",
        graph.input_shape()
    );
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let eval = Eval {
            graph,
            weights,
            node,
            values: &values,
        };
        let value = eval.run(input);
        debug_assert_eq!(value.len(), node.shape.len());
        values.push(value);
    }
    values
}

/// One node about to be evaluated, with the values of the nodes before it.
struct Eval<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    node: &'a Node,
    values: &'a [Vec<f32>],
}

impl Eval<'_> {
    fn run(&self, image: &[f32]) -> Vec<f32> {
        match self.node.op {
            Op::Input => image.to_vec(),
            Op::Conv {
                kernel,
                stride,
                bias,
                ..
            } => self.conv(kernel, stride, bias),
            Op::DepthwiseConv {
                kernel,
                stride,
                bias,
            } => self.depthwise(kernel, stride, bias),
            Op::BatchNorm { epsilon } => self.batch_norm(epsilon),
            Op::Act(act) => self.value(0).iter().map(|x| act.apply(*x)).collect(),
            Op::Add => {
                let pairs = self.value(0).iter().zip(self.value(1));
                pairs.map(|(a, b)| a + b).collect()
            }
            Op::Mul => {
                let gate = self.value(1);
                let values = self.value(0).iter().enumerate();
                values.map(|(i, x)| x * gate[i % gate.len()]).collect()
            }
            Op::Concat => self.concat(),
            Op::AvgPool { kernel, stride } => {
                self.pool(kernel, stride, 0.0, |sum, x| sum + x, |sum, n| sum / n)
            }
            Op::MaxPool { kernel, stride } => {
                self.pool(kernel, stride, f64::NEG_INFINITY, f64::max, |max, _| max)
            }
            Op::GlobalAvgPool => self.global_average(),
            Op::Dropout { .. } => self.value(0).to_vec(),
            Op::Linear { features } => self.linear(features),
        }
    }

    fn input(&self, i: usize) -> NodeId {
        self.node.inputs[i]
    }

    fn value(&self, i: usize) -> &[f32] {
        &self.values[self.input(i).index()]
    }

    fn shape(&self, i: usize) -> Shape {
        self.graph.node(self.input(i)).shape
    }

    fn param(&self, role: ParamRole) -> &[f32] {
        let name = format!("{}.{}", self.node.name, role.suffix());
        &self.weights.get(&name).data
    }

    /// The bias in float64; zeros where the layer has none.
    fn bias(&self, present: bool) -> Vec<f64> {
        if present {
            let bias = self.param(ParamRole::Bias).iter();
            bias.map(|b| f64::from(*b)).collect()
        } else {
            vec![0.0; self.node.shape.c]
        }
    }

    /// Calls `visit(output pixel, input pixel, kernel position)` for each position of each window
    /// that lies inside the image; pixels and positions count row by row.
    fn windows(&self, kernel: usize, stride: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let (x, y) = (self.shape(0), self.node.shape);
        let [rows, columns] = self.graph.window_padding(self.node);
        let inside = |out: usize, k: usize, pad: Padding, extent: usize| {
            let at = (out * stride + k).checked_sub(pad.before)?;
            (at < extent).then_some(at)
        };
        for (oy, ox) in (0..y.h).flat_map(|oy| (0..y.w).map(move |ox| (oy, ox))) {
            for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                if let (Some(iy), Some(ix)) =
                    (inside(oy, ky, rows, x.h), inside(ox, kx, columns, x.w))
                {
                    visit(oy * y.w + ox, iy * x.w + ix, ky * kernel + kx);
                }
            }
        }
    }

    fn conv(&self, kernel: usize, stride: usize, bias: bool) -> Vec<f32> {
        let (x, w) = (self.value(0), self.param(ParamRole::ConvKernel));
        let (channels, filters) = (self.shape(0).c, self.node.shape.c);
        let mut sums = self.bias(bias).repeat(self.node.shape.pixels());
        self.windows(kernel, stride, |out, input, position| {
            let pixel = &x[input * channels..][..channels];
            for f in 0..filters {
                let row = &w[(f * kernel * kernel + position) * channels..][..channels];
                sums[out * filters + f] += dot(row, pixel);
            }
        });
        to_f32(&sums)
    }

    fn depthwise(&self, kernel: usize, stride: usize, bias: bool) -> Vec<f32> {
        let (x, w) = (self.value(0), self.param(ParamRole::DepthwiseKernel));
        let channels = self.shape(0).c;
        let mut sums = self.bias(bias).repeat(self.node.shape.pixels());
        self.windows(kernel, stride, |out, input, position| {
            for c in 0..channels {
                sums[out * channels + c] +=
                    f64::from(x[input * channels + c]) * f64::from(w[position * channels + c]);
            }
        });
        to_f32(&sums)
    }

    fn linear(&self, features: usize) -> Vec<f32> {
        let (x, w) = (self.value(0), self.param(ParamRole::LinearKernel));
        let mut sums = self.bias(true);
        for f in 0..features {
            sums[f] += dot(&w[f * x.len()..][..x.len()], x);
        }
        to_f32(&sums)
    }

    fn batch_norm(&self, epsilon: f32) -> Vec<f32> {
        let (gamma, beta) = (
            self.param(ParamRole::BnScale),
            self.param(ParamRole::BnShift),
        );
        let (mean, var) = (self.param(ParamRole::BnMean), self.param(ParamRole::BnVar));
        let norm = |(i, x): (usize, &f32)| {
            let c = i % gamma.len();
            let deviation = (f64::from(var[c]) + f64::from(epsilon)).sqrt();
            let centred = f64::from(*x) - f64::from(mean[c]);
            (centred / deviation * f64::from(gamma[c]) + f64::from(beta[c])) as f32
        };
        self.value(0).iter().enumerate().map(norm).collect()
    }

    fn concat(&self) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.node.shape.len());
        for pixel in 0..self.node.shape.pixels() {
            for i in 0..self.node.inputs.len() {
                let c = self.shape(i).c;
                out.extend_from_slice(&self.value(i)[pixel * c..][..c]);
            }
        }
        out
    }

    /// Folds each window from `start`, then `finish`es it with the number of pixels inside.
    fn pool(
        &self,
        kernel: usize,
        stride: usize,
        start: f64,
        fold: impl Fn(f64, f64) -> f64,
        finish: impl Fn(f64, f64) -> f64,
    ) -> Vec<f32> {
        let (x, channels) = (self.value(0), self.node.shape.c);
        let mut folded = vec![start; self.node.shape.len()];
        let mut counts = vec![0.0; self.node.shape.pixels()];
        self.windows(kernel, stride, |out, input, _| {
            counts[out] += 1.0;
            for c in 0..channels {
                let at = out * channels + c;
                folded[at] = fold(folded[at], f64::from(x[input * channels + c]));
            }
        });
        let values = folded.iter().enumerate();
        values
            .map(|(i, v)| finish(*v, counts[i / channels]) as f32)
            .collect()
    }

    fn global_average(&self) -> Vec<f32> {
        let x = self.shape(0);
        let mut sums = vec![0.0; x.c];
        for (i, v) in self.value(0).iter().enumerate() {
            sums[i % x.c] += f64::from(*v);
        }
        let mean = |sum: &f64| (sum / x.pixels() as f64) as f32;
        sums.iter().map(mean).collect()
    }
}

/// Four sums side by side: one would wait for each addition before the next.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest = a4.remainder().iter().zip(b4.remainder());
    let tail: f64 = rest.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    for (x, y) in a4.zip(b4) {
        for i in 0..4 {
            sums[i] += f64::from(x[i]) * f64::from(y[i]);
        }
    }
    sums.iter().sum::<f64>() + tail
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}
