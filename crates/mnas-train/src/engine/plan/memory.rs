//! Lifetimes of buffers and their places in one arena.

use super::Buffer;

/// First and last step that touches each buffer.
pub(super) struct Lifetimes(Vec<Option<(usize, usize)>>);

impl Lifetimes {
    pub(super) fn new(buffers: usize) -> Self {
        Self(vec![None; buffers])
    }

    pub(super) fn touch(&mut self, step: usize, buffers: impl IntoIterator<Item = Buffer>) {
        for b in buffers {
            let life = self.0[b.0].get_or_insert((step, step));
            *life = (life.0.min(step), life.1.max(step));
        }
    }

    /// Offsets for buffers of these sizes, and the arena's length. Largest first, each at the
    /// lowest offset that no buffer alive at the same time covers (Pisarchyk and Lee 2020,
    /// "greedy by size").
    pub(super) fn assign(&self, sizes: &[usize]) -> (Vec<usize>, usize) {
        let mut order: Vec<usize> = (0..sizes.len()).filter(|b| self.0[*b].is_some()).collect();
        order.sort_by_key(|b| (std::cmp::Reverse(sizes[*b]), *b));
        let mut offsets = vec![0; sizes.len()];
        let mut placed: Vec<usize> = vec![];
        let mut arena = 0;
        for b in order {
            let mut at = 0;
            // `placed` is sorted by offset: the first gap that is wide enough is the lowest.
            for p in placed.iter().filter(|p| self.meet(b, **p)) {
                if offsets[*p] >= at + sizes[b] {
                    break;
                }
                at = at.max(offsets[*p] + sizes[*p]);
            }
            offsets[b] = at;
            arena = arena.max(at + sizes[b]);
            let position = placed.partition_point(|p| offsets[*p] <= at);
            placed.insert(position, b);
        }
        (offsets, arena)
    }

    fn meet(&self, a: usize, b: usize) -> bool {
        match (self.0[a], self.0[b]) {
            (Some(a), Some(b)) => a.0 <= b.1 && b.0 <= a.1,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnas_net::{Purpose, stream};

    #[test]
    fn buffers_alive_together_never_overlap_and_space_is_reused() {
        for trial in 0..50 {
            let mut s = stream(1, trial, Purpose::Sample);
            let n = 1 + s.below(40);
            let mut lifetimes = Lifetimes::new(n);
            let sizes: Vec<usize> = (0..n).map(|_| 1 + s.below(100)).collect();
            for b in 0..n {
                let first = s.below(30);
                lifetimes.touch(first, [Buffer(b)]);
                lifetimes.touch(first + s.below(6), [Buffer(b)]);
            }
            let (offsets, arena) = lifetimes.assign(&sizes);
            for a in 0..n {
                assert!(offsets[a] + sizes[a] <= arena);
                for b in 0..a {
                    let apart =
                        offsets[a] >= offsets[b] + sizes[b] || offsets[b] >= offsets[a] + sizes[a];
                    assert!(
                        apart || !lifetimes.meet(a, b),
                        "trial {trial}: {a} meets {b}"
                    );
                }
            }
        }
        let mut chain = Lifetimes::new(10);
        (0..10).for_each(|i| {
            [i, i + 1]
                .into_iter()
                .for_each(|t| chain.touch(t, [Buffer(i)]))
        });
        assert_eq!(chain.assign(&[7; 10]).1, 14);
    }
}
