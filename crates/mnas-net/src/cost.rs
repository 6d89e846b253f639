//! Exact cost of a graph, in the conventions of the papers.

use serde::Serialize;

use crate::graph::op::Op;
use crate::{Graph, Node};

/// Cost of one image through a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Trainable values: kernels, biases, batch-norm scale and shift (not the running statistics).
    pub params: u64,
    /// Multiply-accumulates of convolutions and linear layers, squeeze-excitation included;
    /// one multiply and one add count as one.
    pub macs: u64,
    /// Most bytes of float32 activations alive at once when nodes run in graph order at batch 1,
    /// with batch norm, activation and dropout computed in place, as inference engines do.
    pub activation_bytes_peak: u64,
    /// Cost per node that has parameters or multiplies, in graph order.
    pub layers: Vec<LayerCost>,
}

/// Cost of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerCost {
    /// The node's name.
    pub name: String,
    /// The primitive.
    pub op: &'static str,
    /// Output shape, as `14x14x80`.
    pub output: String,
    /// Trainable values.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
}

/// Multiply-accumulates and parameters of a graph, as [`cost`] counts them, in a tenth of its time.
pub fn macs_and_params(graph: &Graph) -> (u64, u64) {
    let nodes = graph.nodes().iter();
    nodes.fold((0, 0), |(m, p), n| {
        (m + macs(graph, n), p + params(graph, n))
    })
}

/// Computes the cost of a graph.
pub fn cost(graph: &Graph) -> Cost {
    let layers: Vec<LayerCost> = graph
        .nodes()
        .iter()
        .map(|n| LayerCost {
            name: n.name.clone(),
            op: n.op.name(),
            output: n.shape.to_string(),
            params: params(graph, n),
            macs: macs(graph, n),
        })
        .filter(|l| l.params + l.macs > 0)
        .collect();
    Cost {
        params: layers.iter().map(|l| l.params).sum(),
        macs: layers.iter().map(|l| l.macs).sum(),
        activation_bytes_peak: activation_bytes_peak(graph),
        layers,
    }
}

fn params(graph: &Graph, node: &Node) -> u64 {
    let mut values = 0;
    graph.visit_params(node, |role, shape| {
        if role.trainable() {
            values += shape.iter().product::<usize>() as u64;
        }
    });
    values
}

fn macs(graph: &Graph, node: &Node) -> u64 {
    let out = node.shape.len() as u64;
    match node.op {
        Op::Conv { kernel, .. } => {
            out * (kernel * kernel * graph.node(node.inputs[0]).shape.c) as u64
        }
        Op::DepthwiseConv { kernel, .. } => out * (kernel * kernel) as u64,
        Op::Linear { .. } => out * graph.node(node.inputs[0]).shape.c as u64,
        _ => 0,
    }
}

fn activation_bytes_peak(graph: &Graph) -> u64 {
    let nodes = graph.nodes();
    let in_place = |op: &Op| matches!(op, Op::BatchNorm { .. } | Op::Act(_) | Op::Dropout { .. });
    // The buffer that a node's value lies in: its own, or its input's where it runs in place.
    let mut buffer: Vec<usize> = (0..nodes.len()).collect();
    let mut last_use = vec![0usize; nodes.len()];
    for (i, n) in nodes.iter().enumerate() {
        if in_place(&n.op) {
            buffer[i] = buffer[n.inputs[0].index()];
        }
        last_use[buffer[i]] = i;
        n.inputs
            .iter()
            .for_each(|x| last_use[buffer[x.index()]] = i);
    }
    last_use[buffer[graph.output().index()]] = nodes.len();
    let (mut alive, mut peak) = (0u64, 0u64);
    for (i, n) in nodes.iter().enumerate() {
        if buffer[i] == i {
            alive += 4 * n.shape.len() as u64;
        }
        peak = peak.max(alive);
        let dead = (0..=i).filter(|b| buffer[*b] == *b && last_use[*b] == i);
        alive -= dead.map(|b| 4 * nodes[b].shape.len() as u64).sum::<u64>();
    }
    peak
}
