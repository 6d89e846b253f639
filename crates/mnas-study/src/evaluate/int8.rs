//! Networks in 8 bits: calibrated on training images, tested as the file that ships.

use mnas_deploy::{
    EngineId, Format, ModelFile, ModelMeta, QuantizeOptions, Quantized, RangeMethod, export_int8,
    load_model, quantize,
};
use mnas_net::{Graph, Weights};
use mnas_search::{Failure, FailureKind, Int8Accuracy};
use mnas_train::{AnswerError, Data, Evaluation, Normalize, Split, TrainedFacts};

use super::{keys, write_atomically};
use crate::job::{Int8Job, JobFailure};

/// Training images that calibrate: a customary count; other counts have not been measured here.
pub const CALIBRATION_IMAGES: usize = 128;

/// How ranges are chosen: the least squared error, which outliers move less than min-max.
pub const CALIBRATION_RANGES: RangeMethod = RangeMethod::Mse;

/// Seed of the choice of calibration images. Fixed, so that the same network and data set give the
/// same file everywhere.
const CALIBRATION_SEED: u64 = 0;

/// Images to calibrate on, normalised: a subset of the training images.
pub fn calibration_images(train: &Split, normalize: &Normalize, count: usize) -> Vec<Vec<f32>> {
    let subset = train.subset(count, CALIBRATION_SEED);
    let image = |i| normalize.apply(&subset.image(i));
    (0..subset.len()).map(image).collect()
}

/// Why a model file can't be tested.
#[derive(Debug, thiserror::Error)]
pub enum FileTestError {
    /// The engine refuses or fails.
    #[error(transparent)]
    Engine(#[from] mnas_deploy::EngineError),
    /// It answers nonsense.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

/// Tests a model file in an engine on every image of a split.
///
/// # Errors
/// [`FileTestError`].
pub fn evaluate_file(
    file: &ModelFile,
    engine: EngineId,
    split: &Split,
    classes: usize,
    normalize: &Normalize,
) -> Result<Evaluation, FileTestError> {
    let mut model = load_model(file, engine)?;
    mnas_train::evaluate_with(split, classes, |image| {
        Ok(model.run(&normalize.apply(image))?)
    })
}

/// Quantises one trained network of a final stage, tests it in the job's engine and writes its files.
pub(super) fn test(
    data: &Data,
    graph: &Graph,
    weights: &Weights,
    job: &Int8Job,
    position: usize,
    threads: usize,
) -> Result<Int8Accuracy, JobFailure> {
    let normalize = TrainedFacts::read(weights).map(|f| f.normalize);
    let normalize = normalize.unwrap_or_else(|_| data.meta.normalize.clone());
    let images = calibration_images(&data.train, &normalize, CALIBRATION_IMAGES);
    let options = QuantizeOptions {
        ranges: CALIBRATION_RANGES,
        reduce_range: false,
        threads,
    };
    let quantized =
        quantize(graph, weights, &images, options).map_err(|e| failed(FailureKind::Export, &e))?;
    let target = job.files.get(position);
    let mut meta = target.map(|t| t.meta.clone()).unwrap_or_default();
    meta.extra.extend(facts(&quantized));
    let file = file(&quantized, job.engine.format(), &meta)?;
    let classes = data.meta.classes.len();
    let found = evaluate_file(&file, job.engine, &data.test, classes, &normalize);
    let found = found.map_err(|e| failed(FailureKind::Device, &e))?;
    let accuracy = Int8Accuracy {
        test_accuracy: found.top1,
        test_top5: found.top5,
        engine: job.engine_label.clone(),
        calibration: quantized.describe(),
    };
    let written = target.map_or(&[][..], |t| &t.paths);
    meta.extra.extend([
        (keys::TEST_ACCURACY.into(), found.top1.to_string()),
        (keys::TEST_ENGINE.into(), accuracy.engine.clone()),
    ]);
    for (format, path) in written {
        let file = self::file(&quantized, *format, &meta)?;
        write_atomically(path, &file.bytes).map_err(super::infrastructure)?;
    }
    Ok(accuracy)
}

/// What an 8-bit file says of how it was made.
pub fn facts(quantized: &Quantized) -> [(String, String); 2] {
    [
        (keys::PRECISION.into(), "int8".into()),
        (keys::CALIBRATION.into(), quantized.describe()),
    ]
}

fn file(q: &Quantized, format: Format, meta: &ModelMeta) -> Result<ModelFile, JobFailure> {
    export_int8(q, format, meta).map_err(|e| failed(FailureKind::Export, &e))
}

fn failed(kind: FailureKind, error: &dyn std::error::Error) -> JobFailure {
    let message = error.to_string();
    JobFailure::Net(Failure { kind, message })
}
