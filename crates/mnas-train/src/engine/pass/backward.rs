//! Backward half of a pass.

use mnas_kernels::{Finish, Sink, Upstream, Values, ValuesMut};

use super::super::arena::{Place, Span, borrow, borrow_values};
use super::super::plan::{Backward, Buffer, Kind, Map, Target, View};
use super::{Pass, dense_shape, pointwise_shape, source, window};

impl Pass<'_> {
    /// Computes all gradients.
    pub(in super::super) fn backward(&mut self) {
        for step in &self.plan.backward {
            self.backward_step(step);
        }
    }

    fn backward_step(&mut self, step: &Backward) {
        match step {
            Backward::Layer {
                layer,
                g,
                norm,
                target,
            } => {
                self.layer_backward(*layer, *g, *norm, target.as_ref());
            }
            Backward::Finish {
                view,
                channels,
                norm,
                g,
            } => {
                self.finish(view, *channels, *norm, *g);
            }
            Backward::Norm(n) => self.norm_parameters(*n),
            Backward::NormInput {
                norm,
                channels,
                z,
                g,
                target,
            } => {
                let ([out], [g, z]) = parts(self.arena, self.places, self.images, target, [*g, *z]);
                let upstream = self.norms[*norm].upstream(g, z);
                let accumulate = target.accumulate;
                mnas_kernels::norm_gradient(self.workers, *channels, &upstream, out, accumulate);
            }
            Backward::Copy { g, target } => {
                let ([out], [g]) = parts(self.arena, self.places, self.images, target, [*g]);
                mnas_kernels::add_gradient(self.workers, g, out, target.accumulate);
            }
            Backward::Gate {
                view,
                map,
                gate,
                g,
                gate_gradient,
            } => {
                let writes = [self.at(*g), self.at(*gate_gradient)];
                let reads = [self.at(view.raw), self.at(*gate)];
                let shape = map.shape(self.images);
                let ([g, dgate], [x, gate]) = borrow_values(self.arena, writes, reads);
                let x = source(view, self.norms, x, None);
                let (gate, dgate) = (gate.as_f32(), dgate.into_f32());
                mnas_kernels::gate_backward(self.workers, shape, &x, gate, g, dgate);
            }
            Backward::GlobalAverage {
                view,
                map,
                g,
                target,
            } => {
                self.global_average_backward(view, *map, *g, target);
            }
            Backward::Pool {
                kind,
                slide,
                channels,
                values: [x, y],
                g,
                target,
            } => {
                let ([out], [x, y, g]) =
                    singles(self.arena, self.places, self.images, target, [*x, *y, *g]);
                let (w, acc) = (window(slide, self.images), target.accumulate);
                let (workers, c) = (&*self.workers, *channels);
                mnas_kernels::pool_backward(workers, *kind, &w, c, (x, y), g, out, acc);
            }
            Backward::Element {
                f,
                values: [x, y],
                g,
                target,
            } => {
                let ([out], [x, y, g]) =
                    singles(self.arena, self.places, self.images, target, [*x, *y, *g]);
                let acc = target.accumulate;
                mnas_kernels::element_backward(self.workers, *f, (x, y), g, out, acc);
            }
            Backward::Dropout { mask, g, target } => {
                let ([out], [mask, g]) =
                    singles(self.arena, self.places, self.images, target, [*mask, *g]);
                let products = mask.iter().zip(g).map(|(m, g)| m * g);
                contribute(out, products, target.accumulate);
            }
            Backward::Concat { g, part, target } => {
                let ([out], [g]) = singles(self.arena, self.places, self.images, target, [*g]);
                let columns = part.offset..part.offset + part.channels;
                let lines = g
                    .chunks_exact(part.total)
                    .flat_map(|line| &line[columns.clone()]);
                contribute(out, lines.copied(), target.accumulate);
            }
        }
    }

    fn finish(&mut self, view: &View, channels: usize, norm: usize, g: Buffer) {
        let (z, g) = (self.at(view.raw), self.at(g));
        let ([g], [z]) = borrow_values(self.arena, [g], [z]);
        let mut sums = std::mem::take(&mut self.norms[norm].sums);
        let mean = &self.norms[norm].mean;
        let end = Finish {
            mean,
            sums: &mut sums,
        };
        let z = source(view, self.norms, z, None);
        mnas_kernels::finish(self.workers, channels, &z, g, end);
        self.norms[norm].sums = sums;
    }

    fn norm_parameters(&mut self, n: usize) {
        let params = self.plan.norms[n].params;
        let [gamma, beta, ..] = params.map(|p| self.tensors.place(p));
        let tensors = &mut *self.tensors;
        let ([dg, db], []) = borrow(&mut tensors.gradients, [gamma.clone(), beta], []);
        self.norms[n].backward(&tensors.values[gamma], dg, db);
    }

    fn global_average_backward(&mut self, view: &View, map: Map, g: Buffer, target: &Target) {
        let mut sums = self.take_sums(target);
        let ([out], [g, x]) = parts(self.arena, self.places, self.images, target, [g, view.raw]);
        let (x, g) = (source(view, self.norms, x, None), g.as_f32());
        let sink = sink(self.norms, target, out, &mut sums);
        let shape = map.shape(self.images);
        mnas_kernels::global_average_backward(self.workers, shape, &x, g, sink);
        self.put_sums(target, sums);
    }

    fn layer_backward(
        &mut self,
        layer: usize,
        g: Buffer,
        norm: Option<usize>,
        to: Option<&Target>,
    ) {
        let l = &self.plan.layers[layer];
        let out = to.map_or(Span::NONE, |t| self.at(t.out));
        let z = norm.map_or(Span::NONE, |_| self.at(l.out));
        let reads = [self.at(l.input.raw), self.gate_at(&l.input), self.at(g), z];
        let mut sums = to.map(|t| self.take_sums(t)).unwrap_or_default();
        let ([out], [x, gate, g, z]) = borrow_values(self.arena, [out], reads);
        let upstream = match norm {
            Some(n) => self.norms[n].upstream(g, z),
            None => Upstream { g, norm: None },
        };
        let x = source(&l.input, self.norms, x, Some(gate));
        let (weights, bias) = (
            self.tensors.place(l.weights),
            l.bias.map(|b| self.tensors.place(b)),
        );
        let w = &self.tensors.values[weights.clone()];
        let bias_range = bias.clone().unwrap_or(0..0);
        let ([dw, db], []) = borrow(&mut self.tensors.gradients, [weights, bias_range], []);
        let db = bias.map(|_| db);
        match l.kind {
            Kind::Pointwise => {
                let to = to.map(|t| sink(self.norms, t, out, &mut sums));
                let s = pointwise_shape(l, self.images);
                mnas_kernels::pointwise_backward(self.workers, s, &x, w, &upstream, dw, db, to);
            }
            Kind::Dense => {
                let s = dense_shape(l, self.images);
                let to = to.map(|t| (out, t.accumulate));
                mnas_kernels::dense_backward(self.workers, &s, x.raw, w, &upstream, dw, db, to);
            }
            Kind::Depthwise => {
                let (s, c) = (window(&l.slide, self.images), l.outputs);
                let to = to.map(|t| sink(self.norms, t, out, &mut sums));
                mnas_kernels::depthwise_backward(self.workers, &s, c, &x, w, &upstream, dw, db, to);
            }
        }
        if let Some(t) = to {
            self.put_sums(t, sums);
        }
    }

    /// The sums of the batch norm that a target finishes, to be put back.
    fn take_sums(&mut self, to: &Target) -> Vec<f64> {
        to.finish
            .map(|n| std::mem::take(&mut self.norms[n].sums))
            .unwrap_or_default()
    }

    fn put_sums(&mut self, to: &Target, sums: Vec<f64>) {
        if let Some(n) = to.finish {
            self.norms[n].sums = sums;
        }
    }
}

/// A target's memory to write and `reads` to read.
fn parts<'a, const R: usize>(
    arena: &'a mut [f32],
    places: &[Place],
    images: usize,
    target: &Target,
    reads: [Buffer; R],
) -> ([ValuesMut<'a>; 1], [Values<'a>; R]) {
    let span = |b: Buffer| places[b.0].span(images);
    borrow_values(arena, [span(target.out)], reads.map(span))
}

/// [`parts`] that are stored as f32.
fn singles<'a, const R: usize>(
    arena: &'a mut [f32],
    places: &[Place],
    images: usize,
    target: &Target,
    reads: [Buffer; R],
) -> ([&'a mut [f32]; 1], [&'a [f32]; R]) {
    let (written, read) = parts(arena, places, images, target, reads);
    (written.map(ValuesMut::into_f32), read.map(Values::as_f32))
}

/// `out (+)= values`.
fn contribute(out: &mut [f32], values: impl Iterator<Item = f32>, accumulate: bool) {
    for (o, v) in out.iter_mut().zip(values) {
        *o = if accumulate { *o + v } else { v };
    }
}

/// A target with its memory.
fn sink<'a>(
    norms: &'a [mnas_kernels::BatchNorm],
    to: &Target,
    out: ValuesMut<'a>,
    sums: &'a mut [f64],
) -> Sink<'a> {
    let finish = to.finish.map(|n| Finish {
        mean: &norms[n].mean,
        sums,
    });
    Sink {
        out,
        accumulate: to.accumulate,
        finish,
    }
}
