//! The parameters that a graph needs: names, shapes and roles, in graph order.

use super::{Graph, Node, Op};

/// One parameter tensor of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSpec {
    /// Node name and suffix, as `blocks.1.0.expand.conv.weight`.
    pub name: String,
    /// Extents, outermost first; see [`Op`] for each kernel's order.
    pub shape: Vec<usize>,
    /// What the tensor is for.
    pub role: ParamRole,
}

impl ParamSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor holds no value; never true of a parameter of a graph.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a parameter tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamRole {
    /// `[filters, kernel, kernel, in]` of [`Op::Conv`].
    ConvKernel,
    /// `[kernel, kernel, channels]` of [`Op::DepthwiseConv`].
    DepthwiseKernel,
    /// `[features, in]` of [`Op::Linear`].
    LinearKernel,
    /// `[channels]` added after a convolution or linear layer.
    Bias,
    /// Batch-norm gamma.
    BnScale,
    /// Batch-norm beta.
    BnShift,
    /// Batch-norm running mean; not trained.
    BnMean,
    /// Batch-norm running variance; not trained.
    BnVar,
}

impl ParamRole {
    /// Whether the optimiser updates it and the parameter count includes it.
    pub const fn trainable(self) -> bool {
        !matches!(self, ParamRole::BnMean | ParamRole::BnVar)
    }

    /// Whether weight decay applies: every trainable tensor except batch-norm's (reference code).
    pub const fn decays(self) -> bool {
        self.trainable() && !matches!(self, ParamRole::BnScale | ParamRole::BnShift)
    }

    /// Name suffix after the node's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            ParamRole::ConvKernel | ParamRole::DepthwiseKernel | ParamRole::LinearKernel => {
                "weight"
            }
            ParamRole::BnScale => "weight",
            ParamRole::Bias | ParamRole::BnShift => "bias",
            ParamRole::BnMean => "running_mean",
            ParamRole::BnVar => "running_var",
        }
    }
}

impl Graph {
    /// Parameters of one node, in the order kernel, bias or scale, shift, mean, variance.
    pub fn node_params(&self, node: &Node) -> Vec<ParamSpec> {
        let mut params = vec![];
        self.visit_params(node, |role, shape| {
            params.push(ParamSpec {
                name: format!("{}.{}", node.name, role.suffix()),
                shape: shape.to_vec(),
                role,
            });
        });
        params
    }

    /// Role and extents of each of a node's parameters, in that order.
    pub(crate) fn visit_params(&self, node: &Node, mut visit: impl FnMut(ParamRole, &[usize])) {
        use ParamRole::*;
        let channels = || self.node(node.inputs[0]).shape.c;
        match node.op {
            Op::Conv {
                kernel: k,
                filters,
                bias,
                ..
            } => {
                visit(ConvKernel, &[filters, k, k, channels()]);
                if bias {
                    visit(Bias, &[filters]);
                }
            }
            Op::DepthwiseConv {
                kernel: k, bias, ..
            } => {
                visit(DepthwiseKernel, &[k, k, channels()]);
                if bias {
                    visit(Bias, &[channels()]);
                }
            }
            Op::Linear { features } => {
                visit(LinearKernel, &[features, channels()]);
                visit(Bias, &[features]);
            }
            Op::BatchNorm { .. } => {
                for role in [BnScale, BnShift, BnMean, BnVar] {
                    visit(role, &[node.shape.c]);
                }
            }
            Op::Input
            | Op::Act(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::AvgPool { .. }
            | Op::MaxPool { .. }
            | Op::GlobalAvgPool
            | Op::Dropout { .. } => {}
        }
    }

    /// All parameters, in graph order.
    pub fn params(&self) -> Vec<ParamSpec> {
        self.nodes()
            .iter()
            .flat_map(|n| self.node_params(n))
            .collect()
    }
}
