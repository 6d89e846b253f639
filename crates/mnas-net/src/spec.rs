//! A network as text: [`NetSpec`], a line per block between a stem and a head.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

mod canonical;
mod cell;
mod decimal;
mod error;
mod key;
mod parse;
#[cfg(test)]
mod tests;

pub use cell::{Cell, Cells, Edge, EdgeOp};
pub use decimal::Decimal;
pub use error::{SpecError, SpecErrorKind};
pub use key::Key;

use crate::block::{Block, parts};
use crate::graph::op::{Activation, Op};
use crate::{Graph, GraphBuilder, GraphError, PaddingRule, Shape};

/// A network as people write it.
///
/// ```text
/// # MnasNet-like; comments, white space and semicolons may separate lines
/// stem_k3_s2_c32
/// ds_r1_k3_s1_c16
/// ir_r2_k3_s2_e6_c24_se0.25
/// head_c1280_drop0.2
/// ```
///
/// | line | layers |
/// |---|---|
/// | `stem` | `k`x`k` convolution of stride `s` to `c` channels, batch norm, activation |
/// | `cn` | convolution, batch norm, activation |
/// | `cp` | `cn` at stride 1, then the maximum of windows at the stride |
/// | `ds` | depthwise convolution, batch norm, activation; linear 1x1 projection, batch norm |
/// | `ir` | 1x1 expansion by `e` (absent at e1), batch norm, activation; then as `ds` |
/// | `sep` | depthwise convolution, batch norm, activation; 1x1 convolution, batch norm, activation (MobileNetV1) |
/// | `normal`, `reduce` | no layer: a node of the normal or the reduction cell, as `normal_sep3@0_id@1` ([`Cell`]) |
/// | `cell` | the reduction cell where it has a stride, else the normal cell; `c` channels in each of its states |
/// | `head` | 1x1 convolution to `c` channels (absent at c0), batch norm, activation; global average; dropout; linear classifier |
///
/// [`Key`] lists the keys with their limits. `r`, `k`, `s` and `c` are required of blocks (`cell` has
/// no `k`). A block of no layers (`r0`, at stride 1) is left out.
/// `padsymmetric` of the stem places the windows of the whole network as PyTorch does.
/// Squeeze-excitation (`se`) follows the convolution's activation in `cn`, the maximum in
/// `cp`, the depthwise one's activation in `ds` and `ir`; its width counts channels of the layer's *input*. A skip
/// (`skipidentity`, `skippool`, `skipnone`; `noskip` is read as `skipnone`) is added to a layer's
/// output where its stride is 1 and its widths are equal; absent, it is `identity` for `cn`,
/// `cp` and `ir`, `none` for `ds`. `sep` takes neither.
///
/// `Display` gives the text back, a line per block, or all on one line with semicolons (`{:#}`);
/// parsing what it gives is the same spec for every spec that was parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetSpec {
    /// First convolution.
    pub stem: Stem,
    /// What the cells of `cell` blocks compute.
    pub cells: Cells,
    /// Blocks in order.
    pub blocks: Vec<Block>,
    /// Classifier.
    pub head: Head,
}

/// The first line: a convolution with batch norm and activation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stem {
    /// Side of the convolution's window.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Output channels.
    pub width: usize,
    /// Activation function.
    pub act: Activation,
    /// Where the windows of every convolution of the network lie.
    pub padding: PaddingRule,
}

/// The last line: 1x1 convolution, pooling, dropout and linear classifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Head {
    /// Channels of the 1x1 convolution; 0 is no convolution.
    pub width: usize,
    /// Probability that a feature is dropped in training.
    pub dropout: Decimal,
    /// Activation function of the 1x1 convolution.
    pub act: Activation,
}

impl NetSpec {
    /// The one spec that stands for all those of the same network: two specs have equal canonical
    /// forms exactly when their graphs are equal at every input size.
    ///
    /// Choices that can't matter take one value: the skip of a single layer that has a stride or
    /// changes its width, the activation of a head without convolution, squeeze ratios that round
    /// to the same widths; an `ir` without expansion is a `ds`; blocks without layers and cells that
    /// no block uses are left out. Scale first, then canonicalise:
    /// widths that differ may become equal, and bring a skip to life.
    #[must_use]
    pub fn canonical(&self) -> NetSpec {
        canonical::net(self)
    }

    /// Names the network: 16 hexadecimal digits of the SHA-256 of the canonical text.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.canonical().to_string());
        digest[..8].iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Lowers the network to primitives for images of shape `input`; the answer has shape
    /// `1 x 1 x classes` (logits, without softmax). Nodes are named `stem.conv`,
    /// `blocks.B.L.expand.conv` (block B, layer L, from 0), `head.conv`, `classifier`.
    ///
    /// # Errors
    /// A [`GraphError`] with the node's name where a size is zero or too large.
    pub fn graph(&self, input: Shape, classes: usize) -> Result<Graph, GraphError> {
        let mut g = GraphBuilder::new(input)?.with_padding(self.stem.padding);
        let (stem, head) = (&self.stem, &self.head);
        let sizes = (stem.kernel, stem.stride, stem.width);
        let image = g.input();
        let mut x = parts::conv_bn_act(&mut g, "stem", image, sizes, Some(stem.act))?;
        let mut previous = x;
        let present = self.blocks.iter().filter(|b| b.repeats > 0);
        for (i, block) in present.enumerate() {
            let name = format!("blocks.{i}");
            (previous, x) = block.lower(&name, (previous, x), &self.cells, &mut g)?;
        }
        if head.width > 0 {
            x = parts::conv_bn_act(&mut g, "head", x, (1, 1, head.width), Some(head.act))?;
        }
        x = g.add("head.pool", Op::GlobalAvgPool, &[x])?;
        if head.dropout > Decimal::ZERO {
            let rate = head.dropout.value() as f32;
            x = g.add("head.dropout", Op::Dropout { rate }, &[x])?;
        }
        let x = g.add("classifier", Op::Linear { features: classes }, &[x])?;
        Ok(g.finish(x))
    }

    /// The network with the widths of stem and blocks multiplied by `width` and rounded to a
    /// multiple of 8 (`round_filters` of `tensorflow/tpu`, `mnasnet_model.py`). The head's width
    /// stays, as there; so do all widths at `width` 1.
    ///
    /// # Panics
    /// If `width` isn't a positive, finite number.
    #[must_use]
    pub fn scaled(&self, width: f64) -> NetSpec {
        assert!(
            width.is_finite() && width > 0.0,
            "a width multiplier is positive and finite, not {width}"
        );
        let mut spec = self.clone();
        if width != 1.0 {
            spec.stem.width = round_filters(spec.stem.width, width);
            for block in &mut spec.blocks {
                block.width = round_filters(block.width, width);
            }
        }
        spec
    }
}

/// `filters * width` to the nearest multiple of 8, at least 8, and one step up where that would
/// lose more than a tenth.
fn round_filters(filters: usize, width: f64) -> usize {
    let exact = filters as f64 * width;
    let most = Key::Width.most().of(1);
    // A float-to-integer cast saturates, so a huge product ends at the limit.
    let nearest = ((exact + 4.0) as usize / 8 * 8).clamp(8, most);
    if (nearest as f64) < 0.9 * exact {
        (nearest + 8).min(most)
    } else {
        nearest
    }
}

impl FromStr for NetSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        parse::net(text)
    }
}

impl fmt::Display for NetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if f.alternate() { "; " } else { "\n" };
        write!(f, "{}{separator}", self.stem)?;
        for (code, cell) in self.cells.named() {
            for line in cell.lines(code) {
                write!(f, "{line}{separator}")?;
            }
        }
        for block in &self.blocks {
            write!(f, "{block}{separator}")?;
        }
        write!(f, "{}", self.head)
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stem_k{}_s{}_c{}", self.kernel, self.stride, self.width)?;
        print_act(self.act, f)?;
        match self.padding {
            PaddingRule::Same => Ok(()),
            rule => write!(f, "_pad{rule}"),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "head_c{}", self.width)?;
        if self.dropout > Decimal::ZERO {
            write!(f, "_drop{}", self.dropout)?;
        }
        print_act(self.act, f)
    }
}

fn print_act(act: Activation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match act {
        Activation::Relu => Ok(()),
        act => write!(f, "_act{act}"),
    }
}

impl Serialize for NetSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NetSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
