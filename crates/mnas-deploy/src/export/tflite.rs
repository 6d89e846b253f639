//! TFLite writer: float32, channels last, ReLU and ReLU6 fused into the operator before them.

use mnas_net::{Activation, Graph, Node, NodeId, Op, Tensor, Weights};

use super::ModelMeta;
use builder::{Field, FileBuilder, TensorIndex};
use schema::{Code, FusedActivation, OptionsKind, PADDING_SAME, field};

pub(super) mod builder;
pub(super) mod read;
pub(super) mod schema;

/// Name of the metadata entry whose buffer holds a [`ModelMeta`] as JSON.
pub(super) const METADATA_NAME: &str = "mnas";

/// Names of input and output in the signature, and of their tensors.
const INPUT: &str = "input";
const OUTPUT: &str = "logits";

/// The bytes of a TFLite file. `graph` is folded; its sizes and weights are checked.
pub(super) fn write(graph: &Graph, weights: &Weights, meta: &ModelMeta) -> Vec<u8> {
    let mut writer = Writer::new(graph, weights);
    for id in graph.ids() {
        writer.node(id);
    }
    let image = graph.ids().next().expect("a graph starts with its image");
    let input = writer.value(image);
    let output = writer.output();
    let json = serde_json::json!(meta).to_string();
    writer.file.metadata(METADATA_NAME, json.as_bytes());
    let description = format!(
        "{}: input is one image [1, height, width, channels] of values in 0..1, less the mean and \
         divided by the standard deviation of each channel; output is a logit per class; the \
         numbers and names are in metadata entry {METADATA_NAME}",
        meta.name
    );
    writer
        .file
        .finish(&description, (INPUT, input), (OUTPUT, output))
}

/// Which activations disappear into the operator that makes their input.
struct Fusion {
    /// Per node, the activation that it applies to its own value.
    activation: Vec<FusedActivation>,
    /// Per node, the node whose value it makes: itself, or the activation that it absorbs.
    makes: Vec<NodeId>,
    /// Per node, whether it is an activation that another absorbs.
    absorbed: Vec<bool>,
}

impl Fusion {
    fn of(graph: &Graph) -> Self {
        let n = graph.nodes().len();
        let uses = crate::fold::use_counts(graph);
        let mut fusion = Self {
            activation: vec![FusedActivation::None; n],
            makes: graph.ids().collect(),
            absorbed: vec![false; n],
        };
        for id in graph.ids() {
            let node = graph.node(id);
            let activation = match node.op {
                Op::Act(Activation::Relu) => FusedActivation::Relu,
                Op::Act(Activation::Relu6) => FusedActivation::Relu6,
                _ => continue,
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
                fusion.activation[before.index()] = activation;
                fusion.makes[before.index()] = id;
                fusion.absorbed[id.index()] = true;
            }
        }
        fusion
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    fusion: Fusion,
    /// Whether the answer's tensor is the output as it is; otherwise a reshape follows.
    is_direct: bool,
    file: FileBuilder,
    /// Tensor that holds each node's value, once something has asked for it.
    tensors: Vec<Option<TensorIndex>>,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph, weights: &'a Weights) -> Self {
        let fusion = Fusion::of(graph);
        let answer = graph.output();
        let maker = graph
            .ids()
            .find(|id| !fusion.absorbed[id.index()] && fusion.makes[id.index()] == answer)
            .map_or(Op::Input, |id| graph.node(id).op);
        // A fully connected operator makes a vector; a map is not reshaped at all.
        let is_map = graph.output_shape().pixels() > 1;
        let is_direct =
            matches!(maker, Op::Linear { .. }) || (is_map && !matches!(maker, Op::Input));
        Self {
            graph,
            weights,
            fusion,
            is_direct,
            file: FileBuilder::new(),
            tensors: vec![None; graph.nodes().len()],
        }
    }

    /// The tensor that holds a node's value.
    fn value(&mut self, id: NodeId) -> TensorIndex {
        if let Some(tensor) = self.tensors[id.index()] {
            return tensor;
        }
        let node = self.graph.node(id);
        let tensor = if id == self.graph.output() && self.is_direct {
            self.file.computed(OUTPUT, &self.output_extents())
        } else {
            let s = node.shape;
            let shape = [1, int(s.h), int(s.w), int(s.c)];
            self.file.computed(&node.name, &shape)
        };
        self.tensors[id.index()] = Some(tensor);
        tensor
    }

    fn output_extents(&self) -> Vec<i32> {
        let s = self.graph.output_shape();
        if s.pixels() == 1 {
            vec![1, int(s.c)]
        } else {
            vec![1, int(s.h), int(s.w), int(s.c)]
        }
    }

    /// The output's tensor, after a reshape where the answer's own is not it.
    fn output(&mut self) -> TensorIndex {
        let answer = self.value(self.graph.output());
        if self.is_direct {
            return answer;
        }
        let extents = self.output_extents();
        let shape = self.file.ints("logits.shape", &extents);
        let output = self.file.computed(OUTPUT, &extents);
        let inputs = [answer, shape];
        self.file
            .operator(Code::Reshape, &inputs, output, OptionsKind::None, &[]);
        output
    }

    fn node(&mut self, id: NodeId) {
        if self.fusion.absorbed[id.index()] {
            return;
        }
        let node = self.graph.node(id);
        let inputs: Vec<TensorIndex> = node.inputs.iter().map(|i| self.value(*i)).collect();
        let output = self.value(self.fusion.makes[id.index()]);
        let fused = Field::Byte(self.fusion.activation[id.index()] as i8);
        match node.op {
            Op::Input => {}
            Op::Conv { stride, .. } => self.conv(node, inputs[0], output, stride, fused),
            Op::DepthwiseConv { stride, .. } => {
                self.depthwise(node, inputs[0], output, stride, fused);
            }
            Op::Linear { .. } => self.linear(id, inputs[0], output, fused),
            Op::Act(act) => {
                let code = match act {
                    Activation::Relu => Code::Relu,
                    Activation::Relu6 => Code::Relu6,
                    Activation::HSwish => Code::HardSwish,
                    Activation::Sigmoid => Code::Logistic,
                };
                self.file
                    .operator(code, &inputs, output, OptionsKind::None, &[]);
            }
            Op::Add => {
                let fields = [(field::add::ACTIVATION, fused)];
                self.file
                    .operator(Code::Add, &inputs, output, OptionsKind::Add, &fields);
            }
            Op::Mul => {
                let fields = [(field::mul::ACTIVATION, fused)];
                self.file
                    .operator(Code::Mul, &inputs, output, OptionsKind::Mul, &fields);
            }
            Op::Concat => {
                let (kind, fields) = (
                    OptionsKind::Concatenation,
                    [(field::concatenation::AXIS, Field::Int(3))],
                );
                self.file
                    .operator(Code::Concatenation, &inputs, output, kind, &fields);
            }
            Op::AvgPool { kernel, stride } => {
                let code = Code::AveragePool2d;
                self.pool(code, inputs[0], output, kernel, stride, fused);
            }
            Op::MaxPool { kernel, stride } => {
                self.pool(Code::MaxPool2d, inputs[0], output, kernel, stride, fused);
            }
            Op::GlobalAvgPool => {
                let axes = self.file.ints(&format!("{}.axes", node.name), &[1, 2]);
                let inputs = [inputs[0], axes];
                let fields = [(field::reducer::KEEP_DIMS, Field::Bool(true))];
                self.file
                    .operator(Code::Mean, &inputs, output, OptionsKind::Reducer, &fields);
            }
            Op::BatchNorm { .. } | Op::Dropout { .. } => {
                unreachable!("folding leaves no batch norm or dropout")
            }
        }
    }

    fn kernel(&self, node: &Node) -> &'a Tensor {
        self.weights.get(&format!("{}.weight", node.name))
    }

    /// Adds the kernel and the bias, zeros where the layer has none: engines that fuse layers
    /// refuse operators without one.
    fn parameters(&mut self, node: &Node, shape: &[i32]) -> [TensorIndex; 2] {
        let (weight, bias) = (
            format!("{}.weight", node.name),
            format!("{}.bias", node.name),
        );
        let channels = node.shape.c;
        let kernel = &self.kernel(node).data;
        let kernel = self.file.floats(&weight, shape, kernel);
        let values = match self.weights.tensors.get(&bias) {
            Some(tensor) => tensor.data.clone(),
            None => vec![0.0; channels],
        };
        [kernel, self.file.floats(&bias, &[int(channels)], &values)]
    }

    /// A dense convolution; the kernel's layout is TFLite's own.
    fn conv(&mut self, node: &Node, x: TensorIndex, y: TensorIndex, stride: usize, fused: Field) {
        let shape: Vec<i32> = self.kernel(node).shape.iter().map(|d| int(*d)).collect();
        self.conv_operator(node, &shape, x, y, stride, fused);
    }

    fn conv_operator(
        &mut self,
        node: &Node,
        shape: &[i32],
        x: TensorIndex,
        y: TensorIndex,
        stride: usize,
        fused: Field,
    ) {
        let [kernel, bias] = self.parameters(node, shape);
        let fields = [
            (field::conv::PADDING, Field::Byte(PADDING_SAME)),
            (field::conv::STRIDE_W, Field::Int(int(stride))),
            (field::conv::STRIDE_H, Field::Int(int(stride))),
            (field::conv::ACTIVATION, fused),
        ];
        let inputs = [x, kernel, bias];
        self.file
            .operator(Code::Conv2d, &inputs, y, OptionsKind::Conv2d, &fields);
    }

    fn depthwise(
        &mut self,
        node: &Node,
        x: TensorIndex,
        y: TensorIndex,
        stride: usize,
        fused: Field,
    ) {
        // `[kh, kw, channels]`; TFLite's has a leading 1.
        let mut shape = vec![1];
        shape.extend(self.kernel(node).shape.iter().map(|d| int(*d)));
        let [kernel, bias] = self.parameters(node, &shape);
        let fields = [
            (field::depthwise_conv::PADDING, Field::Byte(PADDING_SAME)),
            (field::depthwise_conv::STRIDE_W, Field::Int(int(stride))),
            (field::depthwise_conv::STRIDE_H, Field::Int(int(stride))),
            (field::depthwise_conv::MULTIPLIER, Field::Int(1)),
            (field::depthwise_conv::ACTIVATION, fused),
        ];
        let (code, kind) = (Code::DepthwiseConv2d, OptionsKind::DepthwiseConv2d);
        self.file
            .operator(code, &[x, kernel, bias], y, kind, &fields);
    }

    /// The classifier is a fully connected operator, which makes a vector. Inside the network a
    /// linear layer is a 1x1 convolution, so that its value keeps four axes.
    fn linear(&mut self, id: NodeId, x: TensorIndex, y: TensorIndex, fused: Field) {
        let node = self.graph.node(id);
        let kernel = &self.kernel(node).shape;
        let (features, inputs) = (int(kernel[0]), int(kernel[1]));
        if self.fusion.makes[id.index()] != self.graph.output() {
            return self.conv_operator(node, &[features, 1, 1, inputs], x, y, 1, fused);
        }
        let [kernel, bias] = self.parameters(node, &[features, inputs]);
        let fields = [(field::fully_connected::ACTIVATION, fused)];
        let (code, kind) = (Code::FullyConnected, OptionsKind::FullyConnected);
        self.file
            .operator(code, &[x, kernel, bias], y, kind, &fields);
    }

    fn pool(
        &mut self,
        code: Code,
        x: TensorIndex,
        y: TensorIndex,
        kernel: usize,
        stride: usize,
        fused: Field,
    ) {
        let fields = [
            (field::pool::PADDING, Field::Byte(PADDING_SAME)),
            (field::pool::STRIDE_W, Field::Int(int(stride))),
            (field::pool::STRIDE_H, Field::Int(int(stride))),
            (field::pool::WIDTH, Field::Int(int(kernel))),
            (field::pool::HEIGHT, Field::Int(int(kernel))),
            (field::pool::ACTIVATION, fused),
        ];
        self.file
            .operator(code, &[x], y, OptionsKind::Pool2d, &fields);
    }
}

/// A size as TFLite counts; `export` has checked that sizes fit.
fn int(size: usize) -> i32 {
    i32::try_from(size).expect("export checks that kernels, strides and activations fit int32")
}
