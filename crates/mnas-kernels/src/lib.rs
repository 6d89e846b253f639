//! SIMD kernels for training small convolutional networks on a CPU, NHWC, f32.
//!
//! Training such networks is bound by memory, so layers are fused: batch norm and activation are
//! never stored but computed while the next layer reads ([`Source`]), statistics are gathered
//! while a layer writes ([`Moments`]), and in the backward pass batch norm's gradient is computed
//! while it is read ([`Upstream`]) and its sums gathered while it is written ([`Sink`]).
//!
//! What lies in memory between layers is f32, or bfloat16 at half the bytes ([`Values`]);
//! arithmetic, sums and statistics are the same either way.
//!
//! Results depend on shapes and instruction set only: the same bits for any number of threads.
#![allow(unsafe_code)]

mod bytes;
mod dense;
mod depthwise;
mod element;
mod fused;
mod isa;
mod join;
pub mod jpeg;
mod loss;
mod norm;
mod pointwise;
mod pool;
mod product;
mod simd;
mod source;
mod stats;
mod stored;
#[cfg(test)]
mod test_data;
mod tile;
mod update;
mod window;
mod workers;

pub use bytes::byte_moments;
pub use dense::{DenseShape, dense_backward, dense_forward};
pub use depthwise::{depthwise_backward, depthwise_forward};
pub use element::{Element, element_backward, element_forward, from_bytes};
pub use isa::Isa;
pub use join::{
    MapShape, add, add_gradient, gate_backward, global_average, global_average_backward,
    materialize,
};
pub use loss::cross_entropy;
pub use norm::{BatchNorm, finish, moments, norm_gradient};
pub use pointwise::{PointwiseShape, pointwise_backward, pointwise_forward};
pub use pool::{Pool, pool_backward, pool_forward};
pub use source::{Act, Affine, Finish, Moments, Sink, Source, Upstream, UpstreamNorm};
pub use stored::{Bf16, Values, ValuesMut};
pub use update::{Muon, Rule, Update, average, muon, update};
pub use window::{MAX_KERNEL, Window};
pub use workers::{Floats, Workers};
