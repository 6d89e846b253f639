//! Lowering, backward half. Nodes are visited in reverse; each has read its complete gradient
//! from its readers by then. Gradients live in buffers that several nodes may share while nobody
//! writes (both inputs of an addition have its gradient); who writes takes a copy first where
//! another still reads.

use mnas_kernels::{Act, Element, Pool};
use mnas_net::{NodeId, Op};

use super::{Backward, Buffer, Forward, Lowering, Map, Part, Target, View};

/// Gradients on their way.
struct Gradients {
    /// Gradient of each node so far.
    at: Vec<Option<Buffer>>,
    /// Contributions still to come.
    pending: Vec<usize>,
    /// Whether the activation and sums of a batch norm are already done.
    finished: Vec<bool>,
    /// Whether anything before the node is trained.
    wanted: Vec<bool>,
    /// Nodes that hold each buffer; by buffer.
    holders: Vec<Vec<NodeId>>,
}

impl Gradients {
    fn hold(&mut self, buffer: Buffer, id: NodeId) {
        if self.holders.len() <= buffer.0 {
            self.holders.resize(buffer.0 + 1, vec![]);
        }
        self.holders[buffer.0].push(id);
        self.at[id.index()] = Some(buffer);
    }

    /// Ends `id`'s use of its gradient.
    fn release(&mut self, id: NodeId) {
        if let Some(b) = self.at[id.index()] {
            self.holders[b.0].retain(|h| *h != id);
        }
    }

    fn gradient(&self, id: NodeId) -> Buffer {
        self.at[id.index()].expect("a node is visited after all of its readers")
    }
}

impl Lowering<'_> {
    /// Emits the backward steps.
    pub(super) fn backward(&mut self) {
        let n = self.graph.nodes().len();
        let mut wanted = vec![false; n];
        for (i, node) in self.graph.nodes().iter().enumerate() {
            let trained = self
                .graph
                .node_params(node)
                .iter()
                .any(|p| p.role.trainable());
            wanted[i] = trained || node.inputs.iter().any(|x| wanted[x.index()]);
        }
        let mut g = Gradients {
            at: vec![None; n],
            pending: self.readers.iter().map(Vec::len).collect(),
            finished: vec![false; n],
            wanted,
            holders: vec![],
        };
        g.hold(self.loss, self.graph.output());
        g.pending[self.graph.output().index()] -= 1;
        for id in self.graph.ids().rev() {
            if self.needed[id.index()] && g.wanted[id.index()] {
                self.backward_node(&mut g, id);
                g.release(id);
            }
        }
    }

    fn backward_node(&mut self, g: &mut Gradients, id: NodeId) {
        let node = self.graph.node(id);
        let own = |g: &Gradients| g.gradient(id);
        let input = |i: usize| node.inputs[i];
        match node.op {
            Op::Input => {}
            Op::Conv { .. } | Op::DepthwiseConv { .. } | Op::Linear { .. } => {
                self.layer_backward(g, id);
            }
            Op::BatchNorm { .. } => self.norm_backward(g, id),
            Op::Act(_) if self.fuses_with_norm(id) => {
                self.finish_gradient(g, id);
                g.finished[input(0).index()] = true;
                g.pending[input(0).index()] -= 1;
                g.hold(own(g), input(0));
            }
            Op::Act(_) => {
                let (f, values) = self.element_of(id);
                self.emit(g, id, input(0), |g, target| Backward::Element {
                    f,
                    values,
                    g,
                    target,
                });
            }
            Op::Add => {
                for x in node.inputs.clone() {
                    self.pass_on(g, id, x);
                }
            }
            Op::Mul => self.gate_backward(g, id),
            Op::Concat => {
                let mut offset = 0;
                for x in node.inputs.clone() {
                    let channels = self.graph.node(x).shape.c;
                    let part = Part {
                        channels,
                        offset,
                        total: node.shape.c,
                    };
                    self.emit(g, id, x, |g, target| Backward::Concat { g, part, target });
                    offset += channels;
                }
            }
            Op::AvgPool { kernel, stride } => {
                self.pool_backward(g, id, Pool::Average, kernel, stride)
            }
            Op::MaxPool { kernel, stride } => {
                self.pool_backward(g, id, Pool::Maximum, kernel, stride)
            }
            Op::GlobalAvgPool => {
                let map = Map::of(self.graph.node(input(0)).shape);
                let (view, from) = (self.view(input(0)), own(g));
                if let Some(target) = self.target(g, input(0), true) {
                    self.backward.push(Backward::GlobalAverage {
                        view,
                        map,
                        g: from,
                        target,
                    });
                }
            }
            Op::Dropout { .. } => {
                let mask = self.masks[id.index()].expect("forward made each dropout's mask");
                self.emit(g, id, input(0), |g, target| Backward::Dropout {
                    mask,
                    g,
                    target,
                });
            }
        }
    }

    fn pool_backward(&mut self, g: &mut Gradients, id: NodeId, kind: Pool, k: usize, s: usize) {
        let node = self.graph.node(id);
        let (slide, channels) = (self.slide(node, k, s), node.shape.c);
        let values = [self.plain_of(node.inputs[0]), self.plain_of(id)];
        self.emit(g, id, node.inputs[0], |g, target| Backward::Pool {
            kind,
            slide,
            channels,
            values,
            g,
            target,
        });
    }

    /// Emits the step that carries `from`'s gradient to `to`, where that is wanted.
    fn emit(
        &mut self,
        g: &mut Gradients,
        from: NodeId,
        to: NodeId,
        step: impl FnOnce(Buffer, Target) -> Backward,
    ) {
        let gradient = g.gradient(from);
        if let Some(target) = self.target(g, to, false) {
            self.backward.push(step(gradient, target));
        }
    }

    /// Where a contribution to `id`'s gradient goes; `None` where nobody wants it. With
    /// `can_finish`, the step finishes the gradient if it is the last one.
    fn target(&mut self, g: &mut Gradients, id: NodeId, can_finish: bool) -> Option<Target> {
        g.pending[id.index()] -= 1;
        if !g.wanted[id.index()] {
            return None;
        }
        let accumulate = g.at[id.index()].is_some();
        let out = if accumulate {
            self.writable(g, id)
        } else {
            let b = self.buffer(self.graph.node(id).shape);
            g.hold(b, id);
            b
        };
        let norm = self
            .finishing_norm(id)
            .filter(|_| can_finish && g.pending[id.index()] == 0);
        if norm.is_some() {
            g.finished[id.index()] = true;
        }
        Some(Target {
            out,
            accumulate,
            finish: norm,
        })
    }

    /// The batch norm behind a node's view, where that node's gradient is to be finished.
    fn finishing_norm(&self, id: NodeId) -> Option<usize> {
        let is_norm = matches!(self.graph.node(id).op, Op::BatchNorm { .. });
        if is_norm || self.fuses_with_norm(id) {
            self.view(id).norm
        } else {
            None
        }
    }

    /// `id`'s gradient in a buffer that nobody else reads.
    fn writable(&mut self, g: &mut Gradients, id: NodeId) -> Buffer {
        let b = g.gradient(id);
        if g.holders[b.0].iter().all(|h| *h == id) {
            return b;
        }
        let copy = self.buffer(self.graph.node(id).shape);
        let target = Target {
            out: copy,
            accumulate: false,
            finish: None,
        };
        self.backward.push(Backward::Copy { g: b, target });
        g.release(id);
        g.hold(copy, id);
        copy
    }

    /// Contributes `from`'s gradient as it is to `to`: shared where `to` has none yet.
    fn pass_on(&mut self, g: &mut Gradients, from: NodeId, to: NodeId) {
        let b = g.gradient(from);
        if g.wanted[to.index()] && g.at[to.index()].is_none() {
            g.pending[to.index()] -= 1;
            g.hold(b, to);
        } else if let Some(target) = self.target(g, to, false) {
            self.backward.push(Backward::Copy { g: b, target });
        }
    }

    /// Makes sure that the complete gradient of `id` has passed its activation and is summed.
    fn finish_gradient(&mut self, g: &mut Gradients, id: NodeId) {
        if g.finished[id.index()] {
            return;
        }
        let view = self.view(id);
        let norm = view.norm.expect("only views of a batch norm are finished");
        let buffer = match view.act {
            Act::Linear => g.gradient(id),
            _ => self.writable(g, id),
        };
        let channels = self.graph.node(id).shape.c;
        self.backward.push(Backward::Finish {
            view,
            channels,
            norm,
            g: buffer,
        });
        g.finished[id.index()] = true;
    }

    fn norm_backward(&mut self, g: &mut Gradients, id: NodeId) {
        let input = self.graph.node(id).inputs[0];
        self.finish_gradient(g, id);
        let norm = self.norm_of[id.index()].expect("forward made each batch norm's state");
        self.backward.push(Backward::Norm(norm));
        if self.fuses_with_layer(id) {
            // The layer reads this gradient through the batch norm.
            g.pending[input.index()] -= 1;
            let b = g.gradient(id);
            g.hold(b, input);
            return;
        }
        let (from, z) = (g.gradient(id), self.view(id).raw);
        let channels = self.graph.node(id).shape.c;
        if let Some(target) = self.target(g, input, false) {
            self.backward.push(Backward::NormInput {
                norm,
                channels,
                z,
                g: from,
                target,
            });
        }
    }

    fn layer_backward(&mut self, g: &mut Gradients, id: NodeId) {
        let input = self.graph.node(id).inputs[0];
        let layer = self.layer_of[id.index()].expect("forward made each layer");
        let from = g.gradient(id);
        let norm = self.layers[layer].stats;
        // A dense layer reads a stored copy, not the view, so it can't finish.
        let lazy = self.layers[layer].input == self.view(input);
        let target = self.target(g, input, lazy);
        self.backward.push(Backward::Layer {
            layer,
            g: from,
            norm,
            target,
        });
    }

    fn gate_backward(&mut self, g: &mut Gradients, id: NodeId) {
        let node = self.graph.node(id);
        let (x, gate) = (node.inputs[0], node.inputs[1]);
        let base = match self.view(x) {
            v if v.gate.is_none() => v,
            _ => View::plain(self.plain_of(x)),
        };
        let gate_value = self.plain_of(gate);
        let buffer = self.writable(g, id);
        let gate_gradient = self.buffer(self.graph.node(gate).shape);
        self.backward.push(Backward::Gate {
            view: base,
            map: Map::of(node.shape),
            gate: gate_value,
            g: buffer,
            gate_gradient,
        });
        // The step turned this node's gradient into its input's.
        self.pass_on(g, id, x);
        if g.wanted[gate.index()] && g.at[gate.index()].is_none() {
            g.pending[gate.index()] -= 1;
            g.hold(gate_gradient, gate);
        } else if let Some(target) = self.target(g, gate, false) {
            self.backward.push(Backward::Copy {
                g: gate_gradient,
                target,
            });
        }
    }

    /// The stored value of a node that forward stored.
    fn plain_of(&self, id: NodeId) -> Buffer {
        let view = self.view(id);
        if view.is_plain() {
            return view.raw;
        }
        self.plain[id.index()].expect("forward stored what this step reads")
    }

    /// Function, input and output of an activation that has a step of its own.
    fn element_of(&self, id: NodeId) -> (Element, [Buffer; 2]) {
        let y = self.view(id).raw;
        let found = self.forward.iter().find_map(|s| match s {
            Forward::Element { f, x, out } if *out == y => Some((*f, [*x, y])),
            _ => None,
        });
        found.expect("forward emitted this activation's step")
    }
}
