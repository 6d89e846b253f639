//! A graph as a static list of fused kernel calls over planned memory.
//!
//! Batch norm after a convolution, and the activation after it, get no step and no memory of
//! their own: their readers see a [`View`] of the convolution's raw output.

use mnas_kernels::{Act, Element, MapShape, Pool};
use mnas_net::{Graph, NodeId, Shape};

use super::arena::{Place, floats};
use crate::{EngineError, SessionSpec, Storage};

mod backward;
mod forward;
mod memory;

use memory::Lifetimes;

/// A buffer of the arena: an index into [`Layout::places`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Buffer(pub(super) usize);

/// Places of all buffers in one arena.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    /// Floats of the arena for a whole batch.
    pub(super) arena: usize,
}

/// A parameter tensor: an index into the session's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Param(pub(super) usize);

/// An activation as its readers see it: `act(norm(raw)) * gate`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct View {
    pub(super) raw: Buffer,
    /// Batch norm that is computed on reading: an index into [`Plan::norms`].
    pub(super) norm: Option<usize>,
    pub(super) act: Act,
    pub(super) gate: Option<Buffer>,
}

impl View {
    fn plain(raw: Buffer) -> Self {
        Self {
            raw,
            norm: None,
            act: Act::Linear,
            gate: None,
        }
    }

    fn is_plain(&self) -> bool {
        *self == Self::plain(self.raw)
    }

    fn buffers(&self) -> impl Iterator<Item = Buffer> {
        [Some(self.raw), self.gate].into_iter().flatten()
    }
}

/// A batch-norm layer.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) channels: usize,
    pub(super) epsilon: f32,
    /// Scale, shift, running mean, running variance.
    pub(super) params: [Param; 4],
}

/// What kind of layer multiplies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// 1x1 at stride 1, or linear.
    Pointwise,
    /// Any other dense convolution.
    Dense,
    /// Depthwise.
    Depthwise,
}

/// A sliding window over one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slide {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) before: [usize; 2],
    pub(super) input: [usize; 2],
    pub(super) output: [usize; 2],
}

/// A convolution or linear layer.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    pub(super) slide: Slide,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) weights: Param,
    pub(super) bias: Option<Param>,
    pub(super) input: View,
    pub(super) out: Buffer,
    /// Batch norm whose statistics the layer gathers.
    pub(super) stats: Option<usize>,
}

/// Pixels and channels of an activation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pixels: usize,
    channels: usize,
}

impl Map {
    fn of(shape: Shape) -> Self {
        Self {
            pixels: shape.pixels(),
            channels: shape.c,
        }
    }

    pub(super) fn shape(self, images: usize) -> MapShape {
        MapShape {
            images,
            pixels: self.pixels,
            channels: self.channels,
        }
    }
}

/// The channels that one input of a concatenation takes of the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) channels: usize,
    pub(super) offset: usize,
    pub(super) total: usize,
}

/// A forward step.
#[derive(Debug, Clone)]
pub(super) enum Forward {
    /// A layer with weights: an index into [`Plan::layers`].
    Layer(usize),
    /// Statistics of a value that no layer gathers.
    Moments {
        x: Buffer,
        norm: usize,
    },
    /// Statistics to factors; in evaluation, running statistics to factors.
    Norm(usize),
    Materialize {
        view: View,
        map: Map,
        out: Buffer,
    },
    Add {
        inputs: [View; 2],
        map: Map,
        out: Buffer,
    },
    GlobalAverage {
        view: View,
        map: Map,
        out: Buffer,
    },
    Pool {
        kind: Pool,
        slide: Slide,
        channels: usize,
        x: Buffer,
        out: Buffer,
    },
    Element {
        f: Element,
        x: Buffer,
        out: Buffer,
    },
    Dropout {
        rate: f32,
        x: Buffer,
        mask: Buffer,
        out: Buffer,
    },
    /// One input of a concatenation.
    Concat {
        x: Buffer,
        part: Part,
        out: Buffer,
    },
}

/// Where a gradient goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) out: Buffer,
    pub(super) accumulate: bool,
    /// Batch norm of the reader's view whose sums are gathered on the way.
    pub(super) finish: Option<usize>,
}

/// A backward step.
#[derive(Debug, Clone)]
pub(super) enum Backward {
    /// Gradients of a layer from gradient `g` at its output, or at `norm` behind it.
    Layer {
        layer: usize,
        g: Buffer,
        norm: Option<usize>,
        target: Option<Target>,
    },
    /// Activation and sums of a complete gradient that nobody finished.
    Finish {
        view: View,
        channels: usize,
        norm: usize,
        g: Buffer,
    },
    /// Sums to the gradients of scale and shift, and to factors.
    Norm(usize),
    /// Gradient at the input of a batch norm that no layer fuses.
    NormInput {
        norm: usize,
        channels: usize,
        z: Buffer,
        g: Buffer,
        target: Target,
    },
    /// `out (+)= g`.
    Copy { g: Buffer, target: Target },
    /// Gradients of a gate; `g` becomes the gradient at the view (without gate).
    Gate {
        view: View,
        map: Map,
        gate: Buffer,
        g: Buffer,
        gate_gradient: Buffer,
    },
    GlobalAverage {
        view: View,
        map: Map,
        g: Buffer,
        target: Target,
    },
    /// `values` are input and output.
    Pool {
        kind: Pool,
        slide: Slide,
        channels: usize,
        values: [Buffer; 2],
        g: Buffer,
        target: Target,
    },
    /// `values` are input and output.
    Element {
        f: Element,
        values: [Buffer; 2],
        g: Buffer,
        target: Target,
    },
    Dropout {
        mask: Buffer,
        g: Buffer,
        target: Target,
    },
    Concat {
        g: Buffer,
        part: Part,
        target: Target,
    },
}

/// Everything a session needs to know about its graph.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layers: Vec<Layer>,
    pub(super) norms: Vec<Norm>,
    pub(super) forward: Vec<Forward>,
    pub(super) backward: Vec<Backward>,
    /// Memory for training.
    pub(super) training: Layout,
    /// Memory for evaluation alone, where values die as soon as they are read.
    pub(super) evaluation: Layout,
    pub(super) images: Buffer,
    pub(super) logits: Buffer,
    /// Gradient of the loss at the logits.
    pub(super) loss: Buffer,
    pub(super) classes: usize,
}

impl Plan {
    /// Plans training and evaluation of `graph`.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] where the answer is not a vector or a window is too large.
    pub(super) fn new(graph: &Graph, spec: &SessionSpec) -> Result<Self, EngineError> {
        let output = graph.node(graph.output());
        if output.shape.pixels() != 1 {
            return Err(unsupported(graph, graph.output()));
        }
        let mut lowering = Lowering::new(graph);
        lowering.forward()?;
        lowering.backward();
        Ok(lowering.finish(spec.batch, spec.storage))
    }
}

fn unsupported(graph: &Graph, id: NodeId) -> EngineError {
    let node = graph.node(id);
    EngineError::Unsupported {
        op: node.op.name(),
        node: node.name.clone(),
        engine: "cpu",
    }
}

/// A graph on its way to a plan.
struct Lowering<'g> {
    graph: &'g Graph,
    /// Readers of each node among the nodes that the output needs, once per edge; the loss reads
    /// the output, as itself.
    readers: Vec<Vec<NodeId>>,
    needed: Vec<bool>,
    /// First parameter of each node.
    first_param: Vec<usize>,
    views: Vec<Option<View>>,
    plain: Vec<Option<Buffer>>,
    norm_of: Vec<Option<usize>>,
    layer_of: Vec<Option<usize>>,
    masks: Vec<Option<Buffer>>,
    /// What each buffer holds of an image.
    shapes: Vec<Shape>,
    layers: Vec<Layer>,
    norms: Vec<Norm>,
    forward: Vec<Forward>,
    backward: Vec<Backward>,
    images: Buffer,
    logits: Buffer,
    loss: Buffer,
}

impl<'g> Lowering<'g> {
    fn new(graph: &'g Graph) -> Self {
        let n = graph.nodes().len();
        let mut needed = vec![false; n];
        needed[graph.output().index()] = true;
        let mut readers = vec![vec![]; n];
        readers[graph.output().index()].push(graph.output());
        for id in graph.ids().rev().filter(|id| id.index() < n) {
            if needed[id.index()] {
                for input in &graph.node(id).inputs {
                    needed[input.index()] = true;
                    readers[input.index()].push(id);
                }
            }
        }
        let mut first_param = vec![];
        let mut params = 0;
        for node in graph.nodes() {
            first_param.push(params);
            params += graph.node_params(node).len();
        }
        Self {
            graph,
            readers,
            needed,
            first_param,
            views: vec![None; n],
            plain: vec![None; n],
            norm_of: vec![None; n],
            layer_of: vec![None; n],
            masks: vec![None; n],
            shapes: vec![],
            layers: vec![],
            norms: vec![],
            forward: vec![],
            backward: vec![],
            images: Buffer(0),
            logits: Buffer(0),
            loss: Buffer(0),
        }
    }

    fn buffer(&mut self, shape: Shape) -> Buffer {
        self.shapes.push(shape);
        Buffer(self.shapes.len() - 1)
    }

    fn param(&self, id: NodeId, i: usize) -> Param {
        Param(self.first_param[id.index()] + i)
    }

    /// The one reader of a node, if there is exactly one and it is not the loss.
    fn only_reader(&self, id: NodeId) -> Option<NodeId> {
        match self.readers[id.index()][..] {
            [reader] if reader != id => Some(reader),
            _ => None,
        }
    }

    fn finish(self, batch: usize, storage: Storage) -> Plan {
        let stored = self.stored(storage);
        Plan {
            training: self.layout(batch, &stored, true),
            evaluation: self.layout(batch, &stored, false),
            layers: self.layers,
            norms: self.norms,
            forward: self.forward,
            backward: self.backward,
            images: self.images,
            logits: self.logits,
            loss: self.loss,
            classes: self.graph.output_shape().c,
        }
    }

    /// How each buffer is stored: as asked for, but as f32 where a step needs that, and vectors,
    /// which are small.
    fn stored(&self, storage: Storage) -> Vec<Storage> {
        let mut stored = vec![storage; self.shapes.len()];
        let vectors = (0..stored.len()).filter(|b| self.shapes[*b].pixels() == 1);
        let ends = [self.images, self.logits, self.loss];
        let forward = self.forward.iter().flat_map(Forward::singles);
        let backward = self.backward.iter().flat_map(|s| s.singles());
        let views = self.layers.iter().flat_map(|l| l.input.gate);
        let singles = ends.into_iter().chain(forward).chain(backward).chain(views);
        for b in singles.map(|b| b.0).chain(vectors) {
            stored[b] = Storage::F32;
        }
        stored
    }

    fn layout(&self, batch: usize, stored: &[Storage], training: bool) -> Layout {
        let mut lifetimes = Lifetimes::new(self.shapes.len());
        lifetimes.touch(0, [self.images]);
        for (t, step) in self.forward.iter().enumerate() {
            lifetimes.touch(t, step.buffers(&self.layers));
        }
        let t = self.forward.len();
        lifetimes.touch(t, [self.logits]);
        if training {
            lifetimes.touch(t, [self.loss]);
            for (i, step) in self.backward.iter().enumerate() {
                lifetimes.touch(t + 1 + i, step.buffers(&self.layers));
            }
        }
        let buffers = || self.shapes.iter().zip(stored);
        let sizes: Vec<usize> = buffers()
            .map(|(shape, storage)| floats(*storage, shape.len() * batch).next_multiple_of(16))
            .collect();
        let (offsets, arena) = lifetimes.assign(&sizes);
        let places = offsets
            .into_iter()
            .zip(buffers())
            .map(|(offset, (shape, storage))| Place {
                offset,
                per_image: shape.len(),
                storage: *storage,
            })
            .collect();
        Layout { places, arena }
    }
}

impl Forward {
    /// Buffers that the step reads or writes.
    fn buffers(&self, layers: &[Layer]) -> Vec<Buffer> {
        match self {
            Forward::Layer(l) => {
                let l = &layers[*l];
                l.input.buffers().chain([l.out]).collect()
            }
            Forward::Moments { x, .. } => vec![*x],
            Forward::Norm(_) => vec![],
            Forward::Materialize { view, out, .. } | Forward::GlobalAverage { view, out, .. } => {
                view.buffers().chain([*out]).collect()
            }
            Forward::Add {
                inputs: [a, b],
                out,
                ..
            } => a.buffers().chain(b.buffers()).chain([*out]).collect(),
            Forward::Pool { x, out, .. }
            | Forward::Element { x, out, .. }
            | Forward::Concat { x, out, .. } => vec![*x, *out],
            Forward::Dropout { x, mask, out, .. } => vec![*x, *mask, *out],
        }
    }

    /// Buffers that the step reads or writes as f32 alone.
    fn singles(&self) -> Vec<Buffer> {
        match self {
            Forward::Layer(_)
            | Forward::Moments { .. }
            | Forward::Norm(_)
            | Forward::Add { .. } => {
                vec![]
            }
            Forward::Materialize { view, .. } => view.gate.into_iter().collect(),
            Forward::GlobalAverage { out, .. } => vec![*out],
            Forward::Pool { .. }
            | Forward::Element { .. }
            | Forward::Dropout { .. }
            | Forward::Concat { .. } => self.buffers(&[]),
        }
    }
}

impl Backward {
    /// Buffers that the step reads or writes.
    fn buffers(&self, layers: &[Layer]) -> Vec<Buffer> {
        match self {
            Backward::Layer {
                layer,
                g,
                norm,
                target,
            } => {
                let l = &layers[*layer];
                let z = norm.map(|_| l.out);
                let target = target.map(|t| t.out);
                l.input
                    .buffers()
                    .chain([*g])
                    .chain(z)
                    .chain(target)
                    .collect()
            }
            Backward::Finish { view, g, .. } => view.buffers().chain([*g]).collect(),
            Backward::Norm(_) => vec![],
            Backward::NormInput { z, g, target, .. } => vec![*z, *g, target.out],
            Backward::Copy { g, target } | Backward::Concat { g, target, .. } => {
                vec![*g, target.out]
            }
            Backward::Gate {
                view,
                gate,
                g,
                gate_gradient,
                ..
            } => view.buffers().chain([*gate, *g, *gate_gradient]).collect(),
            Backward::GlobalAverage {
                view, g, target, ..
            } => view.buffers().chain([*g, target.out]).collect(),
            Backward::Pool {
                values: [x, y],
                g,
                target,
                ..
            }
            | Backward::Element {
                values: [x, y],
                g,
                target,
                ..
            } => {
                vec![*x, *y, *g, target.out]
            }
            Backward::Dropout { mask, g, target } => vec![*mask, *g, target.out],
        }
    }

    /// Buffers that the step reads or writes as f32 alone.
    fn singles(&self) -> Vec<Buffer> {
        match self {
            Backward::Layer { .. }
            | Backward::Finish { .. }
            | Backward::Norm(_)
            | Backward::NormInput { .. }
            | Backward::Copy { .. } => vec![],
            Backward::Gate {
                gate,
                gate_gradient,
                ..
            } => vec![*gate, *gate_gradient],
            Backward::GlobalAverage { g, .. } => vec![*g],
            Backward::Pool { .. }
            | Backward::Element { .. }
            | Backward::Dropout { .. }
            | Backward::Concat { .. } => self.buffers(&[]),
        }
    }
}
