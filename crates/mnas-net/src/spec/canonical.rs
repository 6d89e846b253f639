//! One text per network: choices that can't matter take one value.

use super::{Decimal, Key, NetSpec};
use crate::block::{Block, parts};
use crate::graph::op::Activation;

pub(super) fn net(spec: &NetSpec) -> NetSpec {
    let mut spec = spec.clone();
    let mut input = spec.stem.width;
    spec.blocks.retain(|b| b.repeats > 0);
    for block in &mut spec.blocks {
        *block = canonical_block(block, input);
        input = block.output_width(&spec.cells);
    }
    let (normal, reduction) = cells_used(&spec.blocks);
    let cells = std::mem::take(&mut spec.cells);
    if normal {
        spec.cells.normal = cells.normal.canonical();
    }
    if reduction {
        spec.cells.reduction = cells.reduction.canonical();
    }
    if spec.head.width == 0 {
        spec.head.act = Activation::Relu;
    }
    spec
}

/// Whether the blocks use the normal and the reduction cell.
pub(super) fn cells_used(blocks: &[Block]) -> (bool, bool) {
    let cells = || blocks.iter().filter(|b| b.kind.code() == "cell");
    let strided = |b: &Block| b.repeats > 0 && b.stride > 1;
    let plain = |b: &Block| b.repeats > usize::from(b.stride > 1);
    (cells().any(plain), cells().any(strided))
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
    let quarter = 250_000;
    let (low, high) = same_squeeze(ratio, first);
    let (low, high) = others.map_or((low, high), |n| {
        let (l, h) = same_squeeze(ratio, n);
        (low.max(l), high.min(h))
    });
    if (low..=high).contains(&quarter) {
        return Decimal::from_millionths(quarter);
    }
    let mut step = 1_000_000;
    loop {
        let smallest = low.div_ceil(step) * step;
        // At step 1 this is `low`, which is no more than the ratio, nor the ratio than `high`.
        if smallest <= high || step == 1 {
            return Decimal::from_millionths(smallest);
        }
        step /= 10;
    }
}

/// The ratios, in millionths from first to last, that give a layer with `input` channels the same
/// squeeze width as `ratio`: `floor(input * m / 1e6) == width` for m from `ceil(width * 1e6 / input)`
/// to just below the same for `width + 1`. The floors 0 and 1 both give width 1.
fn same_squeeze(ratio: Decimal, input: usize) -> (u64, u64) {
    let width = parts::squeeze_width(ratio, input) as u64;
    let least_of = |width: u64| {
        width
            .saturating_mul(1_000_000)
            .div_ceil(input.max(1) as u64)
    };
    let low = if width > 1 { least_of(width) } else { 1 };
    (low, least_of(width + 1) - 1)
}
