//! Weights that others trained, in our names and layouts: MnasNet and MobileNetV2 of timm,
//! torchvision and TensorFlow, from safetensors files.
//!
//! The network that comes back computes what theirs does. PyTorch pads symmetrically, so its
//! networks get [`PaddingRule::Symmetric`]; its batch norms add 1e-5 to the variance where ours add
//! 1e-3, so their scales are multiplied by what that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::block::{Block, Skip};
use crate::graph::param::{ParamRole, ParamSpec};
use crate::{Graph, GraphError, NetSpec, Op, PaddingRule, Shape, Tensor, Weights, WeightsError};

mod tensorflow;
#[cfg(test)]
mod tests;
mod torch;

/// Whose names and layouts a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `pytorch-image-models`, its EfficientNet-like networks.
    Timm,
    /// torchvision's `mnasnet`.
    TorchvisionMnasNet,
    /// torchvision's `mobilenet_v2`.
    TorchvisionMobileNet,
    /// The MnasNet reference code (`tensorflow/tpu`, `models/official/mnasnet`).
    TensorFlowMnasNet,
    /// TF-Slim's MobileNetV2 (`tensorflow/models`, `research/slim`).
    TensorFlowMobileNet,
}

impl Source {
    /// The source whose names these are.
    fn of(names: &BTreeSet<&str>) -> Option<Source> {
        let any = |test: fn(&str) -> bool| names.iter().any(|n| test(n));
        let torch = |n: &str| n.starts_with("conv_stem.") || n.contains(".conv_dw.");
        let found = [
            (any(torch), Source::Timm),
            (
                any(|n| n.starts_with("layers.")),
                Source::TorchvisionMnasNet,
            ),
            (
                any(|n| n.starts_with("features.")),
                Source::TorchvisionMobileNet,
            ),
            (
                any(|n| n.contains("mnas_blocks_")),
                Source::TensorFlowMnasNet,
            ),
            (
                any(|n| n.contains("/expanded_conv")),
                Source::TensorFlowMobileNet,
            ),
        ];
        found.into_iter().find(|(is, _)| *is).map(|(_, s)| s)
    }

    /// Whether kernels are PyTorch's `[out, in, h, w]`; TensorFlow's are `[h, w, in, out]`.
    fn is_torch(self) -> bool {
        match self {
            Source::Timm | Source::TorchvisionMnasNet | Source::TorchvisionMobileNet => true,
            Source::TensorFlowMnasNet | Source::TensorFlowMobileNet => false,
        }
    }

    /// What its batch norms add to the variance.
    fn epsilon(self) -> f64 {
        if self.is_torch() { 1e-5 } else { 1e-3 }
    }

    /// `spec` as the source builds it.
    fn adapted(self, spec: &NetSpec) -> NetSpec {
        let mut spec = spec.clone();
        if self.is_torch() {
            spec.stem.padding = PaddingRule::Symmetric;
        }
        // timm adds the input wherever widths allow it, so also in the first block of MnasNet-small.
        if self == Source::Timm {
            for block in spec.blocks.iter_mut().filter(|b| b.kind.code() == "ds") {
                block.skip = Skip::Identity;
            }
        }
        spec.canonical()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Timm => "timm",
            Source::TorchvisionMnasNet => "torchvision MnasNet",
            Source::TorchvisionMobileNet => "torchvision MobileNetV2",
            Source::TensorFlowMnasNet => "TensorFlow MnasNet",
            Source::TensorFlowMobileNet => "TensorFlow MobileNetV2",
        })
    }
}

/// An imported network.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Where the file is from.
    pub source: Source,
    /// The network as the source builds it: the one asked for, with the source's padding.
    pub spec: NetSpec,
    /// Classes of its classifier.
    pub classes: usize,
    /// Its weights.
    pub weights: Weights,
}

/// Why a file is not the network asked for.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No safetensors file, or not of float32.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// Names of no known source.
    #[error(
        "the tensors have the names of no known source (timm, torchvision or TensorFlow MnasNet or MobileNetV2); the first is {first:?}"
    )]
    UnknownNames {
        /// First tensor of the file.
        first: String,
    },
    /// A block that the sources' networks don't have.
    #[error("block {index} is {code}; networks of {from} are made of ds and ir blocks")]
    Block {
        /// Position of the block.
        index: usize,
        /// Its code.
        code: &'static str,
        /// Where the file is from.
        from: Source,
    },
    /// A tensor that the network needs is absent.
    #[error("tensor {name} {expected:?} is missing ({ours} of the network)")]
    Missing {
        /// Its name in the file.
        name: String,
        /// Its name here.
        ours: String,
        /// The shape that the network needs.
        expected: Vec<usize>,
    },
    /// A tensor of another shape than the network needs.
    #[error("tensor {name} is {found:?}; the network needs {expected:?} ({ours})")]
    Shape {
        /// Its name in the file.
        name: String,
        /// Its name here.
        ours: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape that the network needs.
        expected: Vec<usize>,
    },
    /// A tensor that the network has no use for.
    #[error("tensor {name} belongs to no layer of the network")]
    Extra {
        /// Its name in the file.
        name: String,
    },
    /// A size that no network can have.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Reads a safetensors file as the network `spec` for images of shape `input`. Which source it is
/// from, and how many classes it tells apart, the file says.
///
/// # Errors
/// An [`ImportError`]: of tensors that don't fit, the first in the network's order.
pub fn import(bytes: &[u8], spec: &NetSpec, input: Shape) -> Result<Imported, ImportError> {
    let mut file = Weights::from_safetensors_where(bytes, is_weight)?.tensors;
    prefer_averages(&mut file);
    let names: BTreeSet<&str> = file.keys().map(String::as_str).collect();
    let source = Source::of(&names).ok_or_else(|| ImportError::UnknownNames {
        first: names.first().copied().unwrap_or_default().into(),
    })?;
    let spec = source.adapted(spec);
    let bad = |b: &Block| !["ds", "ir"].contains(&b.kind.code());
    if let Some(index) = spec.blocks.iter().position(bad) {
        let (code, from) = (spec.blocks[index].kind.code(), source);
        return Err(ImportError::Block { index, code, from });
    }
    let naming = Naming {
        source,
        spec: &spec,
        names: &names,
    };
    // A file without classifier is told by the missing tensor's name below.
    let classifier = naming.name(&Part::Classifier, ParamRole::Bias);
    let classes = file.get(&classifier).map_or(1, |t| t.data.len().max(1));
    let graph = spec.graph(input, classes)?;
    let mut tensors = take(&graph, &naming, &file)?;
    let used: BTreeSet<String> = graph.params().iter().map(|p| naming.of(p)).collect();
    if let Some(name) = names.iter().find(|n| !used.contains(**n)) {
        return Err(ImportError::Extra {
            name: name.to_string(),
        });
    }
    adapt_scales(&graph, &mut tensors, source.epsilon());
    let metadata = BTreeMap::new();
    let weights = Weights { tensors, metadata };
    Ok(Imported {
        source,
        spec,
        classes,
        weights,
    })
}

/// Ending of the moving averages of the reference code, which it evaluates and exports.
const AVERAGE: &str = "/ExponentialMovingAverage";

/// Whether a tensor is a weight; others are what an optimiser or a counter left in the file.
fn is_weight(name: &str) -> bool {
    let last = name.rsplit(['.', '/']).next().unwrap_or(name);
    let state = ["num_batches_tracked", "global_step", "Momentum"];
    !state.contains(&last) && !last.starts_with("RMSProp")
}

/// Puts moving averages in the place of the weights that they are of.
fn prefer_averages(file: &mut BTreeMap<String, Tensor>) {
    let averages: Vec<String> = file
        .keys()
        .filter(|n| n.ends_with(AVERAGE))
        .cloned()
        .collect();
    for name in averages {
        if let Some(tensor) = file.remove(&name) {
            file.insert(name[..name.len() - AVERAGE.len()].into(), tensor);
        }
    }
}

/// The file's tensors in our names and layouts.
fn take(
    graph: &Graph,
    naming: &Naming<'_>,
    file: &BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>, ImportError> {
    let mut tensors = BTreeMap::new();
    for p in graph.params() {
        let (name, ours) = (naming.of(&p), p.name.clone());
        let expected = naming.shape(&p);
        let Some(tensor) = file.get(&name) else {
            return Err(ImportError::Missing {
                name,
                ours,
                expected,
            });
        };
        if tensor.shape != expected {
            let found = tensor.shape.clone();
            return Err(ImportError::Shape {
                name,
                ours,
                found,
                expected,
            });
        }
        let data = match naming.order(&p) {
            Some(order) => permuted(tensor, order),
            None => tensor.data.clone(),
        };
        tensors.insert(
            ours,
            Tensor {
                shape: p.shape,
                data,
            },
        );
    }
    Ok(tensors)
}

/// Multiplies batch-norm scales so that the layers compute the same with our epsilon.
fn adapt_scales(graph: &Graph, tensors: &mut BTreeMap<String, Tensor>, theirs: f64) {
    for node in graph.nodes() {
        let Op::BatchNorm { epsilon } = node.op else {
            continue;
        };
        let ours = f64::from(epsilon);
        if (ours - theirs).abs() < 1e-9 {
            continue;
        }
        let name = |role: ParamRole| format!("{}.{}", node.name, role.suffix());
        let var = tensors[&name(ParamRole::BnVar)].data.clone();
        let scale = tensors.entry(name(ParamRole::BnScale));
        scale.and_modify(|scale| {
            for (g, v) in scale.data.iter_mut().zip(var) {
                let v = f64::from(v);
                *g = (f64::from(*g) * ((v + ours) / (v + theirs)).sqrt()) as f32;
            }
        });
    }
}

/// The values with axis `order[i]` of the tensor as axis `i`. Axes that it lacks are of extent 1.
fn permuted(tensor: &Tensor, order: [usize; 4]) -> Vec<f32> {
    let mut shape = tensor.shape.clone();
    shape.resize(4, 1);
    let step = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let [n0, n1, n2, n3] = order.map(|a| shape[a]);
    let [s0, s1, s2, s3] = order.map(step);
    let mut data = Vec::with_capacity(tensor.data.len());
    for (a, b) in (0..n0).flat_map(|a| (0..n1).map(move |b| (a, b))) {
        for (c, d) in (0..n2).flat_map(|c| (0..n3).map(move |d| (c, d))) {
            data.push(tensor.data[a * s0 + b * s1 + c * s2 + d * s3]);
        }
    }
    data
}

/// A layer with weights, where it stands in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Stem,
    /// A part of one layer of a block.
    Layer(Place, Piece),
    Head,
    Classifier,
}

/// One layer of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Position of the block.
    block: usize,
    /// Position in the block.
    index: usize,
    /// Position among the layers of all blocks.
    position: usize,
    /// Whether it has an expansion.
    expanded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Expand,
    Depthwise,
    /// First layer of squeeze-excitation.
    Reduce,
    /// Second layer of squeeze-excitation.
    Restore,
    Project,
}

/// Names and layouts of a source's tensors, for one network.
struct Naming<'a> {
    source: Source,
    spec: &'a NetSpec,
    /// Names in the file: TensorFlow numbers its layers as it happens to build them.
    names: &'a BTreeSet<&'a str>,
}

impl Naming<'_> {
    /// Name of one of our parameters.
    fn of(&self, p: &ParamSpec) -> String {
        self.name(&self.part(&p.name), p.role)
    }

    fn name(&self, part: &Part, role: ParamRole) -> String {
        match self.source {
            Source::Timm => torch::timm(part, role),
            Source::TorchvisionMnasNet => torch::mnasnet(part, role, self.spec.blocks.len()),
            Source::TorchvisionMobileNet => torch::mobilenet(part, role, self.layers()),
            Source::TensorFlowMnasNet => tensorflow::mnasnet(part, role, self.names),
            Source::TensorFlowMobileNet => tensorflow::mobilenet(part, role, self.names),
        }
    }

    fn layers(&self) -> usize {
        self.spec.blocks.iter().map(|b| b.repeats).sum()
    }

    /// Reads `blocks.B.L.expand.bn.weight` and the like.
    fn part(&self, ours: &str) -> Part {
        let words: Vec<&str> = ours.split('.').collect();
        let number = |i: usize| words.get(i).and_then(|w| w.parse().ok());
        let (Some(block), Some(index)) = (number(1), number(2)) else {
            return match words[0] {
                "stem" => Part::Stem,
                "head" => Part::Head,
                _ => Part::Classifier,
            };
        };
        let piece = match (words[3], words[4]) {
            ("expand", _) => Piece::Expand,
            ("depthwise", _) => Piece::Depthwise,
            ("se", "reduce") => Piece::Reduce,
            ("se", _) => Piece::Restore,
            _ => Piece::Project,
        };
        let before = self.spec.blocks[..block].iter().map(|b| b.repeats);
        let place = Place {
            block,
            index,
            position: before.sum::<usize>() + index,
            expanded: self.spec.blocks[block].expand > 1,
        };
        Part::Layer(place, piece)
    }

    /// Shape that a parameter has in the file.
    fn shape(&self, p: &ParamSpec) -> Vec<usize> {
        let torch = self.source.is_torch();
        let kernel = |out: usize, k: usize, input: usize| {
            if torch {
                vec![out, input, k, k]
            } else {
                vec![k, k, input, out]
            }
        };
        match (p.role, &p.shape[..]) {
            (ParamRole::ConvKernel, &[out, k, _, input]) => kernel(out, k, input),
            (ParamRole::DepthwiseKernel, &[k, _, c]) if torch => vec![c, 1, k, k],
            (ParamRole::DepthwiseKernel, &[k, _, c]) => vec![k, k, c, 1],
            (ParamRole::LinearKernel, &[out, input]) if self.is_convolution(p) => {
                kernel(out, 1, input)
            }
            (ParamRole::LinearKernel, &[out, input]) if !torch => vec![input, out],
            (_, shape) => shape.to_vec(),
        }
    }

    /// Whether the source computes a linear layer as a 1x1 convolution.
    fn is_convolution(&self, p: &ParamSpec) -> bool {
        self.part(&p.name) != Part::Classifier || self.source == Source::TensorFlowMobileNet
    }

    /// Axes of the file's tensor in our order, where that differs.
    fn order(&self, p: &ParamSpec) -> Option<[usize; 4]> {
        let torch = self.source.is_torch();
        match p.role {
            ParamRole::DepthwiseKernel => torch.then_some([2, 3, 0, 1]),
            ParamRole::ConvKernel => Some(if torch { [0, 2, 3, 1] } else { [3, 0, 1, 2] }),
            ParamRole::LinearKernel if self.is_convolution(p) => {
                Some(if torch { [0, 2, 3, 1] } else { [3, 0, 1, 2] })
            }
            ParamRole::LinearKernel if !torch => Some([1, 0, 2, 3]),
            _ => None,
        }
    }
}
