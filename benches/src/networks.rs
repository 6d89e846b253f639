//! The networks that training is timed on, by name, and their graphs as text for other programs.

use mnas_net::{Graph, NetSpec, Op, Purpose, Shape, stream, zoo};
use mnas_search::Space;
use serde_json::{Value, json};

/// Samples of each space that belong to the table.
const SAMPLES: u64 = 5;

/// A small MBConv network, of the size that small-image spaces hold.
const A: &str =
    "stem_k3_s1_c16\nir_r2_k3_s2_e3_c24\nir_r2_k5_s2_e6_c40\nir_r2_k3_s2_e6_c80\nhead_c160";

/// A network and its batch.
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) graph: Graph,
    pub(crate) batch: usize,
}

/// Names of all networks of the table: **a** (32 px, batch 64), **b** (MnasNet-B1 at 96 px, batch
/// 16), MnasNet-A1 and samples of every space, `SPACE/NUMBER`.
pub(crate) fn names() -> Vec<String> {
    let fixed = ["a", "b", "mnasnet-a1"].map(str::to_owned);
    let samples = Space::builtin_names()
        .into_iter()
        .flat_map(|space| (0..SAMPLES).map(move |i| format!("{space}/{i}")));
    fixed.into_iter().chain(samples).collect()
}

/// The network of a name: one of [`names`], any of the zoo, whose size may follow as `@PIXELS`, or a
/// network's text, at 32 pixels. `image` and `classes` replace what goes with the name.
pub(crate) fn network(
    name: &str,
    image: Option<Shape>,
    classes: Option<usize>,
) -> Result<Network, String> {
    let (spec, side) = match name {
        "a" => (A.parse::<NetSpec>().map_err(|e| e.to_string())?, 32),
        "b" => zoo_network("mnasnet-b1@96")?,
        _ => match (name.parse::<NetSpec>(), name.split_once('/')) {
            (Ok(spec), _) => (spec, 32),
            (_, Some((space, number))) => sample(space, number)?,
            _ => zoo_network(name)?,
        },
    };
    let image = image.unwrap_or(Shape::new(side, side, 3));
    let (usual, batch) = if image.h < 64 { (10, 64) } else { (1000, 16) };
    let graph = spec.graph(image, classes.unwrap_or(usual));
    Ok(Network {
        name: name.to_owned(),
        graph: graph.map_err(|e| format!("{name}: {e}"))?,
        batch,
    })
}

fn zoo_network(name: &str) -> Result<(NetSpec, usize), String> {
    let named = zoo::find(name).map_err(|e| e.to_string())?;
    Ok((named.spec, named.input))
}

/// A random network of a space, at 32 pixels where the space is for small images, else at 96.
fn sample(space: &str, number: &str) -> Result<(NetSpec, usize), String> {
    let unknown = || format!("no space is called {space}");
    let known = Space::builtin(space).ok_or_else(unknown)?;
    let number = number
        .parse()
        .map_err(|_| format!("{number}: not a number"))?;
    let tokens = known.sample(&mut stream(number, 0, Purpose::Sample));
    let spec = known.decode(&tokens).map_err(|e| e.to_string())?;
    Ok((spec, if space.ends_with("-small") { 32 } else { 96 }))
}

impl Network {
    pub(crate) fn classes(&self) -> usize {
        self.graph.output_shape().len()
    }

    /// Everything another engine needs to build the same network: nodes in order, each with the
    /// positions of those it reads, its output's shape `[height, width, channels]`, and for windows
    /// the padding `[top, bottom, left, right]`.
    pub(crate) fn json(&self) -> Value {
        let node = |id| {
            let node = self.graph.node(id);
            let inputs: Vec<usize> = node.inputs.iter().map(|i| i.index()).collect();
            let [rows, columns] = self.graph.window_padding(node);
            let padding = [rows.before, rows.after, columns.before, columns.after];
            let mut value = json!({
                "op": node.op.name(), "name": node.name, "inputs": inputs,
                "shape": [node.shape.h, node.shape.w, node.shape.c] });
            let more = match node.op {
                Op::Conv {
                    kernel,
                    stride,
                    bias,
                    ..
                }
                | Op::DepthwiseConv {
                    kernel,
                    stride,
                    bias,
                } => {
                    json!({ "kernel": kernel, "stride": stride, "bias": bias, "padding": padding })
                }
                Op::AvgPool { kernel, stride } | Op::MaxPool { kernel, stride } => {
                    json!({ "kernel": kernel, "stride": stride, "padding": padding })
                }
                Op::BatchNorm { epsilon } => json!({ "epsilon": epsilon }),
                Op::Dropout { rate } => json!({ "rate": rate }),
                Op::Act(activation) => json!({ "function": activation.to_string() }),
                _ => json!({}),
            };
            if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
                value.extend(more);
            }
            value
        };
        json!({
            "name": self.name, "batch": self.batch, "classes": self.classes(),
            "nodes": self.graph.ids().map(node).collect::<Vec<_>>(),
            "output": self.graph.output().index() })
    }
}
