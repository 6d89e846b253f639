//! Lowering, forward half: nodes to steps and views.

use mnas_kernels::{Act, Element, MAX_KERNEL, Pool};
use mnas_net::{Activation, Node, NodeId, Op};

use super::{Buffer, Forward, Kind, Layer, Lowering, Map, Norm, Part, Slide, View, unsupported};
use crate::EngineError;

/// The activation as layers compute it on reading; `None` where only a step of its own does.
fn on_reading(a: Activation) -> Option<Act> {
    match a {
        Activation::Relu => Some(Act::Relu),
        Activation::Relu6 => Some(Act::Relu6),
        Activation::HSwish => Some(Act::HSwish),
        Activation::Sigmoid => None,
    }
}

/// The activation as a step of its own.
fn standing_alone(a: Activation) -> Element {
    match a {
        Activation::Relu => Element::Relu,
        Activation::Relu6 => Element::Relu6,
        Activation::HSwish => Element::HSwish,
        Activation::Sigmoid => Element::Sigmoid,
    }
}

impl Lowering<'_> {
    /// Emits the forward steps of all nodes that the output needs.
    pub(super) fn forward(&mut self) -> Result<(), EngineError> {
        for id in self
            .graph
            .ids()
            .filter(|id| self.needed[id.index()])
            .collect::<Vec<_>>()
        {
            self.forward_node(id)?;
        }
        if !self.needed[0] {
            self.images = self.buffer(self.graph.input_shape());
        }
        self.logits = self.plain(self.graph.output());
        self.loss = self.buffer(self.graph.output_shape());
        Ok(())
    }

    fn forward_node(&mut self, id: NodeId) -> Result<(), EngineError> {
        let node = self.graph.node(id);
        let view = match node.op {
            Op::Input => {
                self.images = self.buffer(node.shape);
                View::plain(self.images)
            }
            Op::Conv { kernel, .. } | Op::DepthwiseConv { kernel, .. } if kernel > MAX_KERNEL => {
                return Err(unsupported(self.graph, id));
            }
            Op::Conv {
                kernel: 1,
                stride: 1,
                bias,
                ..
            } => self.layer(id, Kind::Pointwise, 1, 1, bias),
            Op::Conv {
                kernel,
                stride,
                bias,
                ..
            } => self.layer(id, Kind::Dense, kernel, stride, bias),
            Op::DepthwiseConv {
                kernel,
                stride,
                bias,
            } => self.layer(id, Kind::Depthwise, kernel, stride, bias),
            Op::Linear { .. } => self.layer(id, Kind::Pointwise, 1, 1, true),
            Op::BatchNorm { .. } => self.batch_norm(id),
            Op::Act(a) => self.activation(id, a),
            Op::Add => {
                let inputs = [self.view(node.inputs[0]), self.view(node.inputs[1])];
                let out = self.buffer(node.shape);
                let map = Map::of(node.shape);
                self.forward.push(Forward::Add { inputs, map, out });
                View::plain(out)
            }
            Op::Mul => self.gate(id),
            Op::Concat => self.concat(node),
            Op::AvgPool { kernel, .. } | Op::MaxPool { kernel, .. } if kernel > MAX_KERNEL => {
                return Err(unsupported(self.graph, id));
            }
            Op::AvgPool { kernel, stride } => self.pool(node, Pool::Average, kernel, stride),
            Op::MaxPool { kernel, stride } => self.pool(node, Pool::Maximum, kernel, stride),
            Op::GlobalAvgPool => {
                let map = Map::of(self.graph.node(node.inputs[0]).shape);
                let (view, out) = (self.view(node.inputs[0]), self.buffer(node.shape));
                self.forward.push(Forward::GlobalAverage { view, map, out });
                View::plain(out)
            }
            Op::Dropout { rate } => {
                let x = self.plain(node.inputs[0]);
                let (mask, out) = (self.buffer(node.shape), self.buffer(node.shape));
                self.masks[id.index()] = Some(mask);
                self.forward.push(Forward::Dropout { rate, x, mask, out });
                View::plain(out)
            }
        };
        self.views[id.index()] = Some(view);
        Ok(())
    }

    fn pool(&mut self, node: &Node, kind: Pool, kernel: usize, stride: usize) -> View {
        let (slide, channels) = (self.slide(node, kernel, stride), node.shape.c);
        let (x, out) = (self.plain(node.inputs[0]), self.buffer(node.shape));
        self.forward.push(Forward::Pool {
            kind,
            slide,
            channels,
            x,
            out,
        });
        View::plain(out)
    }

    /// A node's value as its readers see it.
    pub(super) fn view(&self, id: NodeId) -> View {
        self.views[id.index()].expect("nodes are lowered in topological order")
    }

    /// A node's value as stored numbers, stored on the first call.
    pub(super) fn plain(&mut self, id: NodeId) -> Buffer {
        let view = self.view(id);
        if view.is_plain() {
            return view.raw;
        }
        if let Some(b) = self.plain[id.index()] {
            return b;
        }
        let shape = self.graph.node(id).shape;
        let out = self.buffer(shape);
        self.forward.push(Forward::Materialize {
            view,
            map: Map::of(shape),
            out,
        });
        self.plain[id.index()] = Some(out);
        out
    }

    pub(super) fn slide(&self, node: &Node, kernel: usize, stride: usize) -> Slide {
        let x = self.graph.node(node.inputs[0]).shape;
        let before = self.graph.window_padding(node).map(|p| p.before);
        Slide {
            kernel,
            stride,
            before,
            input: [x.h, x.w],
            output: [node.shape.h, node.shape.w],
        }
    }

    /// The batch norm that alone reads this node and so is computed on reading.
    fn fused_norm(&self, id: NodeId) -> Option<NodeId> {
        let reader = self.only_reader(id)?;
        matches!(self.graph.node(reader).op, Op::BatchNorm { .. }).then_some(reader)
    }

    fn layer(&mut self, id: NodeId, kind: Kind, kernel: usize, stride: usize, bias: bool) -> View {
        let node = self.graph.node(id);
        let input = match kind {
            Kind::Pointwise | Kind::Depthwise => self.view(node.inputs[0]),
            Kind::Dense => View::plain(self.plain(node.inputs[0])),
        };
        let stats = self.fused_norm(id).map(|n| self.norm(n));
        let layer = Layer {
            kind,
            slide: self.slide(node, kernel, stride),
            inputs: self.graph.node(node.inputs[0]).shape.c,
            outputs: node.shape.c,
            weights: self.param(id, 0),
            bias: bias.then(|| self.param(id, 1)),
            input,
            out: self.buffer(node.shape),
            stats,
        };
        let out = layer.out;
        self.layer_of[id.index()] = Some(self.layers.len());
        self.forward.push(Forward::Layer(self.layers.len()));
        self.layers.push(layer);
        View::plain(out)
    }

    /// The state of a batch-norm node, made on the first call.
    fn norm(&mut self, id: NodeId) -> usize {
        if let Some(n) = self.norm_of[id.index()] {
            return n;
        }
        let node = self.graph.node(id);
        let Op::BatchNorm { epsilon } = node.op else {
            unreachable!("only batch-norm nodes have a state")
        };
        let params = [0, 1, 2, 3].map(|i| self.param(id, i));
        self.norms.push(Norm {
            channels: node.shape.c,
            epsilon,
            params,
        });
        self.norm_of[id.index()] = Some(self.norms.len() - 1);
        self.norms.len() - 1
    }

    fn batch_norm(&mut self, id: NodeId) -> View {
        let input = self.graph.node(id).inputs[0];
        let norm = self.norm(id);
        let raw = self.plain(input);
        if !self.fuses_with_layer(id) {
            self.forward.push(Forward::Moments { x: raw, norm });
        }
        self.forward.push(Forward::Norm(norm));
        View {
            norm: Some(norm),
            ..View::plain(raw)
        }
    }

    /// Whether this batch norm's statistics and gradient are computed by the layer before it.
    pub(super) fn fuses_with_layer(&self, id: NodeId) -> bool {
        let input = self.graph.node(id).inputs[0];
        self.layer_of[input.index()].is_some() && self.fused_norm(input) == Some(id)
    }

    /// Whether this activation is computed on reading, with the batch norm that it alone reads.
    pub(super) fn fuses_with_norm(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        let Op::Act(a) = node.op else { return false };
        let input = node.inputs[0];
        let after_norm = matches!(self.graph.node(input).op, Op::BatchNorm { .. });
        after_norm && on_reading(a).is_some() && self.only_reader(input) == Some(id)
    }

    fn activation(&mut self, id: NodeId, a: Activation) -> View {
        let node = self.graph.node(id);
        match on_reading(a) {
            Some(act) if self.fuses_with_norm(id) => View {
                act,
                ..self.view(node.inputs[0])
            },
            _ => {
                let (x, out) = (self.plain(node.inputs[0]), self.buffer(node.shape));
                self.forward.push(Forward::Element {
                    f: standing_alone(a),
                    x,
                    out,
                });
                View::plain(out)
            }
        }
    }

    /// The gate of squeeze-excitation: computed on reading where a pointwise layer alone reads.
    fn gate(&mut self, id: NodeId) -> View {
        let node = self.graph.node(id);
        let base = match self.view(node.inputs[0]) {
            v if v.gate.is_none() => v,
            _ => View::plain(self.plain(node.inputs[0])),
        };
        let gated = View {
            gate: Some(self.plain(node.inputs[1])),
            ..base
        };
        let reader = self.only_reader(id).map(|r| self.graph.node(r).op);
        if let Some(
            Op::Conv {
                kernel: 1,
                stride: 1,
                ..
            }
            | Op::Linear { .. },
        ) = reader
        {
            return gated;
        }
        let out = self.buffer(node.shape);
        self.forward.push(Forward::Materialize {
            view: gated,
            map: Map::of(node.shape),
            out,
        });
        View::plain(out)
    }

    fn concat(&mut self, node: &Node) -> View {
        let parts: Vec<(Buffer, usize)> = node
            .inputs
            .iter()
            .map(|i| (self.plain(*i), self.graph.node(*i).shape.c))
            .collect();
        let out = self.buffer(node.shape);
        let mut offset = 0;
        for (x, channels) in parts {
            let part = Part {
                channels,
                offset,
                total: node.shape.c,
            };
            self.forward.push(Forward::Concat { x, part, out });
            offset += channels;
        }
        View::plain(out)
    }
}
