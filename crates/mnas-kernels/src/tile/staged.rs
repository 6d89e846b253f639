//! Tiles on their way to what they are stored as.

use super::{Size, Tile, copy};
use crate::isa::Isa;
use crate::stored::AtMut;

/// A tile that is worked on in f32 before it is stored: in place where it is stored as f32, else
/// in scratch memory.
#[derive(Clone, Copy)]
pub(crate) struct Staged {
    pub(crate) work: Tile<*mut f32>,
    pub(crate) out: Tile<AtMut>,
}

impl Staged {
    /// `space` holds the size, unless it is stored as f32 ([`SharedValues::staging`]).
    ///
    /// [`SharedValues::staging`]: crate::stored::SharedValues::staging
    pub(crate) fn new(out: Tile<AtMut>, s: Size, space: &mut [f32]) -> Self {
        let work = match out.start {
            AtMut::F32(start) => Tile::at(start, out.row),
            AtMut::Bf16(_) => {
                assert!(
                    space.len() >= s.rows * s.width,
                    "staged tile: too little space"
                );
                Tile::at(space.as_mut_ptr(), s.width)
            }
        };
        Self { work, out }
    }

    /// The tile from row `r` on.
    pub(crate) fn skip_rows(self, r: usize) -> Self {
        Self {
            work: Tile::at(
                self.work.start.wrapping_add(r * self.work.row),
                self.work.row,
            ),
            out: Tile::at(self.out.start.skip(r * self.out.row), self.out.row),
        }
    }

    /// Brings in what is stored, to be worked on.
    ///
    /// # Safety
    /// The tile must be valid for the size.
    pub(crate) unsafe fn fetch(self, isa: Isa, s: Size) {
        if let AtMut::Bf16(_) = self.out.start {
            // SAFETY: handed on; the work tile holds the size as well.
            unsafe { copy(isa, s, self.out.cast_const(), self.work.into(), false) };
        }
    }

    /// Stores the work.
    ///
    /// # Safety
    /// The tile must be valid for the size.
    pub(crate) unsafe fn store(self, isa: Isa, s: Size) {
        if let AtMut::Bf16(_) = self.out.start {
            let work = Tile::at(self.work.start.cast_const(), self.work.row);
            // SAFETY: handed on; the work tile holds the size as well.
            unsafe { copy(isa, s, work.into(), self.out, false) };
        }
    }
}
