//! What a network is, and nothing else: no I/O, no clock, no threads.
//!
//! A network is a line of text per block ([`NetSpec`]); it lowers to a [`Graph`] of a closed set
//! of primitives ([`Op`]) whose shapes are checked once, by the only thing that can make one
//! ([`GraphBuilder`]). Every other crate reads a `Graph`: cost, training, the interpreter, export.
//!
//! ```
//! use mnas_net::{NetSpec, Shape, cost, zoo};
//!
//! // Text to spec and back; comments, white space and semicolons may separate lines.
//! let text = "stem_k3_s2_c32; ds_r1_k3_s1_c16; ir_r2_k3_s2_e6_c24_se0.25; head_c1280_drop0.2";
//! let spec: NetSpec = text.parse()?;
//! assert_eq!(format!("{spec:#}"), text);
//!
//! // A fault has a place.
//! let error = text.replace("e6", "e0").parse::<NetSpec>().unwrap_err();
//! assert_eq!(error.to_string(), "line 1, column 47: e must be at least 1");
//!
//! // Different words, one network.
//! let wordy = text.replace("c16", "c16_skippool"); // 32 to 16 channels: there is no skip
//! assert_eq!(wordy.parse::<NetSpec>()?.hash(), spec.hash());
//!
//! // Spec to graph to cost.
//! let graph = spec.graph(Shape::new(32, 32, 3), 10)?;
//! assert_eq!(graph.output_shape(), Shape::new(1, 1, 10));
//! assert!(cost(&graph).macs > 0);
//!
//! // Published networks have names.
//! let a1 = zoo::find("mnasnet-a1")?;
//! let graph = a1.spec.graph(Shape::new(a1.input, a1.input, 3), 1000)?;
//! assert_eq!(cost(&graph).params, 3_887_038);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block;
mod cost;
mod graph;
pub mod import;
mod rng;
mod spec;
mod weights;
pub mod zoo;

pub use block::{BLOCKS, Block, BlockKind, Layer, Skip};
pub use cost::{Cost, LayerCost, cost, macs_and_params};
pub use graph::op::{Activation, Op};
pub use graph::param::{ParamRole, ParamSpec};
pub use graph::shape::{Padding, PaddingRule, Shape, same_padding, symmetric_padding};
pub use graph::{Graph, GraphBuilder, GraphError, Node, NodeId};
pub use rng::{Purpose, Stream, stream};
pub use spec::{
    Cell, Cells, Decimal, Edge, EdgeOp, Head, Key, NetSpec, SpecError, SpecErrorKind, Stem,
};
pub use weights::{Tensor, Weights, WeightsError};
