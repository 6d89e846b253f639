//! ONNX writer: operator set 13, channels first, one ONNX node per primitive where there is one.
//!
//! An 8-bit network is written with pairs of QuantizeLinear and DequantizeLinear around operators on
//! float32 (QDQ), which ONNX Runtime replaces by operators on integers: unsigned activations and
//! signed kernels, the pair that x86 processors multiply fastest.

use mnas_net::{Activation, Graph, Node, NodeId, Op, Weights};
use prost::Message;

use super::ModelMeta;
use crate::fusion::Fusion;
use crate::quantize::Quantized;
use layout::{Order, as_it_is, conv_kernel, depthwise_kernel, linear_as_conv};
use proto::{
    Attribute, GraphProto, ModelProto, NodeProto, OperatorSet, StringEntry, TensorProto, ValueInfo,
};

mod layout;
pub(super) mod proto;
mod qdq;

/// Operator set 13 of 2020 is read by every engine in use; nothing here needs a later one.
const OPERATOR_SET: i64 = 13;
/// Operator set 13 came with IR version 7; 8 added nothing that is used here and is what other
/// exporters write beside it.
const IR_VERSION: i64 = 8;

/// The bytes of an ONNX file. `graph` is folded; its sizes and weights are checked. `int8` is the
/// same network's quantised form, for a file of integers.
pub(super) fn write(
    graph: &Graph,
    weights: &Weights,
    int8: Option<&Quantized>,
    meta: &ModelMeta,
) -> Vec<u8> {
    let mut writer = Writer::new(graph, weights, int8);
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
    int8: Option<&'a Quantized>,
    /// Activations that are part of the operator before them; of an 8-bit file only.
    fusion: Option<&'a Fusion>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    has_relu6: bool,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph, weights: &'a Weights, int8: Option<&'a Quantized>) -> Self {
        Self {
            graph,
            weights,
            int8,
            fusion: int8.map(|q| &q.fusion),
            nodes: vec![],
            initializers: vec![],
            has_relu6: false,
        }
    }

    /// Name of a node's value as its operator makes it. The suffix keeps it apart from parameters and
    /// from the output.
    fn made(&self, id: NodeId) -> String {
        match self.graph.node(id).op {
            Op::Input => "input".into(),
            _ => format!("{}.out", self.graph.node(id).name),
        }
    }

    /// Name of a node's value as others read it: in an 8-bit file, after it was rounded.
    fn value(&self, id: NodeId) -> String {
        let made = self.made(id);
        match self.int8 {
            Some(_) => format!("{made}.dq"),
            None => made,
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
        if self.fusion.is_some_and(|f| f.is_absorbed(id)) {
            return;
        }
        let inputs = self.graph.node(id).inputs.clone();
        let inputs: Vec<String> = inputs.iter().map(|i| self.at_scale_of(*i, id)).collect();
        let made = self.fusion.map_or(id, |f| f.makes(id));
        let explicit = self.explicit_activation(id);
        let out = self.made(if explicit.is_some() { id } else { made });
        self.operator(id, &inputs, &out);
        if let Some(act) = explicit {
            let after = self.made(made);
            self.activation(act, &self.graph.node(made).name, &out, &after);
        }
        // The classifier's answer stays as exact as its sums are.
        let is_answer =
            id == self.graph.output() && matches!(self.graph.node(id).op, Op::Linear { .. });
        if let Some(q) = self.int8.filter(|_| !is_answer) {
            self.round(&self.made(made), q.params(made));
        }
    }

    fn operator(&mut self, id: NodeId, inputs: &[String], out: &str) {
        let node = self.graph.node(id);
        let name = &*node.name;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        match node.op {
            Op::Input => {}
            Op::Conv { kernel, stride, .. } => {
                let window = window(self.graph, node, kernel, stride);
                self.conv(node, inputs[0], out, conv_kernel, window, 1);
            }
            Op::DepthwiseConv { kernel, stride, .. } => {
                let window = window(self.graph, node, kernel, stride);
                let channels = node.shape.c;
                self.conv(node, inputs[0], out, depthwise_kernel, window, channels);
            }
            Op::Linear { .. } if id == self.graph.output() => self.gemm(node, inputs[0]),
            Op::Linear { .. } => {
                // Inside the network it stays a 1x1 convolution: engines run it as the same
                // matrix product, and its value keeps the four axes that its readers expect.
                let window = window(self.graph, node, 1, 1);
                self.conv(node, inputs[0], out, linear_as_conv, window, 1);
            }
            Op::Act(act) => self.activation(act, name, inputs[0], out),
            Op::Add => self.push("Add", name, &inputs, out, vec![]),
            Op::Mul => self.push("Mul", name, &inputs, out, vec![]),
            Op::Concat => self.push(
                "Concat",
                name,
                &inputs,
                out,
                vec![Attribute::int("axis", 1)],
            ),
            Op::AvgPool { kernel, stride } => {
                let mut attributes = window(self.graph, node, kernel, stride);
                attributes.push(Attribute::int("count_include_pad", 0));
                self.push("AveragePool", name, &inputs, out, attributes);
            }
            Op::MaxPool { kernel, stride } => {
                let attributes = window(self.graph, node, kernel, stride);
                self.push("MaxPool", name, &inputs, out, attributes);
            }
            Op::GlobalAvgPool => self.push("GlobalAveragePool", name, &inputs, out, vec![]),
            Op::BatchNorm { .. } | Op::Dropout { .. } => {
                unreachable!("folding leaves no batch norm or dropout")
            }
        }
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

    /// Adds a kernel, laid out by `order`, and the bias where the node has one; returns the names by
    /// which its operator reads them.
    fn parameters(&mut self, node: &Node, order: Order) -> Vec<String> {
        if let Some(q) = self.int8 {
            return self.int8_parameters(node, order, q);
        }
        let tensor = self.weights.get(&format!("{}.weight", node.name));
        let (dims, positions) = order(&tensor.shape);
        let values = positions.into_iter().map(|p| tensor.data[p]);
        let weight = self.initializer(&node.name, "weight", TensorProto::float(&dims, values));
        let bias = self.weights.tensors.get(&format!("{}.bias", node.name));
        let bias = bias.map(|tensor| {
            let proto = TensorProto::float(&[tensor.data.len()], tensor.data.iter().copied());
            self.initializer(&node.name, "bias", proto)
        });
        [weight].into_iter().chain(bias).collect()
    }

    fn conv(
        &mut self,
        node: &Node,
        input: &str,
        output: &str,
        order: Order,
        mut attributes: Vec<Attribute>,
        groups: usize,
    ) {
        attributes.push(Attribute::int("group", groups as i64));
        attributes.push(Attribute::ints("dilations", &[1, 1]));
        let parameters = self.parameters(node, order);
        let inputs: Vec<&str> = [input]
            .into_iter()
            .chain(parameters.iter().map(String::as_str))
            .collect();
        self.push("Conv", &node.name, &inputs, output, attributes);
    }

    /// The classifier: its input is flattened, its value is the output itself.
    fn gemm(&mut self, node: &Node, input: &str) {
        let mut flat = format!("{}.flat", node.name);
        let flatten = format!("{}.flatten", node.name);
        let axis = Attribute::int("axis", 1);
        self.push("Flatten", &flatten, &[input], &flat, vec![axis]);
        if let Some(q) = self.int8 {
            flat = self.round(&flat, q.params(node.inputs[0]));
        }
        let parameters = self.parameters(node, as_it_is);
        let inputs: Vec<&str> = [&*flat]
            .into_iter()
            .chain(parameters.iter().map(String::as_str))
            .collect();
        let transposed = Attribute::int("transB", 1);
        self.push("Gemm", &node.name, &inputs, OUTPUT, vec![transposed]);
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
    let [rows, columns] = graph.window_padding(node);
    let pads = [rows.before, columns.before, rows.after, columns.after];
    vec![
        Attribute::ints("kernel_shape", &[kernel as i64; 2]),
        Attribute::ints("strides", &[stride as i64; 2]),
        Attribute::ints("pads", &pads.map(|p| p as i64)),
    ]
}
