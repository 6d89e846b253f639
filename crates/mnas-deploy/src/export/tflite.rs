//! TFLite writer: float32 or 8-bit integers, channels last, ReLU and ReLU6 fused into the operator
//! before them. An 8-bit file takes and gives float32 all the same: its first operator quantises the
//! image and its last one makes numbers of the integers.

use mnas_net::{Activation, Graph, Node, NodeId, Op, Tensor, Weights, same_padding};

use super::ModelMeta;
use crate::fusion::Fusion;
use crate::quantize::{Params, Quantized, keeps_scale};
use builder::{Field, FileBuilder, Quantization, TensorIndex};
use schema::{Code, FusedActivation, OptionsKind, Padding, field};

pub(super) mod builder;
pub(super) mod read;
pub(super) mod schema;

/// Name of the metadata entry whose buffer holds a [`ModelMeta`] as JSON.
pub(super) const METADATA_NAME: &str = "mnas";

/// Names of input and output in the signature, and of their tensors.
const INPUT: &str = "input";
const OUTPUT: &str = "logits";

/// The bytes of a TFLite file. `graph` is folded; its sizes and weights are checked. `int8` is the
/// same network's quantised form, for a file of integers.
pub(super) fn write(
    graph: &Graph,
    weights: &Weights,
    int8: Option<&Quantized>,
    meta: &ModelMeta,
) -> Vec<u8> {
    let mut writer = Writer::new(graph, weights, int8);
    let input = writer.input();
    for id in graph.ids() {
        writer.node(id);
    }
    let output = writer.output();
    let json = serde_json::json!(meta).to_string();
    writer.file.metadata(METADATA_NAME, json.as_bytes());
    let description = format!(
        "{}: input is one float32 image [1, height, width, channels] of values in 0..1, less the mean \
         and divided by the standard deviation of each channel; output is a float32 logit per class; \
         the numbers and names are in metadata entry {METADATA_NAME}",
        meta.name
    );
    writer
        .file
        .finish(&description, (INPUT, input), (OUTPUT, output))
}

struct Writer<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    int8: Option<&'a Quantized>,
    fusion: Fusion,
    /// Whether the answer's tensor is the output as it is; otherwise a reshape follows.
    is_direct: bool,
    file: FileBuilder,
    /// Tensor that holds each node's value, once something has asked for it.
    tensors: Vec<Option<TensorIndex>>,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph, weights: &'a Weights, int8: Option<&'a Quantized>) -> Self {
        let fusion = Fusion::of(graph);
        let answer = graph.output();
        let maker = graph
            .ids()
            .find(|id| !fusion.is_absorbed(*id) && fusion.makes(*id) == answer)
            .map_or(Op::Input, |id| graph.node(id).op);
        // A fully connected operator makes a vector; a map is not reshaped at all.
        let is_map = graph.output_shape().pixels() > 1;
        let is_direct =
            matches!(maker, Op::Linear { .. }) || (is_map && !matches!(maker, Op::Input));
        Self {
            graph,
            weights,
            int8,
            fusion,
            is_direct,
            file: FileBuilder::new(int8.is_some()),
            tensors: vec![None; graph.nodes().len()],
        }
    }

    /// The tensor that holds a node's value.
    fn value(&mut self, id: NodeId) -> TensorIndex {
        if let Some(tensor) = self.tensors[id.index()] {
            return tensor;
        }
        let node = self.graph.node(id);
        let is_output = id == self.graph.output() && self.is_direct;
        let shape = if is_output {
            self.output_extents()
        } else {
            let s = node.shape;
            vec![1, int(s.h), int(s.w), int(s.c)]
        };
        let tensor = match self.int8 {
            Some(q) => self.computed_int8(&format!("{}.q", node.name), &shape, q.params(id)),
            None if is_output => self.file.computed(OUTPUT, &shape),
            None => self.file.computed(&node.name, &shape),
        };
        self.tensors[id.index()] = Some(tensor);
        tensor
    }

    fn computed_int8(&mut self, name: &str, shape: &[i32], params: Params) -> TensorIndex {
        let q = Quantization {
            scales: &[params.scale],
            zero_point: params.zero_point,
            axis: 0,
        };
        self.file.computed_int8(name, shape, q)
    }

    /// The tensor that a caller fills: the image's own, or the one that it is quantised from.
    fn input(&mut self) -> TensorIndex {
        let image = self.graph.ids().next();
        let image = self.value(image.expect("a graph starts with its image"));
        if self.int8.is_none() {
            return image;
        }
        let s = self.graph.input_shape();
        let shape = [1, int(s.h), int(s.w), int(s.c)];
        let input = self.file.computed(INPUT, &shape);
        self.file
            .operator(Code::Quantize, &[input], image, OptionsKind::None, &[]);
        input
    }

    /// The tensor of a node's input at the scale of its value, where the operator passes that on.
    fn at_scale_of(&mut self, input: NodeId, reader: NodeId) -> TensorIndex {
        let tensor = self.value(input);
        let Some(q) = self.int8 else { return tensor };
        let (have, want) = (q.params(input), q.params(reader));
        if !keeps_scale(&self.graph.node(reader).op) || have == want {
            return tensor;
        }
        let (from, to) = (self.graph.node(input), self.graph.node(reader));
        let name = format!("{}.for.{}", from.name, to.name);
        let shape = [1, int(from.shape.h), int(from.shape.w), int(from.shape.c)];
        let scaled = self.computed_int8(&name, &shape, want);
        self.file
            .operator(Code::Quantize, &[tensor], scaled, OptionsKind::None, &[]);
        scaled
    }

    fn output_extents(&self) -> Vec<i32> {
        let s = self.graph.output_shape();
        if s.pixels() == 1 {
            vec![1, int(s.c)]
        } else {
            vec![1, int(s.h), int(s.w), int(s.c)]
        }
    }

    /// The output's tensor, after a reshape where the answer's own is not it, and after the integers
    /// became numbers.
    fn output(&mut self) -> TensorIndex {
        let id = self.graph.output();
        let mut answer = self.value(id);
        let extents = self.output_extents();
        if !self.is_direct {
            let shape = self.file.ints("logits.shape", &extents);
            let reshaped = match self.int8 {
                Some(q) => self.computed_int8("logits.q", &extents, q.params(id)),
                None => self.file.computed(OUTPUT, &extents),
            };
            let inputs = [answer, shape];
            self.file
                .operator(Code::Reshape, &inputs, reshaped, OptionsKind::None, &[]);
            answer = reshaped;
        }
        if self.int8.is_none() {
            return answer;
        }
        let output = self.file.computed(OUTPUT, &extents);
        self.file
            .operator(Code::Dequantize, &[answer], output, OptionsKind::None, &[]);
        output
    }

    fn node(&mut self, id: NodeId) {
        if self.fusion.is_absorbed(id) {
            return;
        }
        let node = self.graph.node(id);
        let inputs = node.inputs.iter().map(|i| self.at_scale_of(*i, id));
        let inputs: Vec<TensorIndex> = inputs.collect();
        let output = self.value(self.fusion.makes(id));
        let fused = match self.fusion.activation(id) {
            Some(Activation::Relu) => FusedActivation::Relu,
            Some(Activation::Relu6) => FusedActivation::Relu6,
            _ => FusedActivation::None,
        };
        let fused = Field::Byte(fused as i8);
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
        if let Some(q) = self.int8 {
            return self.int8_parameters(node, shape, q);
        }
        let channels = node.shape.c;
        let kernel = &self.kernel(node).data;
        let kernel = self.file.floats(&weight, shape, kernel);
        let values = match self.weights.tensors.get(&bias) {
            Some(tensor) => tensor.data.clone(),
            None => vec![0.0; channels],
        };
        [kernel, self.file.floats(&bias, &[int(channels)], &values)]
    }

    /// Adds the integer kernel and bias.
    fn int8_parameters(&mut self, node: &Node, shape: &[i32], q: &Quantized) -> [TensorIndex; 2] {
        let kernel = q.kernel(&node.name);
        let name = |suffix: &str| format!("{}.{suffix}", node.name);
        let is_depthwise = matches!(node.op, Op::DepthwiseConv { .. });
        let scales = Quantization {
            scales: &kernel.scales,
            zero_point: 0,
            axis: if is_depthwise { 3 } else { 0 },
        };
        let weight = self
            .file
            .int8s(&name("weight"), shape, &kernel.values, scales);
        let bias_scales = kernel.bias_scales(q.params(node.inputs[0]).scale);
        let scales = Quantization {
            scales: &bias_scales,
            zero_point: 0,
            axis: 0,
        };
        let bias = self.file.scaled_ints(&name("bias"), &kernel.bias, scales);
        [weight, bias]
    }

    /// What a convolution reads, and how it pads that. TFLite knows "same" padding; any other is an
    /// operator of its own, which engines fuse into the convolution after it.
    fn padded(&mut self, node: &Node, x: TensorIndex) -> (TensorIndex, Padding) {
        let input = self.graph.node(node.inputs[0]);
        let [rows, columns] = self.graph.window_padding(node);
        let (Op::Conv { kernel, stride, .. } | Op::DepthwiseConv { kernel, stride, .. }) = node.op
        else {
            return (x, Padding::Same);
        };
        let s = input.shape;
        if [rows, columns] == [s.h, s.w].map(|n| same_padding(n, kernel, stride)) {
            return (x, Padding::Same);
        }
        let zeros = [
            0,
            0,
            rows.before,
            rows.after,
            columns.before,
            columns.after,
            0,
            0,
        ]
        .map(int);
        let (h, w) = (
            rows.before + s.h + rows.after,
            columns.before + s.w + columns.after,
        );
        let shape = [1, int(h), int(w), int(s.c)];
        let name = format!("{}.padded", node.name);
        let y = match self.int8 {
            Some(q) => self.computed_int8(&name, &shape, q.params(node.inputs[0])),
            None => self.file.computed(&name, &shape),
        };
        let zeros = self.file.pairs(&format!("{name}.zeros"), &zeros);
        self.file
            .operator(Code::Pad, &[x, zeros], y, OptionsKind::Pad, &[]);
        (y, Padding::Valid)
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
        let (x, padding) = self.padded(node, x);
        let [kernel, bias] = self.parameters(node, shape);
        let fields = [
            (field::conv::PADDING, Field::Byte(padding as i8)),
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
        let (x, padding) = self.padded(node, x);
        let [kernel, bias] = self.parameters(node, &shape);
        let fields = [
            (field::depthwise_conv::PADDING, Field::Byte(padding as i8)),
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
        if self.fusion.makes(id) != self.graph.output() {
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
            (field::pool::PADDING, Field::Byte(Padding::Same as i8)),
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
