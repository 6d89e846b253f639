//! The search for a library file.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{LibraryError, hash_bytes};

/// Where an engine's library is and what it is called.
#[derive(Debug)]
pub(in crate::engine) struct Spec {
    /// Name without the system's prefix and suffix, as `onnxruntime`.
    pub(in crate::engine) stem: &'static str,
    pub(in crate::engine) library: &'static str,
    pub(in crate::engine) package: &'static str,
    /// Folder of the library inside `site-packages`.
    pub(in crate::engine) folder: &'static str,
    pub(in crate::engine) variable: &'static str,
}

/// What finding reads of its surroundings; a value, so that tests can make one.
#[derive(Debug)]
pub(in crate::engine) struct Surroundings {
    named: Option<OsString>,
    program: Option<PathBuf>,
    virtual_env: Option<OsString>,
    current: PathBuf,
    loader: Vec<PathBuf>,
}

impl Surroundings {
    fn of_process(variable: &str) -> Self {
        let search = if cfg!(windows) {
            "PATH"
        } else if cfg!(target_os = "macos") {
            "DYLD_LIBRARY_PATH"
        } else {
            "LD_LIBRARY_PATH"
        };
        let mut loader: Vec<PathBuf> = env::var_os(search)
            .map(|paths| env::split_paths(&paths).collect())
            .unwrap_or_default();
        if cfg!(unix) {
            let multiarch = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
            let system = ["/usr/local/lib", &multiarch, "/usr/lib64", "/usr/lib"];
            loader.extend(system.iter().map(PathBuf::from));
        }
        Self {
            named: env::var_os(variable).filter(|v| !v.is_empty()),
            program: env::current_exe().ok(),
            virtual_env: env::var_os("VIRTUAL_ENV").filter(|v| !v.is_empty()),
            current: env::current_dir().unwrap_or_default(),
            loader,
        }
    }
}

/// A library that was opened, or why it can't be.
pub(in crate::engine) type Held<R> = OnceLock<Result<(PathBuf, R), LibraryError>>;

/// The one library of an engine that a process holds, opened by the first call.
///
/// # Errors
/// As [`find`] and `open`; [`LibraryError::Other`] where another file is found than the open one.
pub(in crate::engine) fn held<R>(
    held: &'static Held<R>,
    spec: &Spec,
    open: impl FnOnce(&Path) -> Result<R, LibraryError>,
) -> Result<&'static R, LibraryError> {
    let path = find(spec)?;
    match held.get_or_init(|| Ok((path.clone(), open(&path)?))) {
        Ok((open, runtime)) if *open == path => Ok(runtime),
        Ok((open, _)) => Err(LibraryError::Other {
            open: open.clone(),
            path,
        }),
        Err(error) => Err(error.clone()),
    }
}

/// The engine's library file.
pub(in crate::engine) fn find(spec: &Spec) -> Result<PathBuf, LibraryError> {
    find_in(spec, &Surroundings::of_process(spec.variable))
}

fn find_in(spec: &Spec, around: &Surroundings) -> Result<PathBuf, LibraryError> {
    if let Some(named) = &around.named {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(LibraryError::NoFile {
                variable: spec.variable,
                path,
            })
        };
    }
    let environments = around
        .virtual_env
        .iter()
        .map(PathBuf::from)
        .chain([around.current.join(".venv")]);
    let packages = environments
        .flat_map(|e| site_packages(&e))
        .map(|p| p.join(spec.folder));
    let beside = around.program.as_deref().and_then(Path::parent);
    let beside = beside.map(Path::to_path_buf).into_iter();
    beside
        .chain(packages)
        .chain(around.loader.iter().cloned())
        .find_map(|folder| library_in(&folder, spec.stem))
        .ok_or(LibraryError::Missing {
            library: spec.library,
            package: spec.package,
            variable: spec.variable,
        })
}

/// `site-packages` of a virtual environment: one per Python version, newest name first.
fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = entries(&environment.join("lib"))
        .into_iter()
        .filter(|name| name.starts_with("python"))
        .map(|name| environment.join("lib").join(name).join("site-packages"))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.push(environment.join("Lib").join("site-packages"));
    found
}

/// The library in a folder: the plain name, else the greatest name with a version in it
/// (`libonnxruntime.so.1.32.0`, `libonnxruntime.1.32.0.dylib`).
fn library_in(folder: &Path, stem: &str) -> Option<PathBuf> {
    let prefix = format!("{}{stem}.", env::consts::DLL_PREFIX);
    let extension = env::consts::DLL_EXTENSION;
    let plain = format!("{prefix}{extension}");
    let fits = |name: &str| {
        name.strip_prefix(&prefix).is_some_and(|rest| {
            rest.split('.')
                .all(|part| part == extension || part.parse::<u32>().is_ok())
                && rest.split('.').any(|part| part == extension)
        })
    };
    let names = entries(folder);
    let best = names
        .iter()
        .filter(|name| fits(name))
        .max_by_key(|name| (**name == plain, version_numbers(name)))?;
    Some(folder.join(best))
}

fn version_numbers(name: &str) -> Vec<u32> {
    name.split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// Names in a folder; none where it can't be read.
fn entries(folder: &Path) -> Vec<String> {
    let Ok(read) = fs::read_dir(folder) else {
        return vec![];
    };
    read.filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect()
}

/// First 16 hex digits of the sha256 of a file.
pub(in crate::engine) fn hash_file(path: &Path) -> io::Result<String> {
    Ok(hash_bytes(&fs::read(path)?))
}

#[cfg(test)]
mod tests;
