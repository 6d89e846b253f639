//! A network block by block, read off its graph: what is drawn is what is trained and exported.

use std::collections::BTreeSet;

use mnas_net::{Block, Cells, Cost, Graph, NetSpec, Node, NodeId, Op, Shape, Skip, cost};
use serde::{Deserialize, Serialize};

/// A network block by block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// Shape of the image, as `28x28x1`.
    pub input: String,
    /// Number of classes.
    pub classes: u64,
    /// Trainable values.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Stem, blocks and head.
    pub stages: Vec<Stage>,
}

/// Stem, one block (a line of the spec) or head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `stem`, `block 0`, ..., `head`; numbered as the space's decisions and the graph's nodes are.
    pub name: String,
    /// Its line of the spec.
    pub line: String,
    /// What it is, in the paper's words: `MBConv6 5×5`.
    pub title: String,
    /// What kind of stage it is.
    pub kind: StageKind,
    /// Number of like layers.
    pub repeats: u64,
    /// Stride of the first layer.
    pub stride: u64,
    /// Whether its layers squeeze and excite.
    pub squeeze: bool,
    /// What its layers add to their output where they can.
    pub skip: Option<String>,
    /// Shape that it reads.
    pub input: String,
    /// Shape that it gives.
    pub output: String,
    /// Trainable values.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Its last layer, step by step.
    pub layer: Vec<Step>,
}

/// What kind of stage it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// The first convolution.
    Stem,
    /// Dense convolutions.
    Conv,
    /// Depthwise separable convolutions.
    Separable,
    /// Inverted residuals with a linear bottleneck.
    InvertedBottleneck,
    /// A kind that the report has no name for.
    Other,
    /// Last convolution, pooling and classifier.
    Head,
}

/// A step of a layer: an operation with the normalisation and activation that follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The operation, as `conv 1×1`.
    pub name: String,
    /// What follows it, as `batch norm, relu`.
    pub then: String,
    /// Shape that it gives.
    pub output: String,
    /// How it belongs to the layer.
    pub role: StepRole,
}

/// How a step belongs to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRole {
    /// One after the other.
    Main,
    /// A side branch whose result scales the channels of the step before it.
    Gate,
    /// What is added to the layer's result.
    Skip,
}

impl Architecture {
    /// The network of a spec's text on images of this shape; nothing where the text is no network
    /// or doesn't fit the image.
    pub fn of(text: &str, input: Shape, classes: usize) -> Option<Self> {
        let spec: NetSpec = text.parse().ok()?;
        let graph = spec.graph(input, classes).ok()?;
        let costs = cost(&graph);
        let mut stages = vec![stem(&spec, &graph, &costs)?];
        let present = spec.blocks.iter().filter(|b| b.repeats > 0);
        for (i, block) in present.enumerate() {
            stages.push(block_stage(i, block, &spec.cells, &graph, &costs)?);
        }
        stages.push(head(&spec, &graph, &costs)?);
        Some(Self {
            input: input.to_string(),
            classes: classes as u64,
            params: costs.params,
            macs: costs.macs,
            stages,
        })
    }
}

fn stem(spec: &NetSpec, graph: &Graph, costs: &Cost) -> Option<Stage> {
    let nodes = Part::of(graph, &["stem."])?;
    let stem = &spec.stem;
    Some(Stage {
        name: "stem".into(),
        line: stem.to_string(),
        title: format!("Conv {0}×{0}", stem.kernel),
        kind: StageKind::Stem,
        stride: stem.stride as u64,
        ..nodes.stage(&nodes, costs)
    })
}

fn block_stage(
    index: usize,
    block: &Block,
    cells: &Cells,
    graph: &Graph,
    costs: &Cost,
) -> Option<Stage> {
    let nodes = Part::of(graph, &[&format!("blocks.{index}.")])?;
    let last = format!("blocks.{index}.{}.", block.repeats.checked_sub(1)?);
    let last = Part::of(graph, &[&last])?;
    let (kind, family) = match block.kind.code() {
        "ir" => (
            StageKind::InvertedBottleneck,
            format!("MBConv{}", block.expand),
        ),
        "ds" | "sep" => (StageKind::Separable, "SepConv".into()),
        "cn" | "cp" => (StageKind::Conv, "Conv".into()),
        other => (StageKind::Other, other.into()),
    };
    let mut stage = nodes.stage(&last, costs);
    if block.kind.code() == "cell" {
        let (title, layer) = cell(block, cells, &stage.output);
        return Some(Stage {
            name: format!("block {index}"),
            line: block.to_string(),
            title,
            kind,
            repeats: block.repeats as u64,
            stride: block.stride as u64,
            layer,
            ..stage
        });
    }
    let added = stage.layer.iter().any(|s| s.role == StepRole::Skip);
    stage.squeeze = stage.layer.iter().any(|s| s.role == StepRole::Gate);
    stage.skip = added.then(|| match block.skip {
        Skip::Pool => "pool".into(),
        Skip::Identity | Skip::None => "identity".into(),
    });
    Some(Stage {
        name: format!("block {index}"),
        line: block.to_string(),
        title: format!("{family} {0}×{0}", block.kernel),
        kind,
        repeats: block.repeats as u64,
        stride: block.stride as u64,
        ..stage
    })
}

/// A cell's name, and its nodes as steps: what each adds up. A block with a stride is drawn by its first
/// layer, which is what sets it apart.
fn cell(block: &Block, cells: &Cells, output: &str) -> (String, Vec<Step>) {
    let (title, cell) = match block.stride {
        1 => ("Normal cell", &cells.normal),
        _ => ("Reduction cell", &cells.reduction),
    };
    let steps = cell.nodes.iter().enumerate().map(|(i, [a, b])| Step {
        name: format!("{}: {a} + {b}", i + 2),
        then: String::new(),
        output: output.into(),
        role: StepRole::Main,
    });
    (title.into(), steps.collect())
}

fn head(spec: &NetSpec, graph: &Graph, costs: &Cost) -> Option<Stage> {
    let nodes = Part::of(graph, &["head.", "classifier"])?;
    let title = match spec.head.width {
        0 => "Pool, FC".into(),
        _ => "Conv 1×1, pool, FC".into(),
    };
    Some(Stage {
        name: "head".into(),
        line: spec.head.to_string(),
        title,
        kind: StageKind::Head,
        ..nodes.stage(&nodes, costs)
    })
}

/// Nodes of a graph that belong together, in graph order.
struct Part<'a> {
    graph: &'a Graph,
    ids: Vec<NodeId>,
}

impl<'a> Part<'a> {
    /// Nodes whose names start with one of the prefixes; nothing where there are none.
    fn of(graph: &'a Graph, prefixes: &[&str]) -> Option<Self> {
        let named = |id: &NodeId| {
            let name = &graph.node(*id).name;
            prefixes.iter().any(|p| name.starts_with(p))
        };
        let ids: Vec<NodeId> = graph.ids().filter(named).collect();
        (!ids.is_empty()).then_some(Self { graph, ids })
    }

    fn nodes(&self) -> impl Iterator<Item = &'a Node> {
        self.ids.iter().map(|id| self.graph.node(*id))
    }

    /// The stage of these nodes, drawn by its layer `drawn`; names are left to the caller.
    fn stage(&self, drawn: &Part<'_>, costs: &Cost) -> Stage {
        let names: BTreeSet<&str> = self.nodes().map(|n| &*n.name).collect();
        let layers = || costs.layers.iter().filter(|l| names.contains(&*l.name));
        let first = self.nodes().next();
        let reads = first.and_then(|n| n.inputs.first());
        Stage {
            name: String::new(),
            line: String::new(),
            title: String::new(),
            kind: StageKind::Other,
            repeats: 1,
            stride: 1,
            squeeze: false,
            skip: None,
            input: reads.map_or(String::new(), |id| self.graph.node(*id).shape.to_string()),
            output: self
                .nodes()
                .last()
                .map_or(String::new(), |n| n.shape.to_string()),
            params: layers().map(|l| l.params).sum(),
            macs: layers().map(|l| l.macs).sum(),
            layer: drawn.steps(),
        }
    }

    /// The part's own nodes that `id` is computed from, itself included.
    fn ancestors(&self, id: NodeId) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            if self.ids.contains(&next) && found.insert(next) {
                open.extend(&self.graph.node(next).inputs);
            }
        }
        found
    }

    /// The nodes that only the second input of a joining node needs.
    fn branch(&self, node: &Node) -> Vec<&'a Node> {
        let trunk = self.ancestors(node.inputs[0]);
        let side = self.ancestors(node.inputs[1]);
        side.difference(&trunk)
            .map(|id| self.graph.node(*id))
            .collect()
    }

    fn steps(&self) -> Vec<Step> {
        let joins = |n: &&Node| matches!(n.op, Op::Mul | Op::Add);
        let side: BTreeSet<&str> = self
            .nodes()
            .filter(joins)
            .flat_map(|n| self.branch(n))
            .map(|n| &*n.name)
            .collect();
        let mut steps: Vec<Step> = vec![];
        for node in self.nodes().filter(|n| !side.contains(&*n.name)) {
            let output = node.shape.to_string();
            match node.op {
                Op::Mul => steps.push(gate(&self.branch(node), output)),
                Op::Add => steps.push(skip(&self.branch(node), output)),
                _ => match (follows(node), steps.last_mut()) {
                    (Some(words), Some(step)) => {
                        let comma = if step.then.is_empty() { "" } else { ", " };
                        step.then.push_str(comma);
                        step.then.push_str(&words);
                    }
                    _ => steps.push(Step {
                        name: operation(node),
                        then: String::new(),
                        output,
                        role: StepRole::Main,
                    }),
                },
            }
        }
        steps
    }
}

fn gate(branch: &[&Node], output: String) -> Step {
    let widths: Vec<String> = branch
        .iter()
        .filter_map(|n| match n.op {
            Op::Linear { features } => Some(features.to_string()),
            _ => None,
        })
        .collect();
    Step {
        name: "SE".into(),
        then: format!("FC {}", widths.join(", FC ")),
        output,
        role: StepRole::Gate,
    }
}

fn skip(branch: &[&Node], output: String) -> Step {
    let name = match branch.first() {
        Some(node) => operation(node),
        None => "identity".into(),
    };
    Step {
        name,
        then: String::new(),
        output,
        role: StepRole::Skip,
    }
}

/// What a node that belongs to the step before it does, or nothing for one that is a step.
fn follows(node: &Node) -> Option<String> {
    match node.op {
        Op::BatchNorm { .. } => Some("BN".into()),
        Op::Act(act) => Some(act.to_string()),
        Op::Dropout { rate } => Some(format!("dropout {rate}")),
        Op::Input
        | Op::Conv { .. }
        | Op::DepthwiseConv { .. }
        | Op::Add
        | Op::Mul
        | Op::Concat
        | Op::AvgPool { .. }
        | Op::MaxPool { .. }
        | Op::GlobalAvgPool
        | Op::Linear { .. } => None,
    }
}

/// An operation in words.
fn operation(node: &Node) -> String {
    match node.op {
        Op::Conv { kernel, .. } => format!("conv {kernel}×{kernel}"),
        Op::DepthwiseConv { kernel, .. } => format!("depthwise {kernel}×{kernel}"),
        Op::AvgPool { kernel, .. } => format!("average pool {kernel}×{kernel}"),
        Op::MaxPool { kernel, .. } => format!("max pool {kernel}×{kernel}"),
        Op::GlobalAvgPool => "global average".into(),
        Op::Linear { .. } => "FC".into(),
        Op::Input
        | Op::BatchNorm { .. }
        | Op::Act(_)
        | Op::Add
        | Op::Mul
        | Op::Concat
        | Op::Dropout { .. } => node.op.name().into(),
    }
}
