//! What a network is, and nothing else: no I/O, no clock, no threads.
//!
//! A network is a line of text per block ([`NetSpec`]); it lowers to a [`Graph`] of a closed set
//! of primitives ([`Op`]) whose shapes are checked once, by the only thing that can make one
//! ([`GraphBuilder`]). Every other crate reads a `Graph`: cost, training, the interpreter, export.

mod block;
mod cost;
mod graph;
mod rng;
mod spec;
mod weights;
pub mod zoo;

pub use block::{BLOCKS, Block, BlockKind, Layer, Skip};
pub use cost::{Cost, LayerCost, cost};
pub use graph::op::{Activation, Op};
pub use graph::param::{ParamRole, ParamSpec};
pub use graph::shape::{Padding, Shape, same_padding};
pub use graph::{Graph, GraphBuilder, GraphError, Node, NodeId};
pub use rng::{Purpose, Stream, stream};
pub use spec::{Decimal, Head, Key, NetSpec, SpecError, SpecErrorKind, Stem};
pub use weights::{Tensor, Weights, WeightsError};
