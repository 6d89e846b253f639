//! Blocks: what a line of text between stem and head may name. The set is open: a kind of block is
//! one file with one [`BlockKind`] and one line in [`BLOCKS`]; parsing, search, cost, training and
//! export follow from its lowering to primitives.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::graph::op::Activation;
use crate::spec::{Cells, Decimal, Key};
use crate::{GraphBuilder, GraphError, NodeId};

mod cell;
mod cn;
mod cp;
mod ds;
mod ir;
pub(crate) mod parts;
mod sep;
#[cfg(test)]
mod tests;

/// Every kind of block.
pub const BLOCKS: &[&dyn BlockKind] = &[
    &cn::Conv,
    &cp::PooledConv,
    &ds::DepthwiseSeparable,
    &ir::InvertedResidual,
    &sep::Separable,
    &cell::NasCell,
];

/// A kind of block.
pub trait BlockKind: Sync {
    /// The code that a line starts with; lower-case letters only.
    fn code(&self) -> &'static str;

    /// What a layer computes, in one line for people.
    fn summary(&self) -> &'static str;

    /// Keys that a line must give.
    fn required(&self) -> &'static [Key] {
        &[Key::Repeats, Key::Kernel, Key::Stride, Key::Width]
    }

    /// Keys that a line may give.
    fn optional(&self) -> &'static [Key];

    /// What the skip is where the text says nothing.
    fn default_skip(&self) -> Skip {
        Skip::None
    }

    /// Adds one layer of the block to the graph at `layer.stride` and returns its output, of
    /// [`BlockKind::output_width`] channels. Nodes are named under `layer.name`.
    ///
    /// # Errors
    /// Those of [`GraphBuilder::add`].
    fn lower(&self, layer: &Layer<'_>, g: &mut GraphBuilder) -> Result<NodeId, GraphError>;

    /// Channels of the block's output.
    fn output_width(&self, block: &Block, cells: &Cells) -> usize {
        let _ = cells;
        block.width
    }

    /// The same layers in the words of a simpler kind, where there is one. The graph must stay
    /// equal, names included.
    fn simplified(&self, block: &Block) -> Block {
        block.clone()
    }
}

impl dyn BlockKind {
    /// Whether lines of this kind take the key.
    pub fn takes(&self, key: Key) -> bool {
        self.required().contains(&key) || self.optional().contains(&key)
    }
}

impl PartialEq for dyn BlockKind {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code()
    }
}

impl Eq for dyn BlockKind {}

impl Hash for dyn BlockKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code().hash(state);
    }
}

impl fmt::Debug for dyn BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One line of text: a number of like layers. Keys that the kind doesn't take hold their neutral
/// value (1, zero, ReLU).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Block {
    /// What a layer is.
    pub kind: &'static dyn BlockKind,
    /// Number of layers; a block of none is left out.
    pub repeats: usize,
    /// Side of the (depthwise) convolution's window.
    pub kernel: usize,
    /// Stride of the first layer; that of the others is 1.
    pub stride: usize,
    /// Expanded width as a multiple of a layer's input channels.
    pub expand: usize,
    /// Output channels; of a `cell`, those of each of its states.
    pub width: usize,
    /// Squeeze width as a fraction of a layer's input channels; zero is no squeeze-excitation.
    pub squeeze: Decimal,
    /// Activation function.
    pub act: Activation,
    /// What is added to a layer's output where its stride is 1 and its widths are equal.
    pub skip: Skip,
}

/// What is added to a layer's output where its stride is 1 and input and output widths are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The layer's input.
    Identity,
    /// The 3x3 stride-1 average pool of the layer's input.
    Pool,
    /// Nothing.
    None,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skip::Identity => "identity",
            Skip::Pool => "pool",
            Skip::None => "none",
        })
    }
}

/// A layer to lower.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The block that the layer is of.
    pub block: &'a Block,
    /// Path of the layer, as `blocks.1.0`.
    pub name: &'a str,
    /// Stride of this layer.
    pub stride: usize,
    /// What the layer reads.
    pub input: NodeId,
    /// What the layer before it read; the input again where there is none.
    pub previous: NodeId,
    /// The network's cells.
    pub cells: &'a Cells,
}

impl Layer<'_> {
    /// Full name of a node of the layer.
    pub(crate) fn node(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }
}

impl Block {
    /// Channels of the block's output.
    pub fn output_width(&self, cells: &Cells) -> usize {
        self.kind.output_width(self, cells)
    }

    /// Adds the block's layers to the graph after `input`, as `name.0`, `name.1` and so on. Returns
    /// what the last layer read and gave.
    pub(crate) fn lower(
        &self,
        name: &str,
        (mut previous, mut input): (NodeId, NodeId),
        cells: &Cells,
        g: &mut GraphBuilder,
    ) -> Result<(NodeId, NodeId), GraphError> {
        for i in 0..self.repeats {
            let layer = Layer {
                block: self,
                name: &format!("{name}.{i}"),
                stride: if i == 0 { self.stride } else { 1 },
                input,
                previous,
                cells,
            };
            let output = self.kind.lower(&layer, g)?;
            (previous, input) = (input, output);
        }
        Ok((previous, input))
    }
}

impl fmt::Display for Block {
    /// The line, without keys that hold the value they have when absent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.code())?;
        for key in Key::ALL {
            if !self.kind.takes(key) {
                continue;
            }
            let required = self.kind.required().contains(&key);
            let letters = key.letters();
            match key {
                Key::Repeats => write!(f, "_{letters}{}", self.repeats)?,
                Key::Kernel => write!(f, "_{letters}{}", self.kernel)?,
                Key::Stride => write!(f, "_{letters}{}", self.stride)?,
                Key::Width => write!(f, "_{letters}{}", self.width)?,
                Key::Expand if required || self.expand != 1 => {
                    write!(f, "_{letters}{}", self.expand)?;
                }
                Key::Squeeze if required || self.squeeze != Decimal::ZERO => {
                    write!(f, "_{letters}{}", self.squeeze)?;
                }
                Key::Act if required || self.act != Activation::Relu => {
                    write!(f, "_{letters}{}", self.act)?;
                }
                Key::Skip if required || self.skip != self.kind.default_skip() => {
                    write!(f, "_{letters}{}", self.skip)?;
                }
                Key::Expand | Key::Squeeze | Key::Act | Key::Skip => {}
                // Keys of stem and head only.
                Key::HeadWidth | Key::Dropout | Key::Padding => {}
            }
        }
        Ok(())
    }
}
