//! What the cells of a network compute: lines of text between stem and blocks.

use std::fmt;

/// The two cells of a network; empty where it has none. A `cell` block's first layer is the
/// reduction cell where it has a stride, every other layer the normal cell (NASNet, Zoph et al. 2018,
/// arXiv:1707.07012, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Cells {
    /// Keeps height and width.
    pub normal: Cell,
    /// Strides.
    pub reduction: Cell,
}

/// The graph inside a cell. Its states are numbered: 0 is the output of the layer before, 1 that of
/// the layer before it, 2 and on are the nodes. Its output is the concatenation of the nodes that no
/// node reads, and of the states in `joined`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Cell {
    /// Sums of two edges each, in order; `normal_sep3@0_id@1` is one.
    pub nodes: Vec<[Edge; 2]>,
    /// States that join the output though a node reads them; `normal_join@1` is one.
    pub joined: Vec<usize>,
}

/// An operation on an earlier state; `sep3@0`. Ordered by state, then operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edge {
    /// The state that it reads.
    pub state: usize,
    /// What it does.
    pub op: EdgeOp,
}

/// What an edge of a cell computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EdgeOp {
    /// Separable 3x3 convolution, applied twice.
    Sep3,
    /// Separable 5x5 convolution, applied twice.
    Sep5,
    /// Separable 7x7 convolution, applied twice.
    Sep7,
    /// 3x3 average pool.
    Avg3,
    /// 3x3 maximum pool.
    Max3,
    /// The state itself; a 1x1 convolution where stride or width call for one.
    Identity,
}

impl EdgeOp {
    /// Every operation with its name.
    pub const ALL: [(&'static str, EdgeOp); 6] = [
        ("sep3", EdgeOp::Sep3),
        ("sep5", EdgeOp::Sep5),
        ("sep7", EdgeOp::Sep7),
        ("avg3", EdgeOp::Avg3),
        ("max3", EdgeOp::Max3),
        ("id", EdgeOp::Identity),
    ];

    /// The name in texts.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, op)| *op == self);
        found.map_or("", |(name, _)| name)
    }
}

/// Most nodes of a cell.
pub(crate) const MOST_NODES: usize = 16;

impl Cells {
    /// Both with the codes of their lines.
    pub(crate) fn named(&self) -> [(&'static str, &Cell); 2] {
        [("normal", &self.normal), ("reduce", &self.reduction)]
    }

    /// The cell that a layer of this stride is.
    pub(crate) fn at(&self, stride: usize) -> &Cell {
        if stride == 1 {
            &self.normal
        } else {
            &self.reduction
        }
    }
}

impl Cell {
    /// Number of states, inputs included.
    pub(crate) fn states(&self) -> usize {
        2 + self.nodes.len()
    }

    /// States whose concatenation is the output, in order.
    pub(crate) fn outputs(&self) -> Vec<usize> {
        let read = |s: &usize| self.nodes.iter().flatten().any(|e| e.state == *s);
        let outputs = (0..self.states()).filter(|s| match s {
            0 | 1 => self.joined.contains(s),
            _ => !read(s) || self.joined.contains(s),
        });
        outputs.collect()
    }

    /// One form for one graph: edges of a node in order, and no state joined that does anyway.
    pub(crate) fn canonical(&self) -> Cell {
        let mut nodes = self.nodes.clone();
        nodes.iter_mut().for_each(|n| n.sort());
        let unread = Cell {
            nodes: nodes.clone(),
            joined: vec![],
        };
        let unread = unread.outputs();
        let mut joined = self.joined.clone();
        joined.retain(|s| !unread.contains(s));
        joined.sort_unstable();
        joined.dedup();
        Cell { nodes, joined }
    }

    /// The lines, each after `code`.
    pub(super) fn lines(&self, code: &'static str) -> impl Iterator<Item = String> {
        let node = move |n: &[Edge; 2]| format!("{code}_{}_{}", n[0], n[1]);
        let join = move |s: &usize| format!("{code}_join@{s}");
        self.nodes
            .iter()
            .map(node)
            .chain(self.joined.iter().map(join))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.op.name(), self.state)
    }
}
