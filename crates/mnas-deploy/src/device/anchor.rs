//! The anchor: a small fixed network that runs between rounds, so that a change of the machine's
//! speed is told from a difference between networks.

use mnas_net::{Activation, Graph, GraphBuilder, GraphError, Op, Purpose, Shape, Weights, stream};

use crate::export::{ExportError, Format, ModelFile, ModelMeta, export};

/// About 7.5 million multiply-accumulates in the operations that mobile networks are made of:
/// 0.2 ms on a desktop core with a fast engine, and within its second-level cache.
fn graph() -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(Shape::new(32, 32, 3))?;
    let conv = |kernel, filters| Op::Conv {
        kernel,
        stride: 1,
        filters,
        bias: true,
    };
    let depthwise = Op::DepthwiseConv {
        kernel: 3,
        stride: 1,
        bias: true,
    };
    let relu = Op::Act(Activation::Relu);
    let layers = [
        ("stem", conv(3, 32)),
        ("stem.act", relu),
        ("depthwise", depthwise),
        ("depthwise.act", relu),
        ("expand", conv(1, 64)),
        ("expand.act", relu),
        ("project", conv(1, 64)),
        ("pool", Op::GlobalAvgPool),
        ("classifier", Op::Linear { features: 10 }),
    ];
    let mut x = b.input();
    for (name, op) in layers {
        x = b.add(name, op, &[x])?;
    }
    Ok(b.finish(x))
}

/// The anchor as a model file.
pub(super) fn model(format: Format) -> Result<ModelFile, ExportError> {
    let graph =
        graph().expect("the anchor's layers are constant and fit one another; a test builds it");
    let weights = Weights::init(&graph, &mut stream(0, 0, Purpose::Measure));
    let meta = ModelMeta {
        name: "anchor".into(),
        ..ModelMeta::default()
    };
    export(&graph, &weights, format, &meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnas_net::cost;

    #[test]
    fn the_anchor_stays_what_it_is() {
        // Another anchor makes spreads of older measurements incomparable.
        // 32x32 maps: 27 * 32 + 9 * 32 + 32 * 64 + 64 * 64 per pixel, and the classifier's 640.
        assert_eq!(cost(&graph().unwrap()).macs, 1024 * 7296 + 640);
        for format in Format::ALL {
            assert_eq!(model(format).unwrap().outputs, 10);
        }
    }
}
