//! A tree of images in a .tar, or in one .tar per split. Nothing is unpacked: entries are read
//! from the mapped archive, so their names can't reach outside.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::cache::map_file;
use super::error::DataError;
use super::source::{DatasetKind, Found, Part};
use super::tree::{Entry, Listing, Place, part_of};

/// Archives.
pub(crate) struct Archive;

impl DatasetKind for Archive {
    fn accepts(&self) -> &'static str {
        "a .tar of such a folder, a folder with one .tar and no folders, or a folder with train.tar and test.tar or val.tar"
    }

    fn find(&self, path: &Path) -> Result<Option<Box<dyn Found>>, DataError> {
        let mut listing = Listing::of(path);
        if path.is_dir() {
            let archives = split_archives(path)?;
            if !archives.iter().any(|(part, _)| *part == Part::Train) {
                let Some(archive) = only_archive(path)? else {
                    return Ok(None);
                };
                list(&archive, &mut listing)?;
                return Ok(Some(Box::new(listing)));
            }
            for (part, archive) in archives {
                let mut inner = Listing::of(&archive);
                list(&archive, &mut inner)?;
                beneath(part, &mut inner);
                listing.files.append(&mut inner.files);
                listing.folders.append(&mut inner.folders);
            }
        } else if is_tar(path) {
            list(path, &mut listing)?;
        } else {
            return Ok(None);
        }
        Ok(Some(Box::new(listing)))
    }
}

fn is_tar(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("tar"))
}

/// The archives in a folder that are named after splits, by name.
fn split_archives(folder: &Path) -> Result<Vec<(Part, PathBuf)>, DataError> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).map_err(DataError::io(folder, "list the folder"))? {
        let path = entry
            .map_err(DataError::io(folder, "list the folder"))?
            .path();
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        if let Some(part) = stem.as_deref().and_then(part_of).filter(|_| is_tar(&path)) {
            found.push((part, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The archive of a folder that holds one and no other data: no second archive, no folder.
fn only_archive(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    let mut archives = vec![];
    for entry in fs::read_dir(folder).map_err(DataError::io(folder, "list the folder"))? {
        let path = entry
            .map_err(DataError::io(folder, "list the folder"))?
            .path();
        if path.is_dir() {
            return Ok(None);
        }
        if is_tar(&path) {
            archives.push(path);
        }
    }
    Ok(archives.pop().filter(|_| archives.is_empty()))
}

/// Puts an archive's tree beneath the folder of its split, unless it has that folder already.
fn beneath(part: Part, listing: &mut Listing) {
    let tops: BTreeSet<&String> = listing.folders.iter().map(|f| &f[0]).collect();
    let named = tops.iter().all(|t| part_of(t) == Some(part));
    let top = part.name().to_string();
    let rename = |path: &mut Vec<String>| {
        if named && path.len() > 1 {
            path[0].clone_from(&top);
        } else if !named {
            path.insert(0, top.clone());
        }
    };
    listing.files.iter_mut().for_each(|f| rename(&mut f.path));
    let folders = std::mem::take(&mut listing.folders);
    for mut folder in folders {
        if !named || folder.len() > 1 {
            rename(&mut folder);
            listing.folders.insert(folder);
        }
    }
}

/// Lists the files and folders of an archive.
fn list(path: &Path, listing: &mut Listing) -> Result<(), DataError> {
    let file = File::open(path).map_err(DataError::io(path, "open"))?;
    let map = Arc::new(map_file(&file).map_err(DataError::io(path, "map"))?);
    let bad = |error| DataError::Tar {
        path: path.into(),
        error,
    };
    let mut archive = tar::Archive::new(Cursor::new(&map[..]));
    for entry in archive.entries_with_seek().map_err(bad)? {
        let entry = entry.map_err(bad)?;
        let names = names(&entry.path().map_err(bad)?);
        if names.is_empty() {
            continue;
        }
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            for depth in 1..=names.len() {
                listing.folders.insert(names[..depth].to_vec());
            }
        } else if kind.is_file() {
            let start = entry.raw_file_position() as usize;
            let end = start.saturating_add(entry.size() as usize);
            if end > map.len() {
                let name = names.join("/");
                let text = format!("it ends within {name}");
                return Err(bad(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    text,
                )));
            }
            for depth in 1..names.len() {
                listing.folders.insert(names[..depth].to_vec());
            }
            let modified = entry.header().mtime().unwrap_or(0);
            listing.files.push(Entry {
                path: names,
                place: Place::Slice(Arc::clone(&map), start..end),
                bytes: entry.size(),
                modified: u128::from(modified) * 1_000_000_000,
            });
        }
    }
    Ok(())
}

/// The plain names of an entry's path; `.`, `..` and roots are left out.
fn names(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}
