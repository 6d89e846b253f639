//! Facts that trained weights carry with them.

use std::io::Write;
use std::path::Path;

use mnas_net::{Shape, Weights};
use mnas_train::{Meta, Normalize};

/// Metadata keys of weights and model files.
pub mod keys {
    /// The network's canonical text.
    pub const SPEC: &str = "mnas.spec";
    /// Class names, one per line, in the order of the network's answers.
    pub const CLASSES: &str = "mnas.classes";
    /// Image shape, as `28x28x1`.
    pub const INPUT: &str = "mnas.input";
    /// Mean and standard deviation per channel, as JSON of `{mean, std}`.
    pub const NORMALIZE: &str = "mnas.normalize";
    /// Accuracy on the validation split, 0 to 1.
    pub const VALIDATION_ACCURACY: &str = "mnas.validation_accuracy";
    /// Accuracy on the test split, 0 to 1.
    pub const TEST_ACCURACY: &str = "mnas.test_accuracy";
    /// Median latency in milliseconds.
    pub const LATENCY_MS: &str = "mnas.latency_ms";
    /// Device and engine of the latency.
    pub const LATENCY_SOURCE: &str = "mnas.latency_source";
    /// Hash of everything that decided the training.
    pub const JOB: &str = "mnas.job";
    /// The training's result, as JSON.
    pub const TRAINED: &str = "mnas.trained";
}

/// What a user of weights needs to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts<'a> {
    pub(crate) spec: &'a str,
    pub(crate) classes: &'a [String],
    pub(crate) input: Shape,
    pub(crate) normalize: &'a Normalize,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(spec: &'a str, meta: &'a Meta) -> Self {
        Self {
            spec,
            classes: &meta.classes,
            input: meta.shape,
            normalize: &meta.normalize,
        }
    }

    pub(crate) fn write(&self, weights: &mut Weights) {
        let normalize = serde_json::json!({
            "mean": self.normalize.mean, "std": self.normalize.std });
        weights.metadata.extend([
            (keys::SPEC.to_string(), self.spec.to_string()),
            (keys::CLASSES.to_string(), self.classes.join("\n")),
            (keys::INPUT.to_string(), self.input.to_string()),
            (keys::NORMALIZE.to_string(), normalize.to_string()),
        ]);
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
