//! Huffman codes (T.81, annexes C and F.2) as tables that give a coefficient at once.

use super::bits::{Bits, LOOK, NEEDED};

/// Added to the position by the end of a block: past every position, and past every run.
pub(super) const END: u32 = 128;

/// What a table decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Differences of DC: a symbol is a number of bits.
    Dc,
    /// A symbol is a run of zeros and a number of bits.
    Ac,
}

/// The tables last used in each place. Files of one source mostly share theirs.
#[derive(Default)]
pub(super) struct Tables([[Option<Box<Table>>; 4]; 2]);

impl Tables {
    /// Makes the table in a place that of `definition`, unless it is.
    pub(super) fn set(&mut self, kind: Kind, at: usize, definition: &[u8]) -> Option<()> {
        let place = self.0[kind as usize].get_mut(at)?;
        if place.as_ref().is_none_or(|t| t.definition != definition) {
            *place = Some(Box::new(Table::new(kind, definition)?));
        }
        Some(())
    }

    pub(super) fn get(&self, kind: Kind, at: usize) -> Option<&Table> {
        self.0[kind as usize].get(at)?.as_deref()
    }
}

/// A code's table.
pub(super) struct Table {
    definition: Vec<u8>,
    /// By the next [`LOOK`] bits; [`Entry::NONE`] for longer codes.
    pub(super) fast: [Entry; 1 << LOOK],
    /// For each length the end of its codes, left-aligned in 16 bits.
    ends: [u32; 17],
    /// For each length the position of its first symbol less its first code.
    offsets: [i32; 17],
    symbols: [u8; 256],
    kind: Kind,
}

impl Table {
    /// `None` for codes that no Huffman tree has.
    fn new(kind: Kind, definition: &[u8]) -> Option<Self> {
        let (counts, list) = definition.split_first_chunk::<16>()?;
        let mut table = Self {
            definition: definition.to_vec(),
            fast: [Entry::NONE; 1 << LOOK],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: [0; 256],
            kind,
        };
        table.symbols.get_mut(..list.len())?.copy_from_slice(list);
        let (mut code, mut next) = (0usize, 0usize);
        for length in 1..=16u32 {
            let count = usize::from(counts[length as usize - 1]);
            table.offsets[length as usize] = next as i32 - code as i32;
            for _ in 0..count {
                if length <= LOOK {
                    table.fill(code << (LOOK - length), length, list[next]);
                }
                (code, next) = (code + 1, next + 1);
                if code > 1 << length {
                    return None;
                }
            }
            table.ends[length as usize] = (code << (16 - length)) as u32;
            code *= 2;
        }
        Some(table)
    }

    /// Fills the entries that begin with a code.
    fn fill(&mut self, first: usize, length: u32, symbol: u8) {
        let entry = self
            .meaning(symbol)
            .map_or(Entry::NONE, |(skip, size)| Entry::new(length, skip, size));
        // Codes past the last of their length are refused after they are stored.
        for place in self.fast.iter_mut().skip(first).take(1 << (LOOK - length)) {
            *place = entry;
        }
    }

    /// How far a symbol moves on, and how many bits its value has; `None` where it has no meaning in
    /// a sequential scan.
    fn meaning(&self, symbol: u8) -> Option<(u32, u32)> {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match (self.kind, run, size) {
            (Kind::Dc, 0, _) => Some((0, size)),
            (Kind::Dc, ..) => None,
            (Kind::Ac, 0, 0) => Some((END, 0)),
            (Kind::Ac, 1..=14, 0) => None,
            (Kind::Ac, ..) => Some((run + 1, size)),
        }
    }

    /// Decodes what `fast` lacks: positions to move on, the value, and the bits that follow. Bits are
    /// passed by value, so that the caller's stay in registers.
    #[cold]
    #[inline(never)]
    pub(super) fn slow<'a>(&self, mut bits: Bits<'a>) -> Option<(u32, i32, Bits<'a>)> {
        bits.refill();
        let next = bits.peek(16);
        if next < self.ends[LOOK as usize] {
            // A symbol without meaning.
            return None;
        }
        let length = (LOOK + 1..=16).find(|l| next < self.ends[*l as usize])?;
        let code = (next >> (16 - length)) as i32;
        let at = code + self.offsets[length as usize];
        let (skip, size) = self.meaning(*self.symbols.get(at as usize)?)?;
        const { assert!(16 + 15 <= NEEDED) };
        let entry = Entry::new(length, skip, size);
        Some((skip, entry.take(&mut bits), bits))
    }
}

/// A symbol as the bits that begin with it are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    /// No symbol.
    pub(super) const NONE: Self = Self(0);

    /// Of a code's length, the positions to move on, and the number of bits of the value.
    fn new(length: u32, skip: u32, size: u32) -> Self {
        Self((length + size) | skip << 8 | length << 16 | (63 - size) << 24)
    }

    /// Positions to move on.
    #[inline(always)]
    pub(super) fn skip(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    /// Takes code and value from the bits, and gives the value (T.81, figure F.12): the upper half of
    /// the numbers of `size` bits are positive, the lower are negative and shifted by one.
    #[inline(always)]
    pub(super) fn take(self, bits: &mut Bits) -> i32 {
        let value = bits.next << (self.0 >> 16 & 63);
        // The value's bits alone; of none, 0.
        let shift = self.0 >> 24 & 63;
        let number = (value >> 1 >> shift) as i32;
        // All ones where the first bit is 0.
        let negative = !((value as i64 >> 63) as i32);
        bits.skip(self.0 & 63);
        number + (negative & (1 - (1 << (63 - shift))))
    }
}
