//! Views of decoded images.

use std::borrow::Cow;
use std::sync::Arc;

use mnas_net::{Purpose, Shape, stream};

/// Bytes that many splits share.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// In memory.
    Owned(Vec<u8>),
    /// A read-only map of a cache file, which starts with them.
    Mapped(memmap2::Mmap),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Self::Owned(v) => v,
            Self::Mapped(m) => m,
        }
    }
}

/// All decoded images of a data set.
#[derive(Debug)]
pub(crate) struct Images {
    /// `images x stored`.
    pub(crate) pixels: Bytes,
    /// Label of each image.
    pub(crate) labels: Vec<u16>,
    /// Shape of an image as kept.
    pub(crate) stored: Shape,
    /// Shape of an image as the network sees it, at most as large.
    pub(crate) shape: Shape,
}

/// Labelled images: a cheap view that clones without copying pixels.
#[derive(Debug, Clone)]
pub struct Split {
    images: Arc<Images>,
    indices: Arc<[u32]>,
}

impl Split {
    /// A split over images in memory: `images` are bytes `labels.len() x h x w x c`.
    ///
    /// # Panics
    /// If the lengths don't fit.
    pub fn from_bytes(shape: Shape, images: Vec<u8>, labels: Vec<u16>) -> Self {
        assert_eq!(
            images.len(),
            labels.len() * shape.len(),
            "bytes of {} images of {shape}",
            labels.len()
        );
        let indices = (0..labels.len() as u32).collect();
        let images = Images {
            pixels: Bytes::Owned(images),
            labels,
            stored: shape,
            shape,
        };
        Self {
            images: Arc::new(images),
            indices,
        }
    }

    pub(crate) fn view(images: &Arc<Images>, indices: Vec<u32>) -> Self {
        Self {
            images: Arc::clone(images),
            indices: indices.into(),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// True of a split without images.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Shape of [`Split::image`].
    pub fn shape(&self) -> Shape {
        self.images.shape
    }

    /// Shape of [`Split::stored`]: larger than [`Split::shape`] where a margin for random crops
    /// is kept.
    pub fn stored_shape(&self) -> Shape {
        self.images.stored
    }

    /// Image `i` as it is kept, bytes `h x w x c`.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn stored(&self, i: usize) -> &[u8] {
        let n = self.images.stored.len();
        let at = self.indices[i] as usize * n;
        &self.images.pixels.all()[at..at + n]
    }

    /// Image `i` as a network is evaluated on it: the centre of [`Split::stored`], bytes
    /// `h x w x c`, borrowed where nothing is cut off.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn image(&self, i: usize) -> Cow<'_, [u8]> {
        let (stored, shape) = (self.images.stored, self.images.shape);
        let bytes = self.stored(i);
        if stored == shape {
            return Cow::Borrowed(bytes);
        }
        let mut out = vec![0; shape.len()];
        centre(bytes, stored, shape, &mut out);
        Cow::Owned(out)
    }

    /// Label of image `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn label(&self, i: usize) -> u16 {
        self.images.labels[self.indices[i] as usize]
    }

    /// Position of image `i` in the whole data set; splits of one data set share no position.
    ///
    /// # Panics
    /// If `i` is not below [`Split::len`].
    pub fn position(&self, i: usize) -> u32 {
        self.indices[i]
    }

    /// The images of both, `other`'s last.
    ///
    /// # Panics
    /// If they are not splits of one data set.
    pub fn union(&self, other: &Self) -> Self {
        assert!(
            Arc::ptr_eq(&self.images, &other.images),
            "splits of two data sets"
        );
        let indices = self.indices.iter().chain(&*other.indices);
        Self::view(&self.images, indices.copied().collect())
    }

    /// A random view of `n` images (all, if there are fewer) in which each class has its share,
    /// give or take one; in the order of this split.
    pub fn subset(&self, n: usize, seed: u64) -> Self {
        if n >= self.len() {
            return self.clone();
        }
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        stream(seed, 1, Purpose::Split).shuffle(&mut order);
        order.sort_by_key(|i| self.label(*i as usize));
        // Every class is a run of `order`, shuffled within. Walking the runs and keeping an image
        // whenever the exact share passes a whole number gives n in all.
        let kept = (0..self.len()).filter(|i| (i + 1) * n / self.len() > i * n / self.len());
        let mut kept: Vec<u32> = kept.map(|i| self.indices[order[i] as usize]).collect();
        kept.sort_unstable();
        Self::view(&self.images, kept)
    }
}

/// Copies the centre of `from` (of shape `stored`) into `out` (of shape `shape`).
pub(crate) fn centre(from: &[u8], stored: Shape, shape: Shape, out: &mut [u8]) {
    let (top, left) = ((stored.h - shape.h) / 2, (stored.w - shape.w) / 2);
    let row = shape.w * shape.c;
    for (y, line) in out.chunks_exact_mut(row).enumerate() {
        let at = ((top + y) * stored.w + left) * stored.c;
        line.copy_from_slice(&from[at..at + row]);
    }
}
