//! ONNX writer: operator set 13, channels first, one ONNX node per primitive where there is one.

use mnas_net::{Activation, Graph, Node, NodeId, Op, Padding, Tensor, Weights, same_padding};
use prost::Message;

use super::ModelMeta;
use proto::{
    Attribute, GraphProto, ModelProto, NodeProto, OperatorSet, StringEntry, TensorProto, ValueInfo,
};

pub(super) mod proto;

/// Operator set 13 of 2020 is read by every engine in use; nothing here needs a later one.
const OPERATOR_SET: i64 = 13;
/// Operator set 13 came with IR version 7; 8 added nothing that is used here and is what other
/// exporters write beside it.
const IR_VERSION: i64 = 8;

/// The bytes of an ONNX file. `graph` is folded; its sizes and weights are checked.
pub(super) fn write(graph: &Graph, weights: &Weights, meta: &ModelMeta) -> Vec<u8> {
    let mut writer = Writer::new(graph, weights);
    for id in graph.ids() {
        writer.node(id);
    }
    writer.output();
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "mnas".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: describe(meta),
        graph: Some(writer.finish(meta)),
        opset_import: vec![OperatorSet {
            domain: String::new(),
            version: OPERATOR_SET,
        }],
        metadata_props: metadata(meta),
    };
    model.encode_to_vec()
}

fn describe(meta: &ModelMeta) -> String {
    format!(
        "{}: input is one image [1, channels, height, width] of values in 0..1, less the mean and \
         divided by the standard deviation of each channel (metadata normalize_mean, \
         normalize_std); output is a logit per class (metadata classes)",
        meta.name
    )
}

/// Lists are JSON arrays; `read` undoes this.
fn metadata(meta: &ModelMeta) -> Vec<StringEntry> {
    let entry = |key: &str, value: String| StringEntry {
        key: key.into(),
        value,
    };
    let mut entries = vec![
        entry("name", meta.name.clone()),
        entry("classes", serde_json::json!(meta.classes).to_string()),
        entry(
            "normalize_mean",
            serde_json::json!(meta.normalize_mean).to_string(),
        ),
        entry(
            "normalize_std",
            serde_json::json!(meta.normalize_std).to_string(),
        ),
    ];
    entries.extend(meta.extra.iter().map(|(k, v)| entry(k, v.clone())));
    entries
}

/// Name of the graph's output.
const OUTPUT: &str = "logits";
/// Constants of ReLU6.
const ZERO: &str = "constant.zero";
const SIX: &str = "constant.six";

struct Writer<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    has_relu6: bool,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph, weights: &'a Weights) -> Self {
        Self {
            graph,
            weights,
            nodes: vec![],
            initializers: vec![],
            has_relu6: false,
        }
    }

    /// Name of a node's value. The suffix keeps it apart from parameters and from the output.
    fn value(&self, id: NodeId) -> String {
        match self.graph.node(id).op {
            Op::Input => "input".into(),
            _ => format!("{}.out", self.graph.node(id).name),
        }
    }

    fn push(&mut self, op: &str, name: &str, inputs: &[&str], output: &str, a: Vec<Attribute>) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|s| (*s).into()).collect(),
            output: vec![output.into()],
            name: name.into(),
            op_type: op.into(),
            attribute: a,
        });
    }

    fn node(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let (name, out) = (&*node.name, self.value(id));
        let inputs: Vec<String> = node.inputs.iter().map(|i| self.value(*i)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        match node.op {
            Op::Input => {}
            Op::Conv { kernel, stride, .. } => {
                let weight = conv_kernel(self.tensor(name, "weight"));
                self.conv(
                    node,
                    inputs[0],
                    &out,
                    weight,
                    window(self.graph, node, kernel, stride),
                    1,
                );
            }
            Op::DepthwiseConv { kernel, stride, .. } => {
                let weight = depthwise_kernel(self.tensor(name, "weight"));
                let window = window(self.graph, node, kernel, stride);
                self.conv(node, inputs[0], &out, weight, window, node.shape.c);
            }
            Op::Linear { .. } if id == self.graph.output() => self.gemm(node, inputs[0]),
            Op::Linear { .. } => {
                // Inside the network it stays a 1x1 convolution: engines run it as the same
                // matrix product, and its value keeps the four axes that its readers expect.
                let weight = linear_as_conv(self.tensor(name, "weight"));
                let window = window(self.graph, node, 1, 1);
                self.conv(node, inputs[0], &out, weight, window, 1);
            }
            Op::Act(act) => self.activation(act, name, inputs[0], &out),
            Op::Add => self.push("Add", name, &inputs, &out, vec![]),
            Op::Mul => self.push("Mul", name, &inputs, &out, vec![]),
            Op::Concat => self.push(
                "Concat",
                name,
                &inputs,
                &out,
                vec![Attribute::int("axis", 1)],
            ),
            Op::AvgPool { kernel, stride } => {
                let mut attributes = window(self.graph, node, kernel, stride);
                attributes.push(Attribute::int("count_include_pad", 0));
                self.push("AveragePool", name, &inputs, &out, attributes);
            }
            Op::MaxPool { kernel, stride } => {
                let attributes = window(self.graph, node, kernel, stride);
                self.push("MaxPool", name, &inputs, &out, attributes);
            }
            Op::GlobalAvgPool => self.push("GlobalAveragePool", name, &inputs, &out, vec![]),
            Op::BatchNorm { .. } | Op::Dropout { .. } => {
                unreachable!("folding leaves no batch norm or dropout")
            }
        }
    }

    fn tensor(&self, node: &str, suffix: &str) -> &'a Tensor {
        self.weights.get(&format!("{node}.{suffix}"))
    }

    /// Adds an initializer and returns its name.
    fn initializer(&mut self, node: &str, suffix: &str, tensor: TensorProto) -> String {
        let name = format!("{node}.{suffix}");
        self.initializers.push(TensorProto {
            name: name.clone(),
            ..tensor
        });
        name
    }

    /// The bias as an initializer, where the node has one.
    fn bias(&mut self, node: &Node) -> Option<String> {
        let name = format!("{}.bias", node.name);
        let tensor = self.weights.tensors.get(&name)?;
        let proto = TensorProto::float(&[tensor.data.len()], tensor.data.iter().copied());
        Some(self.initializer(&node.name, "bias", proto))
    }

    fn conv(
        &mut self,
        node: &Node,
        input: &str,
        output: &str,
        weight: TensorProto,
        mut attributes: Vec<Attribute>,
        groups: usize,
    ) {
        attributes.push(Attribute::int("group", groups as i64));
        attributes.push(Attribute::ints("dilations", &[1, 1]));
        let weight = self.initializer(&node.name, "weight", weight);
        let bias = self.bias(node);
        let inputs: Vec<&str> = [input, &weight]
            .into_iter()
            .chain(bias.as_deref())
            .collect();
        self.push("Conv", &node.name, &inputs, output, attributes);
    }

    /// The classifier: its input is flattened, its value is the output itself.
    fn gemm(&mut self, node: &Node, input: &str) {
        let flat = format!("{}.flat", node.name);
        let flatten = format!("{}.flatten", node.name);
        self.push(
            "Flatten",
            &flatten,
            &[input],
            &flat,
            vec![Attribute::int("axis", 1)],
        );
        let tensor = self.tensor(&node.name, "weight");
        let weight = TensorProto::float(&tensor.shape, tensor.data.iter().copied());
        let weight = self.initializer(&node.name, "weight", weight);
        let bias = self.bias(node);
        let inputs: Vec<&str> = [&*flat, &weight]
            .into_iter()
            .chain(bias.as_deref())
            .collect();
        self.push(
            "Gemm",
            &node.name,
            &inputs,
            OUTPUT,
            vec![Attribute::int("transB", 1)],
        );
    }

    fn activation(&mut self, act: Activation, name: &str, input: &str, output: &str) {
        match act {
            Activation::Relu => self.push("Relu", name, &[input], output, vec![]),
            Activation::Relu6 => {
                self.has_relu6 = true;
                self.push("Clip", name, &[input, ZERO, SIX], output, vec![]);
            }
            Activation::Sigmoid => self.push("Sigmoid", name, &[input], output, vec![]),
            // HardSwish came with operator set 14; in 13 it is the product that defines it.
            Activation::HSwish => {
                let gate = format!("{name}.gate");
                let attributes = vec![
                    Attribute::float("alpha", 1.0 / 6.0),
                    Attribute::float("beta", 0.5),
                ];
                self.push("HardSigmoid", &gate, &[input], &gate, attributes);
                self.push("Mul", name, &[input, &gate], output, vec![]);
            }
        }
    }

    /// Makes the last node's value the output, unless it is already.
    fn output(&mut self) {
        let id = self.graph.output();
        let node = self.graph.node(id);
        let value = self.value(id);
        if let Op::Linear { .. } = node.op {
            return;
        }
        if self.graph.output_shape().pixels() == 1 {
            self.push(
                "Flatten",
                OUTPUT,
                &[&value],
                OUTPUT,
                vec![Attribute::int("axis", 1)],
            );
        } else if node.op == Op::Input {
            self.push("Identity", OUTPUT, &[&value], OUTPUT, vec![]);
        } else if let Some(last) = self.nodes.last_mut() {
            // Nothing reads the answer, so it can be renamed where it is made.
            last.output = vec![OUTPUT.into()];
        }
    }

    fn finish(mut self, meta: &ModelMeta) -> GraphProto {
        if self.has_relu6 {
            for (name, value) in [(ZERO, 0.0), (SIX, 6.0)] {
                self.initializers.push(TensorProto {
                    name: name.into(),
                    ..TensorProto::float(&[], [value].into_iter())
                });
            }
        }
        let (x, y) = (self.graph.input_shape(), self.graph.output_shape());
        let output = if y.pixels() == 1 {
            vec![1, y.c]
        } else {
            vec![1, y.c, y.h, y.w]
        };
        GraphProto {
            node: self.nodes,
            name: if meta.name.is_empty() {
                // The standard asks for a name.
                "network".into()
            } else {
                meta.name.clone()
            },
            initializer: self.initializers,
            input: vec![ValueInfo::float("input", &[1, x.c, x.h, x.w])],
            output: vec![ValueInfo::float(OUTPUT, &output)],
        }
    }
}

/// Attributes of a sliding window. The padding is written out: `SAME_UPPER` would mean the same,
/// but engines support explicit pads best.
fn window(graph: &Graph, node: &Node, kernel: usize, stride: usize) -> Vec<Attribute> {
    let x = graph.node(node.inputs[0]).shape;
    let [rows, columns]: [Padding; 2] = [x.h, x.w].map(|n| same_padding(n, kernel, stride));
    let pads = [rows.before, columns.before, rows.after, columns.after];
    vec![
        Attribute::ints("kernel_shape", &[kernel as i64; 2]),
        Attribute::ints("strides", &[stride as i64; 2]),
        Attribute::ints("pads", &pads.map(|p| p as i64)),
    ]
}

/// `[out, kh, kw, in]` as ONNX's `[out, in, kh, kw]`.
fn conv_kernel(tensor: &Tensor) -> TensorProto {
    let [out, kh, kw, input] = extents(tensor);
    let at = |o: usize, i: usize, p: usize| tensor.data[(o * kh * kw + p) * input + i];
    let values = (0..out)
        .flat_map(|o| (0..input).map(move |i| (o, i)))
        .flat_map(|(o, i)| (0..kh * kw).map(move |p| (o, i, p)));
    TensorProto::float(&[out, input, kh, kw], values.map(|(o, i, p)| at(o, i, p)))
}

/// `[kh, kw, channels]` as ONNX's `[channels, 1, kh, kw]`.
fn depthwise_kernel(tensor: &Tensor) -> TensorProto {
    let [kh, kw, channels] = extents(tensor);
    let values = (0..channels).flat_map(|c| (0..kh * kw).map(move |p| (c, p)));
    let values = values.map(|(c, p)| tensor.data[p * channels + c]);
    TensorProto::float(&[channels, 1, kh, kw], values)
}

/// `[features, in]` as `[features, in, 1, 1]`.
fn linear_as_conv(tensor: &Tensor) -> TensorProto {
    let [features, input] = extents(tensor);
    TensorProto::float(&[features, input, 1, 1], tensor.data.iter().copied())
}

/// A checked tensor's extents, as many as its role has.
fn extents<const N: usize>(tensor: &Tensor) -> [usize; N] {
    let shape = <[usize; N]>::try_from(&*tensor.shape);
    shape.expect("the weights are checked against the graph, which fixes each tensor's rank")
}
