//! Sums over rows for one task: single precision within a tile, double between tiles.

use crate::isa::Isa;
use crate::source::Source;
use crate::stored::At;
use crate::tile::{self, AffineAt, Size, Staged, Tile};
use crate::workers::Floats;

/// Floats of scratch memory that the sums of `channels` channels take.
pub(crate) const fn scratch_len(channels: usize) -> usize {
    3 * channels
}

/// Mean and deviation of a layer's output, gathered tile by tile. The first row is the pivot that
/// keeps squares small, so single precision within a tile is enough.
pub(crate) struct TileMoments<'a> {
    channels: usize,
    count: usize,
    scratch: &'a mut [f32],
    total: &'a mut [f64],
}

impl<'a> TileMoments<'a> {
    /// `total` receives `channels` means, then `channels` deviations.
    pub(crate) fn new(channels: usize, scratch: &'a mut [f32], total: &'a mut [f64]) -> Self {
        total.fill(0.0);
        assert_eq!(
            (scratch.len(), total.len()),
            (scratch_len(channels), 2 * channels)
        );
        Self {
            channels,
            count: 0,
            scratch,
            total,
        }
    }

    /// Adds a tile.
    ///
    /// # Safety
    /// The tile must be valid for `rows` by `channels`.
    pub(crate) unsafe fn add(&mut self, isa: Isa, rows: usize, x: Tile<At>) {
        // SAFETY: the tile as the caller vouches; the sums are as long as its rows.
        unsafe {
            self.gather(isa, rows, x, |s, pivot, sums, squares| {
                tile::moments(isa, s, x, pivot, sums, squares);
            });
        }
    }

    /// Stores a tile and adds it.
    ///
    /// # Safety
    /// The tile must be valid for `rows` by `channels`.
    pub(crate) unsafe fn store(&mut self, isa: Isa, rows: usize, x: Staged) {
        let work = Tile::at(x.work.start.cast_const(), x.work.row);
        // SAFETY: the tile as the caller vouches; the sums are as long as its rows.
        unsafe {
            self.gather(isa, rows, work.into(), |s, pivot, sums, squares| {
                tile::store_with_moments(isa, s, x, pivot, sums, squares);
            });
        }
    }

    /// Adds `rows` rows whose sums about a pivot `add(size, pivot, sums, squares)` adds; `x` is
    /// near them.
    ///
    /// # Safety
    /// The tile must have a row of `channels`.
    unsafe fn gather(
        &mut self,
        isa: Isa,
        rows: usize,
        x: Tile<At>,
        add: impl FnOnce(Size, *const f32, *mut f32, *mut f32),
    ) {
        let c = self.channels;
        if rows == 0 {
            return;
        }
        let (pivot, sums) = self.scratch.split_at_mut(c);
        if self.count == 0 {
            let to = Tile::at(pivot.as_mut_ptr(), c).into();
            // SAFETY: the tile has a first row of c values, and the pivot is as long.
            unsafe { tile::copy(isa, Size::new(1, c), x, to, false) };
        }
        sums.fill(0.0);
        let (sum, square) = sums.split_at_mut(c);
        let size = Size::new(rows, c);
        add(size, pivot.as_ptr(), sum.as_mut_ptr(), square.as_mut_ptr());
        for (t, s) in self.total.iter_mut().zip(sums.iter()) {
            *t += f64::from(*s);
        }
        self.count += rows;
    }

    /// Turns sums about the pivot into means and deviations.
    pub(crate) fn close(self) {
        if self.count == 0 {
            return;
        }
        let n = self.count as f64;
        let (means, deviations) = self.total.split_at_mut(self.channels);
        for ((m, d), p) in means.iter_mut().zip(deviations).zip(self.scratch.iter()) {
            let mean = *m / n;
            *d = (*d - *m * mean).max(0.0);
            *m = f64::from(*p) + mean;
        }
    }
}

/// `Σ g` and `Σ g·(z - mean)` of a gradient, gathered tile by tile while it passes through the
/// activation.
pub(crate) struct TileFinish<'a> {
    width: usize,
    scratch: &'a mut [f32],
    total: &'a mut [f64],
}

impl<'a> TileFinish<'a> {
    /// `total` receives `width` sums, then `width` products.
    pub(crate) fn new(width: usize, scratch: &'a mut [f32], total: &'a mut [f64]) -> Self {
        total.fill(0.0);
        assert_eq!(
            (scratch.len(), total.len()),
            (scratch_len(width), 2 * width)
        );
        Self {
            width,
            scratch,
            total,
        }
    }

    /// Passes a tile of gradients through the source's activation, stores it and adds it. The
    /// tile's columns start at `column` of the source.
    ///
    /// # Safety
    /// Both tiles must be valid for `rows` by the width.
    pub(crate) unsafe fn add(
        &mut self,
        isa: Isa,
        rows: usize,
        g: Staged,
        z: Tile<At>,
        source: &Source,
        mean: &[f32],
        column: usize,
    ) {
        let sums = &mut self.scratch[..2 * self.width];
        sums.fill(0.0);
        let (sum, product) = sums.split_at_mut(self.width);
        let size = Size::new(rows, self.width);
        let affine = affine_at(source, column, self.width);
        assert!(
            !affine.scale.is_null(),
            "only a normalised source finishes a gradient"
        );
        let mean = mean[column..column + self.width].as_ptr();
        // SAFETY: the tiles as the caller vouches; per-channel slices were cut to the width.
        unsafe {
            let (sum, product) = (sum.as_mut_ptr(), product.as_mut_ptr());
            tile::finish(isa, size, g, z, affine, source.act, mean, sum, product);
        }
        for (t, s) in self.total.iter_mut().zip(sums.iter()) {
            *t += f64::from(*s);
        }
    }
}

/// The source's batch norm from `column` on, `width` channels, bounds checked.
pub(crate) fn affine_at(source: &Source, column: usize, width: usize) -> AffineAt {
    match source.affine {
        None => AffineAt {
            scale: std::ptr::null(),
            shift: std::ptr::null(),
        },
        Some(a) => AffineAt {
            scale: a.scale[column..column + width].as_ptr(),
            shift: a.shift[column..column + width].as_ptr(),
        },
    }
}

/// Adds `parts` of equal length into `out`, in order.
pub(crate) fn join_sums(out: &mut [f64], parts: &[f64]) {
    out.fill(0.0);
    for part in parts.chunks_exact(out.len()) {
        for (o, p) in out.iter_mut().zip(part) {
            *o += p;
        }
    }
}

/// A task's parts of its scratch memory, each starting at a cache line.
pub(crate) fn carve<const N: usize>(scratch: &mut Floats, lens: [usize; N]) -> [&mut [f32]; N] {
    let padded = lens.map(|n| n.next_multiple_of(16));
    let mut rest = scratch.at_least(padded.iter().sum());
    let mut i = 0;
    lens.map(|n| {
        let (part, tail) = std::mem::take(&mut rest).split_at_mut(padded[i]);
        i += 1;
        rest = tail;
        &mut part[..n]
    })
}
