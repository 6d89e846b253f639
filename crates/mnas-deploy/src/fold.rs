//! Batch-norm folding: the graph that is trained becomes the graph that is deployed.
//!
//! In evaluation mode batch norm is `y = (x - mean) * scale + shift` with
//! `scale = gamma / sqrt(var + epsilon)`, which a preceding linear layer absorbs exactly (up to
//! rounding). Where there is none to absorb it, it becomes the depthwise 1x1 convolution that it
//! is, so that nothing is left out and nothing is approximated.

use std::collections::BTreeMap;

use mnas_net::{Graph, GraphBuilder, Node, NodeId, Op, ParamRole, Tensor, Weights, WeightsError};

#[cfg(test)]
mod tests;

/// Folds every batch norm of `graph` into the convolution or linear layer before it, and drops
/// dropout and nodes that the output doesn't need.
///
/// A batch norm is absorbed where that layer's value is read by the batch norm alone; elsewhere it
/// becomes a 1x1 depthwise convolution with bias under the batch norm's name. Activations stay
/// nodes of their own. Layers keep their names; the metadata of `weights` is kept.
///
/// # Errors
/// [`WeightsError`] where `weights` are not exactly those of `graph`.
pub fn fold_batch_norm(graph: &Graph, weights: &Weights) -> Result<(Graph, Weights), WeightsError> {
    weights.check(graph)?;
    let live = live_nodes(graph);
    let mut folder = Folder {
        graph,
        weights,
        uses: effective_uses(graph, &live),
        layers: vec![],
        layer_of: vec![0; graph.nodes().len()],
    };
    for id in graph.ids().filter(|id| live[id.index()]) {
        folder.visit(id);
    }
    Ok(folder.finish())
}

/// How often each node's value is read; being the network's answer counts as a read.
pub(crate) fn use_counts(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes().len()];
    for input in graph.nodes().iter().flat_map(|n| &n.inputs) {
        uses[input.index()] += 1;
    }
    uses[graph.output().index()] += 1;
    uses
}

/// Which nodes the answer depends on.
fn live_nodes(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.nodes().len()];
    live[0] = true;
    live[graph.output().index()] = true;
    for id in graph.ids().rev() {
        if live[id.index()] {
            for input in &graph.node(id).inputs {
                live[input.index()] = true;
            }
        }
    }
    live
}

/// [`use_counts`] of the live nodes as if dropout were not there: a dropout's readers count as
/// readers of what it reads.
fn effective_uses(graph: &Graph, live: &[bool]) -> Vec<usize> {
    let mut source: Vec<usize> = (0..live.len()).collect();
    let mut uses = vec![0; live.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        if let Op::Dropout { .. } = node.op {
            source[id.index()] = source[node.inputs[0].index()];
        } else {
            for input in &node.inputs {
                uses[source[input.index()]] += 1;
            }
        }
    }
    uses[source[graph.output().index()]] += 1;
    uses
}

/// One node of the folded graph. Inputs are positions in [`Folder::layers`].
struct Layer {
    name: String,
    op: Op,
    inputs: Vec<usize>,
    kernel: Option<Tensor>,
    bias: Option<Vec<f32>>,
    /// How many nodes read this layer's value, the answer included.
    uses: usize,
}

struct Folder<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    uses: Vec<usize>,
    layers: Vec<Layer>,
    /// Layer that holds each original node's value.
    layer_of: Vec<usize>,
}

impl Folder<'_> {
    fn visit(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let inputs: Vec<usize> = node
            .inputs
            .iter()
            .map(|i| self.layer_of[i.index()])
            .collect();
        self.layer_of[id.index()] = match node.op {
            Op::Dropout { .. } => inputs[0],
            Op::BatchNorm { epsilon } => {
                let norm = Affine::of(node, epsilon, self.weights);
                self.batch_norm(node, norm, inputs[0], self.uses[id.index()])
            }
            Op::Input
            | Op::Conv { .. }
            | Op::DepthwiseConv { .. }
            | Op::Act(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::AvgPool { .. }
            | Op::MaxPool { .. }
            | Op::GlobalAvgPool
            | Op::Linear { .. } => self.copy(node, inputs, self.uses[id.index()]),
        };
    }

    fn copy(&mut self, node: &Node, inputs: Vec<usize>, uses: usize) -> usize {
        let mut layer = Layer {
            name: node.name.clone(),
            op: node.op,
            inputs,
            kernel: None,
            bias: None,
            uses,
        };
        for p in self.graph.node_params(node) {
            let tensor = self.weights.get(&p.name).clone();
            match p.role {
                ParamRole::Bias => layer.bias = Some(tensor.data),
                _ => layer.kernel = Some(tensor),
            }
        }
        self.push(layer)
    }

    fn push(&mut self, layer: Layer) -> usize {
        self.layers.push(layer);
        self.layers.len() - 1
    }

    /// Applies a batch norm to the value of layer `input`; returns the layer that holds the result.
    fn batch_norm(&mut self, node: &Node, norm: Affine, input: usize, uses: usize) -> usize {
        let layer = &mut self.layers[input];
        if let (1, Some(kernel)) = (layer.uses, &mut layer.kernel) {
            norm.scale_kernel(&layer.op, kernel);
            layer.bias = Some(norm.bias(layer.bias.as_deref()));
            layer.op = with_bias(layer.op);
            layer.uses = uses;
            return input;
        }
        let kernel = Tensor {
            shape: vec![1, 1, node.shape.c],
            data: norm.scale.iter().map(|s| *s as f32).collect(),
        };
        self.push(Layer {
            name: node.name.clone(),
            op: Op::DepthwiseConv {
                kernel: 1,
                stride: 1,
                bias: true,
            },
            inputs: vec![input],
            kernel: Some(kernel),
            bias: Some(norm.bias(None)),
            uses,
        })
    }

    fn finish(self) -> (Graph, Weights) {
        let output = self.layer_of[self.graph.output().index()];
        let mut tensors = BTreeMap::new();
        let (mut builder, mut ids) = (start(self.graph), vec![]);
        for layer in self.layers {
            if let Some(kernel) = layer.kernel {
                tensors.insert(format!("{}.weight", layer.name), kernel);
            }
            if let Some(data) = layer.bias {
                let shape = vec![data.len()];
                tensors.insert(format!("{}.bias", layer.name), Tensor { shape, data });
            }
            if layer.op == Op::Input {
                ids.push(builder.input());
                continue;
            }
            let inputs: Vec<NodeId> = layer.inputs.iter().map(|i| ids[*i]).collect();
            ids.push(
                builder
                    .add(&layer.name, layer.op, &inputs)
                    .expect("folding keeps each node's shape and name, so what was valid stays so"),
            );
        }
        let metadata = self.weights.metadata.clone();
        (builder.finish(ids[output]), Weights { tensors, metadata })
    }
}

fn start(graph: &Graph) -> GraphBuilder {
    GraphBuilder::new(graph.input_shape())
        .expect("it is the input shape of a graph, so a graph can have it")
        .with_padding(graph.padding())
}

/// The same layer with a bias. Layers without kernel have none and are returned as they are.
fn with_bias(op: Op) -> Op {
    match op {
        Op::Conv {
            kernel,
            stride,
            filters,
            ..
        } => Op::Conv {
            kernel,
            stride,
            filters,
            bias: true,
        },
        Op::DepthwiseConv { kernel, stride, .. } => Op::DepthwiseConv {
            kernel,
            stride,
            bias: true,
        },
        other => other,
    }
}

/// A batch norm in evaluation mode: `x * scale + (shift - mean * scale)`, per channel.
struct Affine {
    scale: Vec<f64>,
    mean: Vec<f64>,
    shift: Vec<f64>,
}

impl Affine {
    fn of(node: &Node, epsilon: f32, weights: &Weights) -> Self {
        let param = |role: ParamRole| -> Vec<f64> {
            let name = format!("{}.{}", node.name, role.suffix());
            weights
                .get(&name)
                .data
                .iter()
                .map(|v| f64::from(*v))
                .collect()
        };
        let gamma = param(ParamRole::BnScale);
        let var = param(ParamRole::BnVar);
        Self {
            scale: gamma
                .iter()
                .zip(&var)
                .map(|(g, v)| g / (v + f64::from(epsilon)).sqrt())
                .collect(),
            mean: param(ParamRole::BnMean),
            shift: param(ParamRole::BnShift),
        }
    }

    /// Scales each output channel: the outermost extent of a kernel, the innermost of a depthwise.
    fn scale_kernel(&self, op: &Op, kernel: &mut Tensor) {
        let depthwise = matches!(op, Op::DepthwiseConv { .. });
        let channels = self.scale.len();
        let per_channel = kernel.data.len() / channels;
        for (i, w) in kernel.data.iter_mut().enumerate() {
            let c = if depthwise {
                i % channels
            } else {
                i / per_channel
            };
            *w = (f64::from(*w) * self.scale[c]) as f32;
        }
    }

    /// The bias after the norm of a layer with this bias, or with none.
    fn bias(&self, before: Option<&[f32]>) -> Vec<f32> {
        (0..self.scale.len())
            .map(|c| {
                let b = before.map_or(0.0, |b| f64::from(b[c]));
                (self.shift[c] + (b - self.mean[c]) * self.scale[c]) as f32
            })
            .collect()
    }
}
