//! `mnas export --check`: the file in every engine present against the float network.

use mnas_deploy::{EngineError, EngineId, InferenceEngine, ModelFile, interpret, load_model};
use serde::Serialize;

use crate::net::Instance;
use crate::output::table;

/// What an engine made of the file.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    engine: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    /// How its answers differ from the float network's.
    Ran {
        images: usize,
        /// Largest difference of a logit, relative to the largest logit.
        largest: f64,
        /// Root mean square difference, relative to that of the logits.
        rms: f64,
        /// Share of images with the same likeliest class.
        same_class: f64,
    },
    /// It can't run the file; the others may.
    Failed { error: String },
}

/// Compares every engine that is present and reads the format, on each image.
pub(crate) fn run(instance: &Instance, file: &ModelFile, images: &[Vec<f32>]) -> Vec<Check> {
    let expected: Vec<Vec<f32>> = images
        .iter()
        .map(|image| interpret(&instance.graph, &instance.weights, image))
        .collect();
    let here = mnas_deploy::engines().into_iter();
    let readers = here.filter(|(id, _): &(EngineId, String)| id.format() == file.format);
    readers
        .map(|(id, engine)| {
            let compared =
                load_model(file, id).and_then(|mut m| compare(&mut *m, images, &expected));
            let outcome = compared.unwrap_or_else(|e| Outcome::Failed {
                error: e.to_string(),
            });
            Check { engine, outcome }
        })
        .collect()
}

fn compare(
    model: &mut dyn InferenceEngine,
    images: &[Vec<f32>],
    expected: &[Vec<f32>],
) -> Result<Outcome, EngineError> {
    let (mut worst, mut largest) = (0.0f64, 0.0f64);
    let (mut squares, mut total, mut same) = (0.0, 0.0, 0usize);
    for (image, expected) in images.iter().zip(expected) {
        let got = model.run(image)?;
        for (a, b) in got.iter().zip(expected) {
            let d = (f64::from(*a) - f64::from(*b)).abs();
            worst = if d.is_nan() { f64::NAN } else { worst.max(d) };
            largest = largest.max(f64::from(b.abs()));
            squares += d * d;
            total += f64::from(*b).powi(2);
        }
        same += usize::from(likeliest(&got) == likeliest(expected));
    }
    Ok(Outcome::Ran {
        images: images.len(),
        largest: worst / largest.max(f64::MIN_POSITIVE),
        rms: (squares / total.max(f64::MIN_POSITIVE)).sqrt(),
        same_class: same as f64 / images.len().max(1) as f64,
    })
}

fn likeliest(values: &[f32]) -> Option<usize> {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b]))
}

/// The table that people read.
pub(crate) fn text(checks: &[Check]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    let row = |c: &Check| match &c.outcome {
        Outcome::Ran {
            largest,
            rms,
            same_class,
            ..
        } => vec![
            c.engine.clone(),
            format!("{largest:.2e}"),
            format!("{rms:.2e}"),
            format!("{:.0} %", 100.0 * same_class),
        ],
        Outcome::Failed { error } => {
            vec![
                c.engine.clone(),
                "-".into(),
                "-".into(),
                format!("failed: {error}"),
            ]
        }
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    let heads = ["against the float network", "largest", "rms", "same class"];
    format!("\n\n{}", table(&heads, &rows))
}
