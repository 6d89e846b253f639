//! The entropy-coded data as bits.

/// Bits that a table is looked up by.
pub(super) const LOOK: u32 = 11;
/// Bits that [`Bits::refill`] leaves at least.
pub(super) const NEEDED: u32 = 56;
/// Bytes behind the data, so that most reads of eight need no care.
const PADDING: usize = 16;
/// The lowest and the highest bit of each byte.
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The data of a scan without stuffed bytes and markers.
#[derive(Default)]
pub(super) struct Coded {
    bytes: Vec<u8>,
    /// Where the data between restart markers ends.
    ends: Vec<usize>,
}

impl Coded {
    /// Copies the data of a scan, up to the end of the image or of the file. `None` where another
    /// marker ends it, or restart markers are out of order.
    pub(super) fn fill(&mut self, data: &[u8]) -> Option<()> {
        self.bytes.clear();
        self.ends.clear();
        let mut rest = data;
        loop {
            let (plain, marked) = rest.split_at(find_ff(rest));
            self.bytes.extend_from_slice(plain);
            match *marked {
                [0xff, 0, ..] => {
                    self.bytes.push(0xff);
                    rest = &marked[2..];
                }
                [0xff, 0xff, ..] => rest = &marked[1..],
                [0xff, marker @ 0xd0..=0xd7, ..] => {
                    if usize::from(marker - 0xd0) != self.ends.len() % 8 {
                        return None;
                    }
                    self.ends.push(self.bytes.len());
                    rest = &marked[2..];
                }
                [] | [0xff] | [0xff, 0xd9, ..] => break,
                _ => return None,
            }
        }
        self.ends.push(self.bytes.len());
        self.bytes.resize(self.bytes.len() + PADDING, 0);
        Some(())
    }

    /// Capacity held, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// Number of intervals between restart markers.
    pub(super) fn intervals(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all intervals.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - PADDING
    }

    /// The bits of an interval.
    pub(super) fn interval(&self, i: usize) -> Option<Bits<'_>> {
        let at = if i == 0 { 0 } else { *self.ends.get(i - 1)? };
        Some(Bits {
            bytes: &self.bytes,
            end: *self.ends.get(i)?,
            at,
            next: 0,
            left: 0,
        })
    }
}

/// Position of the first 0xff, or the length.
fn find_ff(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The upper bit of each byte that is 0xff.
        let found = (word & !HIGH).wrapping_add(LOW) & word & HIGH;
        if found != 0 {
            return 8 * i + found.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest.iter().position(|b| *b == 0xff);
    8 * words.len() + tail.unwrap_or(rest.len())
}

/// A reader of bits, most significant first.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Where the interval ends.
    end: usize,
    /// The next byte to be taken.
    at: usize,
    /// The next bits from the top; below the `left` that count stand true bits or zeros.
    pub(super) next: u64,
    left: u32,
}

impl Bits<'_> {
    /// Takes bytes until [`NEEDED`] bits are there; past the padding, zeros.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(bytes) = self.bytes.get(self.at..).and_then(|b| b.first_chunk()) {
            self.next |= u64::from_be_bytes(*bytes) >> self.left;
        }
        // Counts on past the padding, for `finished` to see.
        self.at += (63 - self.left as usize) >> 3;
        self.left |= NEEDED;
    }

    /// The next `n` bits, at most 32.
    #[inline(always)]
    pub(super) fn peek(&self, n: u32) -> u32 {
        (self.next >> 32 >> (32 - n)) as u32
    }

    /// Passes over `n` bits, of which `refill` has provided.
    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) {
        self.next <<= n;
        self.left = self.left.wrapping_sub(n);
    }

    /// Whether more bits were taken than there are.
    pub(super) fn overrun(&self) -> bool {
        8 * self.at > 8 * self.end + self.left as usize
    }

    /// Whether all bits were taken but for the padding of the last byte.
    pub(super) fn finished(&self) -> bool {
        !self.overrun() && 8 * self.end + (self.left as usize) < 8 * self.at + 8
    }
}
