//! Disjoint parts of one slice, and values of either storage in them.

use std::ops::Range;

use mnas_kernels::{Bf16, Values, ValuesMut};

use super::Storage;

/// Floats that `values` values take.
pub(super) fn floats(storage: Storage, values: usize) -> usize {
    match storage {
        Storage::F32 => values,
        Storage::Bf16 => values.div_ceil(2),
    }
}

/// Values in the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// First of the floats that hold them.
    pub(super) offset: usize,
    /// How many values.
    pub(super) len: usize,
    pub(super) storage: Storage,
}

impl Span {
    /// No values.
    pub(super) const NONE: Self = Self {
        offset: 0,
        len: 0,
        storage: Storage::F32,
    };

    fn floats(&self) -> Range<usize> {
        self.offset..self.offset + floats(self.storage, self.len)
    }

    /// The floats, where they are the values.
    ///
    /// # Panics
    /// Where they are not: the plan stores as f32 what its step reads so.
    pub(super) fn as_f32(&self) -> Range<usize> {
        assert!(self.storage.is_f32(), "a step of f32 on {self:?}");
        self.floats()
    }

    fn values<'a>(&self, floats: &'a [f32]) -> Values<'a> {
        match self.storage {
            Storage::F32 => Values::F32(floats),
            Storage::Bf16 => Values::Bf16(&Bf16::within(floats)[..self.len]),
        }
    }

    fn values_mut<'a>(&self, floats: &'a mut [f32]) -> ValuesMut<'a> {
        match self.storage {
            Storage::F32 => ValuesMut::F32(floats),
            Storage::Bf16 => ValuesMut::Bf16(&mut Bf16::within_mut(floats)[..self.len]),
        }
    }
}

/// Where a buffer lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// In floats.
    pub(super) offset: usize,
    /// Values per image of the batch.
    pub(super) per_image: usize,
    pub(super) storage: Storage,
}

impl Place {
    /// The values of a batch.
    pub(super) fn span(self, images: usize) -> Span {
        Span {
            offset: self.offset,
            len: images * self.per_image,
            storage: self.storage,
        }
    }
}

/// [`borrow`] for values of either storage.
///
/// # Panics
/// As [`borrow`].
pub(super) fn borrow_values<const W: usize, const R: usize>(
    arena: &mut [f32],
    writes: [Span; W],
    reads: [Span; R],
) -> ([ValuesMut<'_>; W], [Values<'_>; R]) {
    let ranges = (
        writes.each_ref().map(Span::floats),
        reads.each_ref().map(Span::floats),
    );
    let (written, read) = borrow(arena, ranges.0, ranges.1);
    let (mut writes, mut reads) = (writes.iter(), reads.iter());
    let one_each = "as many slices as spans";
    (
        written.map(|slice| writes.next().expect(one_each).values_mut(slice)),
        read.map(|slice| reads.next().expect(one_each).values(slice)),
    )
}

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
    fn an_odd_number_of_halves() {
        let mut data = [0.0; 6];
        let span = |offset, storage| Span {
            offset,
            len: 3,
            storage,
        };
        let (half, single) = (span(1, Storage::Bf16), span(3, Storage::F32));
        {
            let ([h], [s]) = borrow_values(&mut data, [half.clone()], [single.clone()]);
            let ValuesMut::Bf16(h) = h else { panic!() };
            assert_eq!((h.len(), s.as_f32().len()), (3, 3));
            h[2] = Bf16::from_f32(2.0);
        }
        let ([], [h, none]) = borrow_values(&mut data, [], [half, Span::NONE]);
        let Values::Bf16(h) = h else { panic!() };
        assert_eq!((h[2].to_f32(), none.len()), (2.0, 0));
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
