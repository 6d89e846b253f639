//! One pass of a batch through the plan.

use std::ops::Range;

use mnas_kernels::{BatchNorm, Floats, PointwiseShape, Source, Values, Window, Workers};
use mnas_net::{Purpose, stream};

use super::arena::{Place, Span, borrow, borrow_values};
use super::plan::{Buffer, Forward, Kind, Layer, Plan, Slide, View};
use super::tensors::Tensors;
use super::{SessionSpec, StepStats};

mod backward;

/// Everything that a pass over `images` images touches.
pub(super) struct Pass<'a> {
    pub(super) plan: &'a Plan,
    pub(super) places: &'a [Place],
    pub(super) spec: &'a SessionSpec,
    pub(super) tensors: &'a mut Tensors,
    pub(super) norms: &'a mut [BatchNorm],
    pub(super) arena: &'a mut Floats,
    pub(super) tables: &'a [[f32; 256]],
    pub(super) dropout_seed: u64,
    pub(super) workers: &'a mut Workers,
    pub(super) images: usize,
}

/// A view with its values: `raw` and, where it has one, `gate`.
fn source<'a>(
    view: &View,
    norms: &'a [BatchNorm],
    raw: Values<'a>,
    gate: Option<Values<'a>>,
) -> Source<'a> {
    Source {
        raw,
        affine: view.norm.map(|n| norms[n].affine()),
        act: view.act,
        gate: view
            .gate
            .map(|_| gate.expect("a gated view is read with its gate").as_f32()),
    }
}

fn window(s: &Slide, images: usize) -> Window {
    Window {
        images,
        h: s.input[0],
        w: s.input[1],
        kernel: s.kernel,
        stride: s.stride,
        before: s.before,
        out_h: s.output[0],
        out_w: s.output[1],
    }
}

fn pointwise_shape(l: &Layer, images: usize) -> PointwiseShape {
    let pixels = l.slide.output[0] * l.slide.output[1];
    PointwiseShape {
        images,
        pixels,
        inputs: l.inputs,
        outputs: l.outputs,
    }
}

fn dense_shape(l: &Layer, images: usize) -> mnas_kernels::DenseShape {
    let window = window(&l.slide, images);
    mnas_kernels::DenseShape {
        window,
        inputs: l.inputs,
        outputs: l.outputs,
    }
}

impl Pass<'_> {
    fn at(&self, b: Buffer) -> Span {
        self.places[b.0].span(self.images)
    }

    /// The floats of a buffer that is stored as f32.
    fn single(&self, b: Buffer) -> Range<usize> {
        self.at(b).as_f32()
    }

    fn gate_at(&self, view: &View) -> Span {
        view.gate.map_or(Span::NONE, |g| self.at(g))
    }

    /// Normalises the images' bytes into the network's input.
    pub(super) fn read_images(&mut self, bytes: &[u8]) {
        let to = self.single(self.plan.images);
        mnas_kernels::from_bytes(self.workers, bytes, self.tables, &mut self.arena[to]);
    }

    /// The network's answers, `images` by classes.
    pub(super) fn logits(&self) -> &[f32] {
        &self.arena[self.single(self.plan.logits)]
    }

    /// Mean loss and hits; the loss's gradient goes to its buffer.
    pub(super) fn loss(&mut self, labels: &[u16]) -> StepStats {
        let (logits, gradient) = (self.single(self.plan.logits), self.single(self.plan.loss));
        let ([g], [x]) = borrow(self.arena, [gradient], [logits]);
        let (loss, correct) = mnas_kernels::cross_entropy(x, labels, self.spec.label_smoothing, g);
        StepStats { loss, correct }
    }

    /// Forward with batch statistics and dropout.
    pub(super) fn forward_training(&mut self) {
        for step in &self.plan.forward {
            if let Forward::Norm(n) = step {
                let norm = &self.plan.norms[*n];
                let [gamma, beta, ..] = norm.params.map(|p| self.tensors.place(p));
                let values = &self.tensors.values;
                self.norms[*n].train(&values[gamma], &values[beta], norm.epsilon);
            } else {
                self.forward_step(step, true);
            }
        }
    }

    /// Moves the running statistics towards this batch's.
    pub(super) fn move_statistics(&mut self) {
        for (norm, state) in self.plan.norms.iter().zip(self.norms.iter()) {
            let [_, _, mean, variance] = norm.params.map(|p| self.tensors.place(p));
            let ([m, v], []) = borrow(&mut self.tensors.values, [mean, variance], []);
            state.move_running(self.spec.bn_momentum, m, v);
        }
    }

    /// Forward with running statistics and without dropout.
    pub(super) fn forward_evaluation(&mut self) {
        for (norm, state) in self.plan.norms.iter().zip(self.norms.iter_mut()) {
            let values = self.tensors.evaluated();
            let [g, b, m, v] = norm.params.map(|p| &values[self.tensors.place(p)]);
            state.evaluate(g, b, norm.epsilon, m, v);
        }
        for step in &self.plan.forward {
            self.forward_step(step, false);
        }
    }

    /// One step; `training` where batch statistics are gathered and features dropped.
    fn forward_step(&mut self, step: &Forward, training: bool) {
        match step {
            Forward::Layer(l) => self.forward_layer(&self.plan.layers[*l], training),
            Forward::Norm(_) => {}
            Forward::Moments { x, norm } => {
                if training {
                    let x = self.at(*x);
                    let ([], [x]) = borrow_values(self.arena, [], [x]);
                    let moments = &mut self.norms[*norm].moments;
                    mnas_kernels::moments(self.workers, x, moments);
                }
            }
            Forward::Materialize { view, map, out } => {
                let shape = map.shape(self.images);
                let reads = [self.at(view.raw), self.gate_at(view)];
                let y = self.at(*out);
                let ([y], [x, gate]) = borrow_values(self.arena, [y], reads);
                let x = source(view, self.norms, x, Some(gate));
                mnas_kernels::materialize(self.workers, shape, &x, y);
            }
            Forward::Add {
                inputs: [a, b],
                map,
                out,
            } => {
                let shape = map.shape(self.images);
                let reads = [self.at(a.raw), self.at(b.raw)];
                let y = self.at(*out);
                let ([y], [xa, xb]) = borrow_values(self.arena, [y], reads);
                let xa = source(a, self.norms, xa, None);
                let xb = source(b, self.norms, xb, None);
                mnas_kernels::add(self.workers, shape, &xa, &xb, y);
            }
            Forward::GlobalAverage { view, map, out } => {
                let shape = map.shape(self.images);
                let (x, y) = (self.at(view.raw), self.at(*out));
                let ([y], [x]) = borrow_values(self.arena, [y], [x]);
                let x = source(view, self.norms, x, None);
                mnas_kernels::global_average(self.workers, shape, &x, y.into_f32());
            }
            Forward::Pool {
                kind,
                slide,
                channels,
                x,
                out,
            } => {
                let (x, y) = (self.single(*x), self.single(*out));
                let ([y], [x]) = borrow(self.arena, [y], [x]);
                let w = window(slide, self.images);
                mnas_kernels::pool_forward(self.workers, *kind, &w, *channels, x, y);
            }
            Forward::Element { f, x, out } => {
                let (x, y) = (self.single(*x), self.single(*out));
                let ([y], [x]) = borrow(self.arena, [y], [x]);
                mnas_kernels::element_forward(self.workers, *f, x, y);
            }
            Forward::Dropout { rate, x, mask, out } => {
                let rate = if training { *rate } else { 0.0 };
                self.dropout(rate, *x, *mask, *out);
            }
            Forward::Concat { x, part, out } => {
                let (x, y) = (self.single(*x), self.single(*out));
                let ([y], [x]) = borrow(self.arena, [y], [x]);
                let lines = y
                    .chunks_exact_mut(part.total)
                    .zip(x.chunks_exact(part.channels));
                for (y, x) in lines {
                    y[part.offset..part.offset + part.channels].copy_from_slice(x);
                }
            }
        }
    }

    fn dropout(&mut self, rate: f32, x: Buffer, mask: Buffer, out: Buffer) {
        let writes = [self.single(mask), self.single(out)];
        let x = self.single(x);
        let ([mask, y], [x]) = borrow(self.arena, writes, [x]);
        if rate > 0.0 {
            // One stream per step and layer, so that a resumed run needs no replay.
            let step = self.tensors.step;
            let mut s = stream(self.dropout_seed ^ out.0 as u64, step, Purpose::Dropout);
            let kept = 1.0 / (1.0 - rate);
            let rate = f64::from(rate);
            mask.fill_with(|| if s.uniform() < rate { 0.0 } else { kept });
        } else {
            mask.fill(1.0);
        }
        for ((y, x), m) in y.iter_mut().zip(x).zip(mask) {
            *y = x * *m;
        }
    }

    fn forward_layer(&mut self, l: &Layer, training: bool) {
        let reads = [self.at(l.input.raw), self.gate_at(&l.input)];
        let out = self.at(l.out);
        let ([y], [x, gate]) = borrow_values(self.arena, [out], reads);
        let values = if training {
            &self.tensors.values
        } else {
            self.tensors.evaluated()
        };
        let w = &values[self.tensors.place(l.weights)];
        let bias = l.bias.map(|b| &values[self.tensors.place(b)]);
        // The statistics belong to a batch norm after this layer, the view to one before it.
        let mut moments = l
            .stats
            .filter(|_| training)
            .map(|n| std::mem::take(&mut self.norms[n].moments));
        let x = source(&l.input, self.norms, x, Some(gate));
        let m = moments.as_mut();
        match l.kind {
            Kind::Pointwise => {
                let shape = pointwise_shape(l, self.images);
                mnas_kernels::pointwise_forward(self.workers, shape, &x, w, bias, y, m);
            }
            Kind::Dense => {
                let shape = dense_shape(l, self.images);
                mnas_kernels::dense_forward(self.workers, &shape, x.raw, w, bias, y, m);
            }
            Kind::Depthwise => {
                let s = window(&l.slide, self.images);
                let c = l.outputs;
                mnas_kernels::depthwise_forward(self.workers, &s, c, &x, w, bias, y, m);
            }
        }
        if let (Some(n), Some(m)) = (l.stats, moments) {
            self.norms[n].moments = m;
        }
    }
}
