//! A study's folder.

use std::path::{Path, PathBuf};

/// Where things lie in a study's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyDir(PathBuf);

impl StudyDir {
    /// The folder at `path`, which need not exist.
    pub fn new(path: &Path) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The store of events.
    pub fn store(&self) -> PathBuf {
        self.0.join("study.db")
    }

    /// The address of the store, where that is a database and not [`StudyDir::store`].
    pub fn store_address(&self) -> PathBuf {
        self.0.join("store.url")
    }

    /// The plan, for people to read; the store's first event is what counts.
    pub fn plan(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    /// What a check of the short training has done so far.
    pub fn proxy_check(&self) -> PathBuf {
        self.0.join("proxy-check.json")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }

    /// TensorBoard's event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.0.join("tensorboard")
    }

    /// Weights of a network of the final stage, by a trial's number (`17`) or an entry's name
    /// (`trial 17`, `mobilenet-v2-0.5x`).
    pub fn weights(&self, name: &str) -> PathBuf {
        self.0
            .join("weights")
            .join(format!("{}.safetensors", file_stem(name)))
    }

    /// State of a training that is under way.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.0
            .join("weights")
            .join(format!("{}.checkpoint", file_stem(name)))
    }

    /// An exported model; `extension` is its format's.
    pub fn model(&self, name: &str, extension: &str) -> PathBuf {
        self.0
            .join("models")
            .join(format!("{}.{extension}", file_stem(name)))
    }

    /// The folder's own name.
    pub(crate) fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or(self.0.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// A path below the folder, as events store it: relative, with `/`.
    pub(crate) fn relative(&self, path: &Path) -> String {
        let relative = path.strip_prefix(&self.0).unwrap_or(path);
        let parts: Vec<_> = relative.iter().map(|p| p.to_string_lossy()).collect();
        parts.join("/")
    }
}

/// A name as a file's: a bare number is a trial's.
pub(crate) fn file_stem(name: &str) -> String {
    let trial = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let name = if trial {
        format!("trial {name}")
    } else {
        name.to_string()
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files() {
        let dir = StudyDir::new(Path::new("s"));
        for (name, file) in [
            ("17", "s/weights/trial-17.safetensors"),
            ("trial 17", "s/weights/trial-17.safetensors"),
            (
                "mobilenet-v2-0.5x@96",
                "s/weights/mobilenet-v2-0.5x-96.safetensors",
            ),
            ("../evil", "s/weights/..-evil.safetensors"),
        ] {
            assert_eq!(dir.weights(name), Path::new(file), "{name}");
        }
        let path = dir.model("trial 3", "onnx");
        assert_eq!(dir.relative(&path), "models/trial-3.onnx");
    }
}
