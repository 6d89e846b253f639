//! `cell`: a cell of NASNet, whose graph the lines `normal` and `reduce` describe.

use super::parts::conv_bn_act;
use super::{Block, BlockKind, Layer};
use crate::graph::op::{Activation, Op};
use crate::spec::{Cells, Edge, EdgeOp, Key};
use crate::{GraphBuilder, GraphError, NodeId};

/// The concatenation, with activation, of a cell's output states, each of `c` channels
/// (Zoph et al. 2018, arXiv:1707.07012, section 3 and appendix A.4; `nasnet_utils.py` of
/// `tensorflow/models`). The reference activates before each convolution; here the cell's output is
/// activated once, which is the same for every reader that begins with an activation.
///
/// Its factorized reduction takes every other pixel in one half of its channels and the pixels
/// between them in the other. Here the other half is the 3x3 average, for which there is a primitive.
pub(crate) struct NasCell;

impl BlockKind for NasCell {
    fn code(&self) -> &'static str {
        "cell"
    }

    fn summary(&self) -> &'static str {
        "NASNet cell of the lines `normal` and `reduce`"
    }

    fn required(&self) -> &'static [Key] {
        &[Key::Repeats, Key::Stride, Key::Width]
    }

    fn optional(&self) -> &'static [Key] {
        &[Key::Act]
    }

    fn output_width(&self, block: &Block, cells: &Cells) -> usize {
        // Where the block has a single layer, that is the one with the stride.
        let last = if block.repeats == 1 { block.stride } else { 1 };
        block.width.saturating_mul(cells.at(last).outputs().len())
    }

    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError> {
        Builder {
            layer,
            g,
            states: vec![],
        }
        .build()
    }
}

/// A value inside a cell, and the same activated, once something read it so.
#[derive(Clone, Copy)]
struct State {
    value: NodeId,
    active: Option<NodeId>,
}

struct Builder<'a, 'g> {
    layer: &'a Layer<'a>,
    g: &'g mut GraphBuilder,
    states: Vec<State>,
}

impl Builder<'_, '_> {
    fn build(mut self) -> Result<NodeId, GraphError> {
        let cell = self.layer.cells.at(self.layer.stride).canonical();
        let outputs = cell.outputs();
        let read = |s: usize| {
            let mut edges = cell.nodes.iter().flatten();
            outputs.contains(&s) || edges.any(|e| e.state == s)
        };
        // An input that nothing reads isn't fitted; its state stands for nothing.
        let raw = |value| State {
            value,
            active: Some(value),
        };
        let before = if read(0) {
            self.fit(self.layer.input, "state0")?
        } else {
            raw(self.layer.input)
        };
        let earlier = if read(1) && self.layer.previous != self.layer.input {
            self.fit_earlier()?
        } else {
            raw(self.layer.previous)
        };
        self.states = vec![before, earlier];
        for (i, node) in cell.nodes.iter().enumerate() {
            let a = self.edge(node[0], &format!("node{}.a", i + 2))?;
            let b = self.edge(node[1], &format!("node{}.b", i + 2))?;
            let value = self.add(&format!("node{}.add", i + 2), Op::Add, &[a, b])?;
            self.states.push(State {
                value,
                active: None,
            });
        }
        let mut joined = vec![];
        for state in outputs {
            let op = EdgeOp::Identity;
            joined.push(self.edge(Edge { state, op }, &format!("join{state}"))?);
        }
        let output = match joined[..] {
            [one] => one,
            _ => self.add("concat", Op::Concat, &joined)?,
        };
        self.add("act", Op::Act(self.act()), &[output])
    }

    fn act(&self) -> Activation {
        self.layer.block.act
    }

    fn width(&self) -> usize {
        self.layer.block.width
    }

    fn add(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        self.g.add(&self.layer.node(name), op, inputs)
    }

    /// A 1x1 convolution to the cell's width with batch norm.
    fn pointwise(
        &mut self,
        x: NodeId,
        name: &str,
        (stride, width): (usize, usize),
    ) -> Result<NodeId, GraphError> {
        conv_bn_act(self.g, &self.layer.node(name), x, (1, stride, width), None)
    }

    fn fit(&mut self, x: NodeId, name: &str) -> Result<State, GraphError> {
        let value = self.pointwise(x, name, (1, self.width()))?;
        Ok(State {
            value,
            active: None,
        })
    }

    /// State 1 at the height, width and channels of the cell.
    fn fit_earlier(&mut self) -> Result<State, GraphError> {
        let x = self.layer.previous;
        let (from, to) = (self.g.shape(x), self.g.shape(self.layer.input));
        if (from.h, from.w) == (to.h, to.w) {
            return if from.c == self.width() {
                Ok(State {
                    value: x,
                    active: Some(x),
                })
            } else {
                self.fit(x, "state1")
            };
        }
        // The least stride that leads from one to the other ("same" padding divides, rounding up).
        let stride = from.h.div_ceil(to.h).max(from.w.div_ceil(to.w));
        let pool = Op::AvgPool { kernel: 3, stride };
        let half = self.width() / 2;
        let average = self.add("state1.pool", pool, &[x])?;
        let mut value = self.pointwise(average, "state1.average", (1, self.width() - half))?;
        if half > 0 {
            let picked = self.pointwise(x, "state1.pick", (stride, half))?;
            value = self.add("state1.concat", Op::Concat, &[picked, value])?;
        }
        Ok(State {
            value,
            active: None,
        })
    }

    /// A state, activated.
    fn active(&mut self, state: usize) -> Result<NodeId, GraphError> {
        if let Some(active) = self.states[state].active {
            return Ok(active);
        }
        let act = Op::Act(self.act());
        let value = self.states[state].value;
        let active = self.add(&format!("state{state}.act"), act, &[value])?;
        self.states[state].active = Some(active);
        Ok(active)
    }

    /// An edge's value. Only the cell's inputs are read at its stride.
    fn edge(&mut self, edge: Edge, name: &str) -> Result<NodeId, GraphError> {
        let stride = match edge.state {
            0 | 1 => self.layer.stride,
            _ => 1,
        };
        let value = self.states[edge.state].value;
        let fits = self.g.shape(value).c == self.width();
        match edge.op {
            EdgeOp::Sep3 => self.separable(edge.state, name, (3, stride)),
            EdgeOp::Sep5 => self.separable(edge.state, name, (5, stride)),
            EdgeOp::Sep7 => self.separable(edge.state, name, (7, stride)),
            EdgeOp::Identity if stride == 1 && fits => Ok(value),
            EdgeOp::Identity => {
                let x = self.active(edge.state)?;
                self.pointwise(x, name, (stride, self.width()))
            }
            EdgeOp::Avg3 | EdgeOp::Max3 => {
                let kernel = 3;
                let op = match edge.op {
                    EdgeOp::Avg3 => Op::AvgPool { kernel, stride },
                    _ => Op::MaxPool { kernel, stride },
                };
                let pooled = self.add(&format!("{name}.pool"), op, &[value])?;
                match fits {
                    true => Ok(pooled),
                    false => self.pointwise(pooled, name, (1, self.width())),
                }
            }
        }
    }

    /// Twice: activation, depthwise convolution, 1x1 convolution, batch norm. The stride is the
    /// first one's.
    fn separable(
        &mut self,
        state: usize,
        name: &str,
        (kernel, stride): (usize, usize),
    ) -> Result<NodeId, GraphError> {
        let mut x = self.active(state)?;
        for (i, stride) in [stride, 1].into_iter().enumerate() {
            if i > 0 {
                x = self.add(&format!("{name}.{i}.act"), Op::Act(self.act()), &[x])?;
            }
            let op = Op::DepthwiseConv {
                kernel,
                stride,
                bias: false,
            };
            x = self.add(&format!("{name}.{i}.depthwise"), op, &[x])?;
            x = self.pointwise(x, &format!("{name}.{i}"), (1, self.width()))?;
        }
        Ok(x)
    }
}
