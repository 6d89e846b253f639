//! A folder with a folder of images per class, or with train/ and val/ or test/.

use std::fs;
use std::path::Path;

use super::error::DataError;
use super::source::{DatasetKind, Found, modified};
use super::tree::{Entry, Listing, Place, is_hidden};

/// Folders within folders; more is a loop of links.
const MAX_DEPTH: usize = 32;

/// Image folders.
pub(crate) struct Folder;

impl DatasetKind for Folder {
    fn accepts(&self) -> &'static str {
        "a folder with a folder of JPEG or PNG images per class, or with such folders in train/ and test/ or val/"
    }

    fn find(&self, path: &Path) -> Result<Option<Box<dyn Found>>, DataError> {
        if !path.is_dir() {
            return Ok(None);
        }
        let mut listing = Listing::of(path);
        walk(path, &mut vec![], &mut listing)?;
        Ok(Some(Box::new(listing)))
    }
}

fn walk(folder: &Path, at: &mut Vec<String>, listing: &mut Listing) -> Result<(), DataError> {
    if at.len() > MAX_DEPTH {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(DataError::io(folder, "list the folder"))? {
        let entry = entry.map_err(DataError::io(folder, "list the folder"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_hidden(&name) {
            continue;
        }
        let path = entry.path();
        // Follows links, which users make to gather images.
        let facts = fs::metadata(&path).map_err(DataError::io(&path, "read"))?;
        at.push(name);
        if facts.is_dir() {
            listing.folders.insert(at.clone());
            walk(&path, at, listing)?;
        } else if facts.is_file() {
            listing.files.push(Entry {
                path: at.clone(),
                place: Place::File(path),
                bytes: facts.len(),
                modified: modified(&facts),
            });
        }
        at.pop();
    }
    Ok(())
}
