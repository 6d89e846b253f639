//! One text per network: choices that can't matter take one value.

use super::{Decimal, Key, NetSpec};
use crate::block::{Block, parts};
use crate::graph::op::Activation;

pub(super) fn net(spec: &NetSpec) -> NetSpec {
    let mut spec = spec.clone();
    let mut input = spec.stem.width;
    for block in &mut spec.blocks {
        *block = canonical_block(block, input);
        input = block.width;
    }
    if spec.head.width == 0 {
        spec.head.act = Activation::Relu;
    }
    spec
}

/// The block's one form where its first layer reads `input` channels.
fn canonical_block(block: &Block, input: usize) -> Block {
    let mut b = block.clone();
    if !b.kind.takes(Key::Expand) {
        b.expand = 1;
    }
    if !b.kind.takes(Key::Squeeze) {
        b.squeeze = Decimal::ZERO;
    }
    b = b.kind.simplified(&b);
    // Layers after the first have stride 1 and equal widths, so there the skip is always alive.
    let dead_skip = b.repeats == 1 && (b.stride != 1 || input != b.width);
    if dead_skip || !b.kind.takes(Key::Skip) {
        b.skip = b.kind.default_skip();
    }
    if b.squeeze != Decimal::ZERO {
        b.squeeze = canonical_squeeze(b.squeeze, input, (b.repeats > 1).then_some(b.width));
    }
    b
}

/// Ratios that give every layer the same squeeze width are the same choice. Its one name is 0.25,
/// MnasNet's ratio, if that is among them, else the smallest of those with fewest decimals.
fn canonical_squeeze(ratio: Decimal, first: usize, others: Option<usize>) -> Decimal {
    const ONE: u64 = 1_000_000;
    let (mut low, mut high) = (1, u64::MAX);
    for input in std::iter::once(first).chain(others) {
        let (n, width) = (input as u64, parts::squeeze_width(ratio, input) as u64);
        // floor(n * m / ONE) == width for m from ceil(width * ONE / n) to below that of width + 1;
        // widths 0 and 1 are both 1.
        if width > 1 {
            low = low.max((width * ONE).div_ceil(n));
        }
        high = high.min(((width + 1) * ONE).div_ceil(n) - 1);
    }
    let quarter = ONE / 4;
    if (low..=high).contains(&quarter) {
        return Decimal::from_millionths(quarter);
    }
    let steps = (0..=6).map(|decimals| ONE / 10u64.pow(decimals));
    steps
        .map(|step| low.div_ceil(step) * step)
        .find(|m| *m <= high)
        .map_or(ratio, Decimal::from_millionths)
}
