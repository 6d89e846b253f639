//! A network as a graph of primitives. A [`Graph`] that exists is valid: only [`GraphBuilder`]
//! makes one, and it checks each node's inputs and shapes as the node is added.

use std::collections::HashSet;
use std::fmt;

pub(crate) mod op;
pub(crate) mod param;
pub(crate) mod shape;
#[cfg(test)]
mod tests;

use op::Op;
use shape::{Padding, PaddingRule, Shape, same_padding, symmetric_padding};

/// Index of a node in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// Position in [`Graph::nodes`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One primitive with its inputs and the shape of its output.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Nodes read, each earlier in the graph.
    pub inputs: Vec<NodeId>,
    /// Output shape of one image.
    pub shape: Shape,
    /// Unique dotted path, as `blocks.1.0.expand.conv`.
    pub name: String,
}

/// A valid network: nodes in topological order, the first of which is the image.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    output: NodeId,
    padding: PaddingRule,
}

impl Graph {
    /// Nodes in topological order; index with [`NodeId::index`].
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this id.
    ///
    /// # Panics
    /// If `id` is of another, larger graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Ids of all nodes in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// Shape of the image.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// Where convolution windows lie. Pooling windows are "same" under either rule.
    pub fn padding(&self) -> PaddingRule {
        self.padding
    }

    /// Padding of a node's window, of rows and of columns; none for a node without window.
    pub fn window_padding(&self, node: &Node) -> [Padding; 2] {
        let (rule, kernel, stride) = match node.op {
            Op::Conv { kernel, stride, .. } | Op::DepthwiseConv { kernel, stride, .. } => {
                (self.padding, kernel, stride)
            }
            Op::AvgPool { kernel, stride } | Op::MaxPool { kernel, stride } => {
                (PaddingRule::Same, kernel, stride)
            }
            _ => (PaddingRule::Same, 1, 1),
        };
        let x = node
            .inputs
            .first()
            .map_or(node.shape, |i| self.node(*i).shape);
        [x.h, x.w].map(|n| match rule {
            PaddingRule::Same => same_padding(n, kernel, stride),
            PaddingRule::Symmetric => symmetric_padding(n, kernel, stride),
        })
    }

    /// The node whose value is the network's answer.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// Shape of the answer; `1 x 1 x classes` of a classifier.
    pub fn output_shape(&self) -> Shape {
        self.node(self.output).shape
    }
}

impl fmt::Display for Graph {
    /// A line per node: name, operation, inputs, shape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for n in &self.nodes {
            let inputs: Vec<&str> = n.inputs.iter().map(|i| &*self.node(*i).name).collect();
            writeln!(
                f,
                "{} = {:?}({}) {}",
                n.name,
                n.op,
                inputs.join(", "),
                n.shape
            )?;
        }
        Ok(())
    }
}

/// Why a node could not be added. The message starts with the node's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A second node with the same name.
    #[error("{node}: another node already has this name")]
    DuplicateName {
        /// The name used twice.
        node: String,
    },
    /// Too few or too many inputs.
    #[error("{node}: {op} takes {expected} input(s), not {got}")]
    InputCount {
        /// The node's name.
        node: String,
        /// The primitive.
        op: &'static str,
        /// What the primitive takes.
        expected: &'static str,
        /// What was given.
        got: usize,
    },
    /// Inputs whose shapes don't go together.
    #[error("{node}: {op} can't join {left} and {right}")]
    ShapeMismatch {
        /// The node's name.
        node: String,
        /// The primitive.
        op: &'static str,
        /// Shape of the first input.
        left: Shape,
        /// Shape of the offending input.
        right: Shape,
    },
    /// A zero where a positive number is needed (kernel, stride, filters, extent).
    #[error("{node}: {what} must be at least 1")]
    Zero {
        /// The node's name.
        node: String,
        /// What is zero.
        what: &'static str,
    },
    /// An even kernel.
    #[error("{node}: kernel {kernel} is even; odd kernels only")]
    EvenKernel {
        /// The node's name.
        node: String,
        /// The kernel's side.
        kernel: usize,
    },
    /// A linear layer on a map of more than one pixel.
    #[error("{node}: linear needs a 1x1 input, not {shape}; pool first")]
    NotAVector {
        /// The node's name.
        node: String,
        /// The input's shape.
        shape: Shape,
    },
    /// A tensor too large to address.
    #[error("{node}: {shape}, or the kernel that makes it, is too large")]
    TooLarge {
        /// The node's name.
        node: String,
        /// The output's shape.
        shape: Shape,
    },
}

/// Largest number of values in one activation or kernel; keeps every byte count in range.
const MAX_VALUES: usize = 1 << 31;

/// Builds a [`Graph`] node by node; each call checks the node.
#[derive(Debug)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    names: HashSet<String>,
    padding: PaddingRule,
}

impl GraphBuilder {
    /// A graph that starts at an image of this shape.
    ///
    /// # Errors
    /// [`GraphError::Zero`] or [`GraphError::TooLarge`] where the shape is empty or too large.
    pub fn new(input: Shape) -> Result<Self, GraphError> {
        let mut b = Self {
            nodes: vec![],
            names: HashSet::new(),
            padding: PaddingRule::Same,
        };
        if input.is_empty() {
            return Err(GraphError::Zero {
                node: "input".into(),
                what: "input size",
            });
        }
        b.push("input", Op::Input, &[], input)?;
        Ok(b)
    }

    /// The same graph with convolution windows placed by `rule`; "same" otherwise.
    #[must_use]
    pub fn with_padding(mut self, rule: PaddingRule) -> Self {
        self.padding = rule;
        self
    }

    /// The image.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// Shape of a node's output.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.nodes[id.index()].shape
    }

    /// Adds a primitive and returns its id.
    ///
    /// # Errors
    /// A [`GraphError`] that names the node where the inputs don't fit the primitive.
    pub fn add(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        let shape = self.infer(name, op, inputs)?;
        self.push(name, op, inputs, shape)
    }

    /// Finishes the graph with `output` as its answer. Nodes that the output doesn't need stay.
    pub fn finish(self, output: NodeId) -> Graph {
        Graph {
            nodes: self.nodes,
            output,
            padding: self.padding,
        }
    }

    fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[NodeId],
        shape: Shape,
    ) -> Result<NodeId, GraphError> {
        let values = [shape.h, shape.w, shape.c]
            .iter()
            .try_fold(1usize, |a, b| a.checked_mul(*b));
        if values.is_none_or(|v| v > MAX_VALUES) {
            return Err(GraphError::TooLarge {
                node: name.into(),
                shape,
            });
        }
        if !self.names.insert(name.into()) {
            return Err(GraphError::DuplicateName { node: name.into() });
        }
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            shape,
            name: name.into(),
        });
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    /// Output shape of `op` on these inputs.
    fn infer(&self, name: &str, op: Op, inputs: &[NodeId]) -> Result<Shape, GraphError> {
        let expected = match op {
            Op::Input => "no",
            Op::Add | Op::Mul => "2",
            Op::Concat => "2 or more",
            _ => "1",
        };
        let fits = match op {
            // The image is the builder's own node.
            Op::Input => false,
            Op::Add | Op::Mul => inputs.len() == 2,
            Op::Concat => inputs.len() >= 2,
            _ => inputs.len() == 1,
        };
        if !fits {
            let (node, op, got) = (name.into(), op.name(), inputs.len());
            return Err(GraphError::InputCount {
                node,
                op,
                expected,
                got,
            });
        }
        let shapes: Vec<Shape> = inputs.iter().map(|i| self.shape(*i)).collect();
        match op {
            Op::Add | Op::Mul | Op::Concat => joined(name, op, &shapes),
            _ => mapped(name, op, shapes[0]),
        }
    }
}

/// Output shape of a primitive with several inputs.
fn joined(name: &str, op: Op, inputs: &[Shape]) -> Result<Shape, GraphError> {
    let first = inputs[0];
    let fits = |x: Shape| match op {
        Op::Add => x == first,
        Op::Mul => x == Shape::new(1, 1, first.c),
        _ => (x.h, x.w) == (first.h, first.w),
    };
    if let Some(&right) = inputs[1..].iter().find(|x| !fits(**x)) {
        let (node, op, left) = (name.into(), op.name(), first);
        return Err(GraphError::ShapeMismatch {
            node,
            op,
            left,
            right,
        });
    }
    match op {
        Op::Concat => Ok(Shape {
            c: inputs.iter().map(|x| x.c).sum(),
            ..first
        }),
        _ => Ok(first),
    }
}

/// Output shape of a primitive with one input.
fn mapped(name: &str, op: Op, x: Shape) -> Result<Shape, GraphError> {
    match op {
        Op::Conv {
            kernel,
            stride,
            filters,
            ..
        } => window(
            name,
            x,
            kernel,
            stride,
            filters,
            kernel.saturating_pow(2).saturating_mul(x.c),
        ),
        Op::DepthwiseConv { kernel, stride, .. } => {
            window(name, x, kernel, stride, x.c, kernel.saturating_pow(2))
        }
        Op::AvgPool { kernel, stride } | Op::MaxPool { kernel, stride } => {
            window(name, x, kernel, stride, x.c, 1)
        }
        Op::GlobalAvgPool => Ok(Shape::new(1, 1, x.c)),
        Op::Linear { features } => {
            nonzero(name, "features", features)?;
            if x.pixels() != 1 {
                return Err(GraphError::NotAVector {
                    node: name.into(),
                    shape: x,
                });
            }
            addressable(name, Shape::new(1, 1, features), x.c)
        }
        _ => Ok(x),
    }
}

/// Output shape, the same under every padding rule, of a sliding window with `fan_in` kernel values per output channel.
fn window(
    name: &str,
    x: Shape,
    kernel: usize,
    stride: usize,
    filters: usize,
    fan_in: usize,
) -> Result<Shape, GraphError> {
    nonzero(name, "kernel", kernel)?;
    nonzero(name, "stride", stride)?;
    nonzero(name, "filters", filters)?;
    if kernel.is_multiple_of(2) {
        return Err(GraphError::EvenKernel {
            node: name.into(),
            kernel,
        });
    }
    let (h, w) = (
        same_padding(x.h, kernel, stride).output,
        same_padding(x.w, kernel, stride).output,
    );
    addressable(name, Shape::new(h, w, filters), fan_in)
}

fn nonzero(name: &str, what: &'static str, value: usize) -> Result<(), GraphError> {
    if value == 0 {
        Err(GraphError::Zero {
            node: name.into(),
            what,
        })
    } else {
        Ok(())
    }
}

/// Refuses a kernel of more than [`MAX_VALUES`].
fn addressable(name: &str, shape: Shape, fan_in: usize) -> Result<Shape, GraphError> {
    if shape.c.checked_mul(fan_in).is_none_or(|v| v > MAX_VALUES) {
        return Err(GraphError::TooLarge {
            node: name.into(),
            shape,
        });
    }
    Ok(shape)
}
