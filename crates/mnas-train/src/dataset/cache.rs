//! The file of decoded images: written once, mapped read-only by every process that trains.
//!
//! Layout: pixels of all images; label of each (2 bytes, little-endian); part of each (1 byte);
//! for each image and channel the sum of its bytes and the sum of their squares (8 bytes each);
//! the [`Trailer`] as JSON; its length (8 bytes); [`MAGIC`]. What is only known at the end stands
//! at the end, so the file is written in one pass.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use memmap2::Mmap;
use mnas_kernels::{Isa, byte_moments};
use mnas_net::Shape;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::digest::{Digest, digest};
use super::error::{DataError, ImageError};
use super::resize;
use super::source::{Found, Part, Source};
use super::split::{Bytes, Images};

#[cfg(test)]
mod tests;

/// Changes with the layout and with anything that changes pixels.
const VERSION: u32 = 3;
const MAGIC: [u8; 8] = *b"mnasimg1";
/// Decoded bytes held in memory while building, per thread: few enough to be written from the
/// processor's cache, enough for threads not to wait for one another.
const CHUNK_BYTES: usize = 2 << 20;

/// Sum of the bytes and of their squares.
type Moment = [u64; 2];

/// What is kept of an image beside its pixels.
struct Facts {
    /// Of each channel.
    moments: [Moment; 3],
    digest: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
struct Trailer {
    version: u32,
    classes: Vec<String>,
    shape: Shape,
    stored: Shape,
    images: usize,
    skipped: u64,
    fingerprint: String,
}

/// An opened cache.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Pixels and labels.
    pub(crate) images: Images,
    /// Split of each image at its source.
    pub(crate) parts: Vec<Part>,
    /// `images x channels`.
    pub(crate) moments: Vec<Moment>,
    /// Class names.
    pub(crate) classes: Vec<String>,
    /// Broken images left out.
    pub(crate) skipped: u64,
    /// See [`crate::Meta::fingerprint`].
    pub(crate) fingerprint: String,
}

/// Where the cache lies and how it is made.
pub(crate) struct CachePlan<'a> {
    /// Folder of caches.
    pub(crate) folder: &'a Path,
    /// The data set's path or name, for messages.
    pub(crate) source: &'a Path,
    /// See [`crate::OpenOptions::image_size`].
    pub(crate) image_size: Option<usize>,
    /// See [`crate::OpenOptions::progress`].
    pub(crate) progress: &'a dyn Fn(u64, u64),
}

impl CachePlan<'_> {
    /// Opens the cache of `found`, which is decoded where it has none yet.
    pub(crate) fn open(&self, found: Box<dyn Found>) -> Result<Cache, DataError> {
        let text = format!("{VERSION} {:?}\n{}", self.image_size, found.state());
        let path = self
            .folder
            .join(format!("{}.images", hex16(&Sha256::digest(text))));
        if let Some(cache) = Cache::read(&path)? {
            return Ok(cache);
        }
        self.build(&*found.load()?, &path)?;
        Cache::read(&path)?.ok_or_else(|| DataError::Io {
            path,
            action: "read back the decoded images",
            error: io::ErrorKind::InvalidData.into(),
        })
    }

    /// Decodes every image into `path`, which appears complete or not at all.
    fn build(&self, source: &dyn Source, path: &Path) -> Result<(), DataError> {
        let items = source.items();
        let mut broken = Broken::new(self.source, items.len());
        let probes: Vec<_> = (0..items.len())
            .into_par_iter()
            .map(|i| source.probe(i))
            .collect();
        let mut sizes = vec![];
        let mut readable = vec![];
        for (i, probe) in probes.into_iter().enumerate() {
            match probe {
                Ok(p) => {
                    sizes.push(p);
                    readable.push(i);
                }
                Err(reason) => broken.add(&items[i].name, reason)?,
            }
        }
        let (shape, stored) = resize::sizes(&sizes, self.image_size);
        fs::create_dir_all(self.folder).map_err(DataError::io(self.folder, "make the folder"))?;
        let full = (readable.len() * stored.len()) as u64;
        let wrong = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DataError::DiskFull {
                path: self.folder.into(),
                bytes: full,
            },
            _ => DataError::Io {
                path: self.folder.into(),
                action: "write decoded images",
                error,
            },
        };
        let mut file = tempfile::Builder::new()
            .prefix(".decoding-")
            .tempfile_in(self.folder)
            .map_err(wrong)?;
        let mut writer = Writer::new(BufWriter::new(file.as_file_mut()), stored.c);
        let total = items.len() as u64;
        let at_once = chunk(rayon::current_num_threads(), stored.len());
        // One buffer for all: memory that is taken anew costs a page fault per 4 KB.
        let mut buffer = vec![0; at_once.min(readable.len()) * stored.len()];
        for chunk in readable.chunks(at_once) {
            let images = buffer.par_chunks_exact_mut(stored.len());
            let decode = |(i, pixels): (&usize, &mut [u8])| {
                let picture = source.read(*i, (stored.w, stored.h))?;
                resize::fit_into(picture, stored, pixels);
                Ok::<_, ImageError>(Facts::of(pixels, stored.c))
            };
            let decoded: Vec<_> = chunk.par_iter().zip(images).map(decode).collect();
            let images = buffer.chunks_exact(stored.len());
            for ((i, facts), pixels) in chunk.iter().zip(decoded).zip(images) {
                let item = &items[*i];
                match facts {
                    Ok(facts) => writer
                        .image(pixels, &facts, item.label, item.part)
                        .map_err(wrong)?,
                    Err(reason) => broken.add(&item.name, reason)?,
                }
            }
            (self.progress)(chunk[chunk.len() - 1] as u64 + 1, total);
        }
        broken.check_classes(source, &writer.labels, &writer.parts)?;
        writer
            .finish(source.classes(), shape, stored, broken.count)
            .map_err(wrong)?;
        let persisted = file.persist(path).map_err(|e| wrong(e.error))?;
        drop(persisted);
        Ok(())
    }
}

/// Images decoded at once: no fewer than threads, however large an image of `bytes` is.
fn chunk(threads: usize, bytes: usize) -> usize {
    (CHUNK_BYTES * threads / bytes).max(threads)
}

/// Counts broken images and gives up at more than one in a hundred.
struct Broken<'a> {
    source: &'a Path,
    images: usize,
    count: u64,
    first: Option<(String, ImageError)>,
}

impl<'a> Broken<'a> {
    fn new(source: &'a Path, images: usize) -> Self {
        Self {
            source,
            images,
            count: 0,
            first: None,
        }
    }

    fn add(&mut self, name: &str, reason: ImageError) -> Result<(), DataError> {
        tracing::warn!(image = name, %reason, "left out a broken image");
        self.count += 1;
        let (first, reason) = self.first.take().unwrap_or((name.into(), reason));
        if self.count * 100 > self.images as u64 {
            return Err(DataError::Broken {
                path: self.source.into(),
                broken: self.count,
                images: self.images as u64,
                first,
                reason,
            });
        }
        self.first = Some((first, reason));
        Ok(())
    }

    /// A class may have lost its only image of a split.
    fn check_classes(
        &self,
        source: &dyn Source,
        labels: &[u16],
        parts: &[Part],
    ) -> Result<(), DataError> {
        let left: BTreeSet<(u16, Part)> =
            labels.iter().copied().zip(parts.iter().copied()).collect();
        let mut items = source.items().iter();
        let lost = items.find(|item| !left.contains(&(item.label, item.part)));
        match lost {
            Some(item) => Err(DataError::MissingClass {
                path: self.source.into(),
                part: item.part.name(),
                class: source.classes()[usize::from(item.label)].clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Writes a cache front to back.
struct Writer<W: Write> {
    out: W,
    hash: Sha256,
    channels: usize,
    labels: Vec<u16>,
    parts: Vec<Part>,
    moments: Vec<Moment>,
}

impl<W: Write> Writer<W> {
    fn new(out: W, channels: usize) -> Self {
        Self {
            out,
            hash: Sha256::new(),
            channels,
            labels: vec![],
            parts: vec![],
            moments: vec![],
        }
    }

    fn image(&mut self, pixels: &[u8], facts: &Facts, label: u16, part: Part) -> io::Result<()> {
        self.out.write_all(pixels)?;
        for word in facts.digest {
            self.hash.update(word.to_le_bytes());
        }
        self.hash.update(label.to_le_bytes());
        self.hash.update([part as u8]);
        self.labels.push(label);
        self.parts.push(part);
        self.moments
            .extend_from_slice(&facts.moments[..self.channels]);
        Ok(())
    }

    fn finish(
        mut self,
        classes: &[String],
        shape: Shape,
        stored: Shape,
        skipped: u64,
    ) -> io::Result<()> {
        self.hash.update(format!("{classes:?} {shape} {stored}"));
        let trailer = Trailer {
            version: VERSION,
            classes: classes.to_vec(),
            shape,
            stored,
            images: self.labels.len(),
            skipped,
            fingerprint: hex16(&self.hash.finalize()),
        };
        for label in &self.labels {
            self.out.write_all(&label.to_le_bytes())?;
        }
        for part in &self.parts {
            self.out.write_all(&[*part as u8])?;
        }
        for sum in self.moments.iter().flatten() {
            self.out.write_all(&sum.to_le_bytes())?;
        }
        let json = serde_json::to_vec(&trailer)?;
        self.out.write_all(&json)?;
        self.out.write_all(&(json.len() as u64).to_le_bytes())?;
        self.out.write_all(&MAGIC)?;
        self.out.flush()
    }
}

impl Cache {
    /// Maps a cache; `None` where there is none, or one that is cut short or of another version.
    fn read(path: &Path) -> Result<Option<Self>, DataError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(DataError::io(path, "open")(e)),
        };
        let map = map_file(&file).map_err(DataError::io(path, "map"))?;
        Ok(Self::parse(map))
    }

    fn parse(map: Mmap) -> Option<Self> {
        let word = |b: &[u8]| b.try_into().map(u64::from_le_bytes).ok();
        let (rest, magic) = map.split_last_chunk::<8>()?;
        let (rest, length) = rest.split_last_chunk::<8>()?;
        let json_at = rest
            .len()
            .checked_sub(u64::from_le_bytes(*length) as usize)?;
        let trailer: Trailer = serde_json::from_slice(&rest[json_at..]).ok()?;
        let n = trailer.images;
        let c = trailer.stored.c;
        let pixels = n.checked_mul(trailer.stored.len())?;
        let facts = n.checked_mul(2 + 1 + 16 * c)?;
        let fits = json_at.checked_sub(pixels) == Some(facts);
        if *magic != MAGIC || trailer.version != VERSION || !fits {
            return None;
        }
        let (labels, rest) = rest[pixels..json_at].split_at(2 * n);
        let (parts, moments) = rest.split_at(n);
        let labels = labels
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]));
        let part = |b: &u8| match b {
            0 => Some(Part::Train),
            1 => Some(Part::Validation),
            2 => Some(Part::Test),
            _ => None,
        };
        let moment = |b: &[u8]| Some([word(&b[..8])?, word(&b[8..])?]);
        Some(Self {
            parts: parts.iter().map(part).collect::<Option<_>>()?,
            moments: moments
                .chunks_exact(16)
                .map(moment)
                .collect::<Option<_>>()?,
            images: Images {
                labels: labels.collect(),
                stored: trailer.stored,
                shape: trailer.shape,
                pixels: Bytes::Mapped(map),
            },
            classes: trailer.classes,
            skipped: trailer.skipped,
            fingerprint: trailer.fingerprint,
        })
    }
}

/// Maps a file into memory for reading.
#[allow(unsafe_code)]
pub(crate) fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes must not change while mapped. Caches are never written in place: they
    // appear by renaming a complete file, and a new one gets a new inode. An archive that a user
    // overwrites while it is read would yield broken images, which decoders report.
    unsafe { Mmap::map(file) }
}

impl Facts {
    fn of(pixels: &[u8], channels: usize) -> Self {
        Self {
            moments: byte_moments(Isa::detect(), pixels, channels),
            digest: digest(pixels),
        }
    }
}

/// The first 16 hex digits of a hash.
pub(crate) fn hex16(hash: &[u8]) -> String {
    hash[..8].iter().map(|b| format!("{b:02x}")).collect()
}
