//! Extents of a sliding window.

/// A square window sliding over images of `h` by `w` pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Images in the batch.
    pub images: usize,
    /// Height of an input image.
    pub h: usize,
    /// Width of an input image.
    pub w: usize,
    /// Side of the window.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Padding above and left of the input; what is needed below and right follows.
    pub before: [usize; 2],
    /// Height of an output image.
    pub out_h: usize,
    /// Width of an output image.
    pub out_w: usize,
}

/// Largest side of a window that the kernels take.
pub const MAX_KERNEL: usize = 31;

impl Window {
    /// Pixels of all input images.
    pub fn inputs(&self) -> usize {
        self.images * self.h * self.w
    }

    /// Pixels of all output images.
    pub fn outputs(&self) -> usize {
        self.images * self.out_h * self.out_w
    }

    pub(crate) fn check(&self) {
        assert!(
            (1..=MAX_KERNEL).contains(&self.kernel),
            "window: kernel {}",
            self.kernel
        );
        assert!(
            self.stride > 0 && self.h > 0 && self.w > 0,
            "window: zero extent"
        );
        assert!(self.out_h > 0 && self.out_w > 0, "window: zero output");
        assert!(
            self.before.iter().all(|b| *b < self.kernel),
            "window: padding"
        );
    }

    /// Window rows that meet input rows when the output row is `o`.
    pub(crate) fn rows_at(&self, o: usize) -> std::ops::Range<usize> {
        Self::meet(o * self.stride, self.before[0], self.kernel, self.h)
    }

    /// Window columns that meet input columns when the output column is `q`.
    pub(crate) fn columns_at(&self, q: usize) -> std::ops::Range<usize> {
        Self::meet(q * self.stride, self.before[1], self.kernel, self.w)
    }

    fn meet(at: usize, before: usize, kernel: usize, extent: usize) -> std::ops::Range<usize> {
        let first = before.saturating_sub(at).min(kernel);
        let end = (extent + before).saturating_sub(at).min(kernel).max(first);
        first..end
    }
}
