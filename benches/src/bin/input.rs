//! `input FOLDER [--size PX] [--seconds S] [--json]`: how fast one thread prepares images.
//!
//! `decode`: images that are decoded, scaled, cut and written to an empty cache; `train`: images taken from that cache as a
//! step of training sees them, randomly cropped, scaled and mirrored. `benches/input_peer.py` runs the same
//! in Pillow and torchvision, interleaved with this program.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use mnas_train::{Augment, Data, Loader, LoaderPlan, OpenOptions, open};

struct Settings {
    folder: String,
    size: usize,
    seconds: f64,
    json: bool,
}

fn settings() -> Result<Settings, String> {
    let (mut folder, mut size, mut seconds, mut json) = (None, 224, 3.0, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let bad = |e: &dyn std::fmt::Display| format!("{arg}: {e}");
        match arg.as_str() {
            "--size" => size = value()?.parse().map_err(|e| bad(&e))?,
            "--seconds" => seconds = value()?.parse().map_err(|e| bad(&e))?,
            "--json" => json = true,
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => folder = Some(arg),
        }
    }
    let folder = folder.ok_or("which folder of images?")?;
    Ok(Settings {
        folder,
        size,
        seconds,
        json,
    })
}

/// The data set, decoded into an empty cache, and images decoded per second.
fn decode(s: &Settings) -> Result<(Data, f64), Box<dyn Error>> {
    let cache = tempfile::tempdir()?;
    let options = OpenOptions {
        image_size: Some(s.size),
        cache_dir: cache.path(),
        seed: 0,
        validation_fraction: Some(0.1),
        progress: &|_, _| {},
    };
    let start = Instant::now();
    let data = open(&s.folder, &options)?;
    let images = data.train.len() + data.validation.len() + data.test.len();
    Ok((data, images as f64 / start.elapsed().as_secs_f64()))
}

/// Training images prepared per second, by the loader's one thread.
fn train(data: Data, seconds: f64) -> std::io::Result<f64> {
    let plan = LoaderPlan {
        mean: vec![128; data.train.shape().c],
        split: data.train,
        augment: Augment {
            random_resized_crop: true,
            flip: true,
            ..Augment::NONE
        },
        batch: 32,
        seed: 0,
    };
    let mut loader = Loader::start(plan, 0..u64::MAX)?;
    let (mut images, start) = (0, Instant::now());
    while start.elapsed().as_secs_f64() < seconds {
        let batch = loader.next_batch();
        images += batch.labels.len();
        loader.recycle(batch);
    }
    Ok(images as f64 / start.elapsed().as_secs_f64())
}

fn run() -> Result<(), Box<dyn Error>> {
    let s = settings()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (data, decoded) = pool.install(|| decode(&s).map_err(|e| e.to_string()))?;
    let stored = data.train.stored_shape();
    let trained = train(data, s.seconds)?;
    if s.json {
        let line = serde_json::json!({"decode": decoded, "train": trained, "stored": [stored.h, stored.w]});
        println!("{line}");
    } else {
        println!(
            "decoded to {} x {}: {decoded:.0} images/s; for a step: {trained:.0} images/s",
            stored.h, stored.w
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("input: {e}");
            ExitCode::from(2)
        }
    }
}
