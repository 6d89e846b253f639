//! Images in a folder per class, whether on disk or in an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::error::{DataError, ImageError};
use super::picture;
use super::source::{Found, Item, Part, Picture, Probe, Source};

/// What the trees' kinds accept.
pub(crate) const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "jfif", "png"];

/// Bytes of a file's start that tell the size of an image without profile or preview.
const SHORT_HEAD_BYTES: usize = 4 << 10;
/// Bytes of a file's start that nearly always tell an image's size.
const HEAD_BYTES: u64 = 64 << 10;

/// Where the bytes of a file lie.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// A part of an archive.
    Slice(Arc<Mmap>, Range<usize>),
}

/// A file of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Names of folders and file, from the root.
    pub(crate) path: Vec<String>,
    /// Where its bytes lie.
    pub(crate) place: Place,
    /// Its length.
    pub(crate) bytes: u64,
    /// Nanoseconds of its last change.
    pub(crate) modified: u128,
}

/// All files and folders of a tree.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The folder or archive, for messages.
    pub(crate) root: PathBuf,
    /// Files in any order.
    pub(crate) files: Vec<Entry>,
    /// Folders; those that files imply may be absent.
    pub(crate) folders: BTreeSet<Vec<String>>,
}

impl Listing {
    /// A listing to be filled.
    pub(crate) fn of(root: &Path) -> Self {
        Self {
            root: root.into(),
            files: vec![],
            folders: BTreeSet::new(),
        }
    }
}

impl Found for Listing {
    fn state(&self) -> String {
        let mut lines: Vec<String> = vec![];
        for e in &self.files {
            lines.push(format!("{:?} {} {}", e.path.join("/"), e.bytes, e.modified));
        }
        lines.extend(self.folders.iter().map(|f| format!("{:?}", f.join("/"))));
        lines.sort();
        format!("tree {:?}\n{}", self.root, lines.join("\n"))
    }

    fn load(self: Box<Self>) -> Result<Box<dyn Source>, DataError> {
        Ok(Box::new(Tree::new(*self)?))
    }
}

/// A tree as a data set.
#[derive(Debug)]
pub(crate) struct Tree {
    classes: Vec<String>,
    items: Vec<Item>,
    entries: Vec<Entry>,
}

impl Tree {
    /// Reads splits, classes and images off the paths: `CLASS/..` or `train/CLASS/..` with
    /// `val/CLASS/..`, `test/CLASS/..`, beneath any number of folders that hold nothing else.
    fn new(mut listing: Listing) -> Result<Self, DataError> {
        let root = std::mem::take(&mut listing.root);
        listing
            .files
            .retain(|f| !f.path.iter().any(|p| is_hidden(p)));
        listing.folders.retain(|f| !f.iter().any(|p| is_hidden(p)));
        for file in &listing.files {
            for depth in 1..file.path.len() {
                listing.folders.insert(file.path[..depth].to_vec());
            }
        }
        listing
            .files
            .retain(|f| is_image(f.path.last().map_or("", |n| n)));
        listing.files.sort_by(|a, b| a.path.cmp(&b.path));
        // An archive may hold a file twice; the later one counts, as when unpacked.
        listing.files.reverse();
        listing.files.dedup_by(|a, b| a.path == b.path);
        listing.files.reverse();
        strip_root(&mut listing);
        let split = listing
            .files
            .iter()
            .any(|f| f.path.len() >= 3 && part_of(&f.path[0]) == Some(Part::Train));
        let placed = |path: &[String]| -> Option<(Part, String)> {
            if split {
                Some((part_of(path.first()?)?, path.get(1)?.clone()))
            } else {
                Some((Part::Train, path.first()?.clone()))
            }
        };
        let mut counts: BTreeMap<(String, Part), usize> = BTreeMap::new();
        for folder in &listing.folders {
            if let Some((part, class)) = placed(folder) {
                counts.entry((class, part)).or_default();
            }
        }
        let mut found = vec![];
        for entry in listing.files {
            let folder = &entry.path[..entry.path.len() - 1];
            if let Some((part, class)) = placed(folder) {
                *counts.entry((class.clone(), part)).or_default() += 1;
                found.push((part, class, entry));
            }
        }
        if found.is_empty() {
            return Err(DataError::NoImages { path: root });
        }
        let classes = check_classes(&root, split, &counts)?;
        found.sort_by_key(|(part, _, _)| *part);
        let (mut items, mut entries) = (vec![], vec![]);
        for (part, class, entry) in found {
            let label = classes.binary_search(&class).unwrap_or_default() as u16;
            let name = entry.path.join("/");
            items.push(Item { part, label, name });
            entries.push(entry);
        }
        Ok(Self {
            classes,
            items,
            entries,
        })
    }
}

/// The class names in byte order, once every class has images wherever it is expected.
fn check_classes(
    root: &Path,
    split: bool,
    counts: &BTreeMap<(String, Part), usize>,
) -> Result<Vec<String>, DataError> {
    let path = || root.to_path_buf();
    if let Some(((class, part), _)) = counts.iter().find(|(_, n)| **n == 0) {
        let class = if split {
            format!("{}/{class}", part.name())
        } else {
            class.clone()
        };
        return Err(DataError::EmptyClass {
            path: path(),
            class,
        });
    }
    let classes: BTreeSet<String> = counts.keys().map(|(class, _)| class.clone()).collect();
    let parts: BTreeSet<Part> = counts.keys().map(|(_, part)| *part).collect();
    for class in &classes {
        for part in &parts {
            if !counts.contains_key(&(class.clone(), *part)) {
                return Err(DataError::MissingClass {
                    path: path(),
                    part: part.name(),
                    class: class.clone(),
                });
            }
        }
    }
    let classes: Vec<String> = classes.into_iter().collect();
    match &classes[..] {
        [class] => Err(DataError::OneClass {
            path: path(),
            class: class.clone(),
        }),
        more if more.len() > usize::from(u16::MAX) => Err(DataError::TooManyClasses {
            path: path(),
            classes: more.len(),
        }),
        _ => Ok(classes),
    }
}

/// Drops top folders that hold the whole tree, down to splits or classes.
fn strip_root(listing: &mut Listing) {
    loop {
        let mut tops = listing.folders.iter().map(|f| &f[0]);
        let Some(top) = tops.next() else {
            return;
        };
        if tops.any(|t| t != top) {
            return;
        }
        // A lone class keeps its folder, and so does a lone split.
        let deep = listing.files.iter().all(|f| f.path.len() >= 3);
        if !deep || listing.files.is_empty() || part_of(top).is_some() {
            return;
        }
        listing
            .files
            .iter_mut()
            .for_each(|f| drop(f.path.remove(0)));
        let inner = listing.folders.iter().filter(|f| f.len() > 1);
        listing.folders = inner.map(|f| f[1..].to_vec()).collect();
    }
}

/// The split that a folder's name stands for.
pub(crate) fn part_of(name: &str) -> Option<Part> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "val" | "valid" | "validation" => Some(Part::Validation),
        "test" | "testing" => Some(Part::Test),
        _ => None,
    }
}

/// Files of the system rather than the user.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
    EXTENSIONS.iter().any(|e| extension.eq_ignore_ascii_case(e))
}

/// Reads as much of a file as tells what it holds.
fn probe_file(path: &Path) -> Result<Probe, ImageError> {
    let mut file = File::open(path)?;
    let mut short = [0; SHORT_HEAD_BYTES];
    let n = file.read(&mut short)?;
    if let Ok(probe) = picture::probe(&short[..n]) {
        return Ok(probe);
    }
    let mut head = short[..n].to_vec();
    file.take(HEAD_BYTES - n as u64).read_to_end(&mut head)?;
    match picture::probe(&head) {
        // A long profile or preview may stand before the size.
        Err(_) if head.len() as u64 == HEAD_BYTES => picture::probe(&fs::read(path)?),
        done => done,
    }
}

impl Source for Tree {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn probe(&self, i: usize) -> Result<Probe, ImageError> {
        match &self.entries[i].place {
            Place::File(path) => probe_file(path),
            Place::Slice(map, range) => picture::probe(&map[range.clone()]),
        }
    }

    fn read(&self, i: usize, kept: (usize, usize)) -> Result<Picture, ImageError> {
        match &self.entries[i].place {
            Place::File(path) => picture::decode(&fs::read(path)?, Some(kept)),
            Place::Slice(map, range) => picture::decode(&map[range.clone()], Some(kept)),
        }
    }
}
