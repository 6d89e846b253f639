//! Parts of networks: a layer of a block, cut out and made a network of its own, so that a device
//! can measure it.

use std::collections::{BTreeMap, BTreeSet};

use mnas_net::{Graph, GraphBuilder, GraphError, NodeId, Op};

use crate::device::linear::features;

/// A layer of a block as a network: its input is the image, and pooling and a small linear layer
/// make it a classifier, as engines expect.
#[derive(Debug, Clone)]
pub struct Part {
    /// Name of the layer in the network that it was cut from, as `blocks.1.0`.
    pub layer: String,
    /// The part.
    pub graph: Graph,
}

/// Classes of a part's answer.
const CLASSES: usize = 10;

/// At most `count` different parts of `networks`, chosen one after another such that each lies
/// farthest from those before it in the logarithms of its features.
pub fn parts(networks: &[Graph], count: usize) -> Vec<Part> {
    let mut known = BTreeSet::new();
    let mut pool: Vec<(Part, BTreeMap<String, f64>)> = vec![];
    for graph in networks {
        for layer in layers_of_blocks(graph) {
            let Ok(Some(part)) = cut(graph, &layer) else {
                continue;
            };
            let features = features(&part);
            if known.insert(features.clone()) {
                let logs = features.into_iter().map(|(k, v)| (k, (v as f64).ln_1p()));
                pool.push((Part { layer, graph: part }, logs.collect()));
            }
        }
    }
    let mut nearest = vec![f64::INFINITY; pool.len()];
    let mut chosen = vec![];
    while chosen.len() < count.min(pool.len()) {
        let farthest = (0..pool.len()).max_by(|a, b| nearest[*a].total_cmp(&nearest[*b]));
        let Some(next) = farthest else { break };
        for (distance, (_, features)) in nearest.iter_mut().zip(&pool) {
            *distance = distance.min(squared_distance(features, &pool[next].1));
        }
        // Never again, even where all that are left are copies of it.
        nearest[next] = f64::NEG_INFINITY;
        chosen.push(pool[next].0.clone());
    }
    chosen
}

fn squared_distance(a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>) -> f64 {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let value = |m: &BTreeMap<String, f64>, k: &str| m.get(k).copied().unwrap_or(0.0);
    let squares = keys.iter().map(|k| (value(a, k) - value(b, k)).powi(2));
    squares.sum()
}

/// `blocks.B.L` of every layer, in order.
fn layers_of_blocks(graph: &Graph) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    for node in graph.nodes() {
        let mut words = node.name.splitn(4, '.');
        if let (Some("blocks"), Some(b), Some(l)) = (words.next(), words.next(), words.next()) {
            let layer = format!("blocks.{b}.{l}");
            if found.last() != Some(&layer) {
                found.push(layer);
            }
        }
    }
    found
}

/// The nodes under `layer` as a network; `None` where they read more than one value from outside.
fn cut(graph: &Graph, layer: &str) -> Result<Option<Graph>, GraphError> {
    let prefix = format!("{layer}.");
    let inside: Vec<NodeId> = graph
        .ids()
        .filter(|id| graph.node(*id).name.starts_with(&prefix))
        .collect();
    let outside: BTreeSet<NodeId> = inside
        .iter()
        .flat_map(|id| graph.node(*id).inputs.iter().copied())
        .filter(|id| !inside.contains(id))
        .collect();
    let (Some(source), 1) = (outside.first(), outside.len()) else {
        return Ok(None);
    };
    let mut b = GraphBuilder::new(graph.node(*source).shape)?.with_padding(graph.padding());
    let mut now: BTreeMap<NodeId, NodeId> = [(*source, b.input())].into();
    let mut last = b.input();
    for id in inside {
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| now[i]).collect();
        last = b.add(&node.name, node.op, &inputs)?;
        now.insert(id, last);
    }
    let pool = b.add("pool", Op::GlobalAvgPool, &[last])?;
    let answer = b.add("classifier", Op::Linear { features: CLASSES }, &[pool])?;
    Ok(Some(b.finish(answer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnas_net::{NetSpec, Shape, cost};

    fn graph(text: &str) -> Graph {
        let spec: NetSpec = text.parse().unwrap();
        spec.graph(Shape::new(16, 16, 3), 10).unwrap()
    }

    #[test]
    fn a_part_is_its_layer_and_nothing_more() {
        let net = graph("stem_k3_s1_c8; ir_r2_k3_s2_e3_c16_se0.25_skippool; head_c32");
        let all = parts(std::slice::from_ref(&net), 10);
        let names: Vec<&str> = all.iter().map(|p| &*p.layer).collect();
        assert_eq!(all.len(), 2, "{names:?}");
        let whole: u64 = cost(&net)
            .layers
            .iter()
            .filter(|l| l.name.starts_with("blocks."))
            .map(|l| l.macs)
            .sum();
        // A part has its own classifier, of 16 channels.
        let cut: u64 = all.iter().map(|p| cost(&p.graph).macs - 160).sum();
        assert_eq!(cut, whole);
        let second = all.iter().find(|p| p.layer == "blocks.0.1").unwrap();
        assert_eq!(second.graph.input_shape(), Shape::new(8, 8, 16));
        assert!(
            second
                .graph
                .nodes()
                .iter()
                .any(|n| matches!(n.op, Op::AvgPool { .. }))
        );
    }

    #[test]
    fn parts_differ_and_are_spread() {
        let nets = [
            graph("stem_k3_s1_c8; ds_r3_k3_s1_c8; head_c32"),
            graph("stem_k3_s1_c8; ds_r1_k3_s1_c8; ir_r1_k5_s2_e6_c32; head_c32"),
        ];
        // `ds` from 8 to 8 channels is the same part each time.
        assert_eq!(parts(&nets, 10).len(), 2);
        let kinds: Vec<String> = parts(&nets, 2).into_iter().map(|p| p.layer).collect();
        assert!(kinds.contains(&"blocks.1.0".into()), "{kinds:?}");
        assert!(parts(&nets, 0).is_empty() && parts(&[], 5).is_empty());
    }
}
