//! Disjoint parts of one slice.

use std::ops::Range;

/// Borrows parts of `slice`: `W` to write and `R` to read. A part that is read may be named more
/// than once; empty parts lie anywhere.
///
/// # Panics
/// If a part that is written overlaps another, or parts that are read overlap without being
/// equal: the plan places what one step touches apart.
pub(super) fn borrow<const W: usize, const R: usize>(
    slice: &mut [f32],
    writes: [Range<usize>; W],
    reads: [Range<usize>; R],
) -> ([&mut [f32]; W], [&[f32]; R]) {
    let mut written: [&mut [f32]; W] = std::array::from_fn(|_| Default::default());
    let mut read: [&[f32]; R] = [&[]; R];
    let (mut rest, mut base) = (slice, 0);
    loop {
        // The next part in memory; parts before `base` are already borrowed.
        let next = writes
            .iter()
            .chain(&reads)
            .filter(|r| !r.is_empty() && r.start >= base);
        let Some(part) = next.min_by_key(|r| r.start).cloned() else {
            break;
        };
        let (_, tail) = rest.split_at_mut(part.start - base);
        let (slice, tail) = tail.split_at_mut(part.len());
        (rest, base) = (tail, part.end);
        match writes.iter().position(|w| *w == part) {
            Some(i) => written[i] = slice,
            None => {
                let slice: &[f32] = slice;
                let equal = read.iter_mut().zip(&reads).filter(|(_, r)| **r == part);
                equal.for_each(|(to, _)| *to = slice);
            }
        }
    }
    let all = |parts: &[Range<usize>], got: &[usize]| {
        assert!(
            parts.iter().map(Range::len).eq(got.iter().copied()),
            "parts overlap"
        );
    };
    all(&writes, &written.each_ref().map(|s| s.len()));
    all(&reads, &read.map(<[f32]>::len));
    (written, read)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // Ranges are what `borrow` takes.
mod tests {
    use super::*;

    #[test]
    fn parts_in_any_order_and_read_twice() {
        let mut data: Vec<f32> = (0..10u8).map(f32::from).collect();
        let ([a, none], [b, c]) = borrow(&mut data, [6..8, 0..0], [1..3, 1..3]);
        assert_eq!(
            (&*a, none.len(), b, c),
            (&[6.0, 7.0][..], 0, &[1.0, 2.0][..], b)
        );
    }

    #[test]
    #[should_panic(expected = "parts overlap")]
    fn a_written_part_is_read_by_nobody() {
        borrow(&mut [0.0; 8], [2..5], [4..6]);
    }

    #[test]
    #[should_panic(expected = "parts overlap")]
    fn a_written_part_is_not_read_as_itself() {
        borrow(&mut [0.0; 8], [2..5], [2..5]);
    }
}
