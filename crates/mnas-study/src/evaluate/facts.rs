//! Facts that a study adds to trained weights.

use std::io::Write;
use std::path::Path;

/// Metadata keys of weights and model files.
pub mod keys {
    pub use mnas_train::keys::*;

    /// Accuracy on the validation split, 0 to 1.
    pub const VALIDATION_ACCURACY: &str = "mnas.validation_accuracy";
    /// Accuracy on the test split, 0 to 1.
    pub const TEST_ACCURACY: &str = "mnas.test_accuracy";
    /// Median latency in milliseconds.
    pub const LATENCY_MS: &str = "mnas.latency_ms";
    /// Device and engine of the latency.
    pub const LATENCY_SOURCE: &str = "mnas.latency_source";
    /// Inference engine of the test accuracy, where it is an 8-bit file's.
    pub const TEST_ENGINE: &str = "mnas.test_engine";
    /// Name of the study's folder.
    pub const STUDY: &str = "mnas.study";
    /// The trial that proposed the network.
    pub const TRIAL: &str = "mnas.trial";
    /// Number format of a model file, where it isn't float32: `int8`.
    pub const PRECISION: &str = "mnas.precision";
    /// How an 8-bit file was calibrated.
    pub const CALIBRATION: &str = "mnas.calibration";
    /// Hash of everything that decided the training.
    pub const JOB: &str = "mnas.job";
    /// The training's result, as JSON.
    pub const TRAINED: &str = "mnas.trained";
}

/// Writes a file whole or not at all: through a temporary file beside it, which is renamed when
/// complete. Makes the folder where it is missing.
///
/// # Errors
/// What the system reports; the target is then as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
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
