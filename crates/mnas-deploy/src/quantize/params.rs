//! Scales and zero points of activations.

use mnas_net::{Activation, Graph, NodeId};

use super::{is_fixed, keeps_scale};
use crate::fusion::Fusion;

/// The smallest and the largest value that a tensor has to hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl Range {
    /// The range that holds both.
    fn union(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

/// The 8-bit form of a tensor: `value = scale * (q - zero_point)` with `q` in -128..=127. Unsigned
/// forms add 128 to both `q` and `zero_point`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Params {
    pub(crate) scale: f32,
    pub(crate) zero_point: i32,
}

/// What a sigmoid gives: 0 to 255/256 (TFLite specification, LOGISTIC).
const SIGMOID: Params = Params {
    scale: 1.0 / 256.0,
    zero_point: -128,
};

impl Params {
    /// The finest form that holds a range and zero, which padding and ReLU need exactly.
    pub(crate) fn of(range: Range) -> Self {
        let (low, high) = (range.low.min(0.0), range.high.max(0.0));
        let span = f64::from(high) - f64::from(low);
        if span < f64::from(f32::MIN_POSITIVE) * 256.0 {
            // Nothing but zero was seen; any scale holds that.
            return Self {
                scale: 1.0 / 255.0,
                zero_point: -128,
            };
        }
        let scale = span / 255.0;
        let zero_point = (-128.0 - f64::from(low) / scale).round();
        Self {
            scale: scale as f32,
            zero_point: (zero_point as i32).clamp(-128, 127),
        }
    }

    /// The integer that stands for a value.
    #[cfg(test)]
    pub(crate) fn quantize(self, value: f32) -> i32 {
        let q = (f64::from(value) / f64::from(self.scale)).round_ties_even();
        (q as i32 + self.zero_point).clamp(-128, 127)
    }

    /// The value of the integer.
    pub(crate) fn value(self, q: i32) -> f32 {
        self.scale * (q - self.zero_point) as f32
    }

    /// The same range at no finer a scale than `step`.
    fn coarser(self, step: f32) -> Self {
        if self.scale >= step {
            return self;
        }
        let low = self.value(-128);
        let zero_point = (-128.0 - f64::from(low) / f64::from(step)).round();
        Self {
            scale: step,
            zero_point: (zero_point as i32).clamp(-128, 127),
        }
    }
}

/// Whether an activation changes nothing that the 8-bit form hasn't cut off already.
pub(crate) fn absorbs(params: Params, activation: Activation) -> bool {
    match activation {
        Activation::Relu => params.zero_point == -128,
        Activation::Relu6 => params.zero_point == -128 && params.value(127) <= 6.0,
        Activation::HSwish | Activation::Sigmoid => false,
    }
}

/// Parameters of all values of a graph, by groups that share them.
#[derive(Debug)]
pub(super) struct Values {
    /// Per node, the group of its value.
    group: Vec<usize>,
    /// Per group, the parameters; groups that were joined to others hold nothing of use.
    params: Vec<Params>,
    /// Per group, whether the scale is fixed.
    fixed: Vec<bool>,
}

impl Values {
    /// `ranges` are those of the nodes' values, after the activations that they absorb.
    pub(super) fn new(graph: &Graph, fusion: &Fusion, ranges: Vec<Range>) -> Self {
        let n = ranges.len();
        let mut parent: Vec<usize> = (0..n).collect();
        let fixed: Vec<bool> = graph.nodes().iter().map(|n| is_fixed(&n.op)).collect();
        for id in graph.ids() {
            let made = fusion.makes(id).index();
            join(&mut parent, id.index(), made);
            let node = graph.node(id);
            if !keeps_scale(&node.op) {
                continue;
            }
            for input in &node.inputs {
                if !fixed[input.index()] {
                    join(&mut parent, made, input.index());
                }
            }
        }
        let group: Vec<usize> = (0..n).map(|i| root(&parent, i)).collect();
        let mut joined: Vec<Option<Range>> = vec![None; n];
        for (i, range) in ranges.iter().enumerate() {
            let slot = &mut joined[group[i]];
            *slot = Some(slot.map_or(*range, |r| r.union(*range)));
        }
        let params = joined.iter().zip(&fixed).map(|(range, fixed)| match range {
            _ if *fixed => SIGMOID,
            Some(range) => Params::of(*range),
            None => SIGMOID,
        });
        Self {
            params: params.collect(),
            group,
            fixed,
        }
    }

    pub(super) fn get(&self, id: NodeId) -> Params {
        self.params[self.group[id.index()]]
    }

    /// Makes a value's scale at least `step`, unless it is fixed.
    pub(super) fn coarsen(&mut self, id: NodeId, step: f32) {
        let group = self.group[id.index()];
        if !self.fixed[group] {
            self.params[group] = self.params[group].coarser(step);
        }
    }

    pub(super) fn finish(self) -> Vec<Params> {
        self.group.iter().map(|g| self.params[*g]).collect()
    }
}

/// Joins the groups of two nodes.
fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}

fn root(parent: &[usize], mut i: usize) -> usize {
    while parent[i] != i {
        i = parent[i];
    }
    i
}
