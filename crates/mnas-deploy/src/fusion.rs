//! Which activations are part of the operator before them: in a TFLite file, and wherever values are
//! 8-bit, since the values between the two would then be rounded for nothing.

use mnas_net::{Activation, Graph, NodeId, Op};

/// Activations of a folded graph that disappear into the operator that makes their input.
#[derive(Debug)]
pub(crate) struct Fusion {
    /// Per node, the activation that it applies to its own value.
    activation: Vec<Option<Activation>>,
    /// Per node, the node whose value it makes: itself, or the activation that it absorbs.
    makes: Vec<NodeId>,
    /// Per node, whether it is an activation that another absorbs.
    absorbed: Vec<bool>,
}

impl Fusion {
    pub(crate) fn of(graph: &Graph) -> Self {
        let n = graph.nodes().len();
        let uses = crate::fold::use_counts(graph);
        let mut fusion = Self {
            activation: vec![None; n],
            makes: graph.ids().collect(),
            absorbed: vec![false; n],
        };
        for id in graph.ids() {
            let node = graph.node(id);
            let Op::Act(activation @ (Activation::Relu | Activation::Relu6)) = node.op else {
                continue;
            };
            let before = node.inputs[0];
            // Concatenation has a fused activation too, but engines hand it to slow paths.
            let can_fuse = matches!(
                graph.node(before).op,
                Op::Conv { .. }
                    | Op::DepthwiseConv { .. }
                    | Op::Linear { .. }
                    | Op::Add
                    | Op::Mul
                    | Op::AvgPool { .. }
                    | Op::MaxPool { .. }
            );
            if can_fuse && uses[before.index()] == 1 {
                fusion.activation[before.index()] = Some(activation);
                fusion.makes[before.index()] = id;
                fusion.absorbed[id.index()] = true;
            }
        }
        fusion
    }

    /// The activation that a node applies to its own value.
    pub(crate) fn activation(&self, id: NodeId) -> Option<Activation> {
        self.activation[id.index()]
    }

    /// The node whose value this one makes.
    pub(crate) fn makes(&self, id: NodeId) -> NodeId {
        self.makes[id.index()]
    }

    /// Whether a node is part of the one before it.
    pub(crate) fn is_absorbed(&self, id: NodeId) -> bool {
        self.absorbed[id.index()]
    }
}
