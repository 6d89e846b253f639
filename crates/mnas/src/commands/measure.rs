//! `mnas measure NET|FILE... --device V`.

use std::path::Path;

use mnas_deploy::{
    Candidate, DeviceInfo, MeasurePlan, ModelFile, ModelSource, Samples, read_model,
};
use serde_json::json;

use crate::cli::MeasureArgs;
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::net::{Instance, Net, is_model};
use crate::output::{Output, table};
use crate::registry::Registry;

/// Measures networks or model files, interleaved.
pub(crate) fn run(args: &MeasureArgs, registry: &Registry, out: Output) -> CommandResult {
    let mut device = registry.open_device(&args.device).blame(Blame::Device)?;
    let mut plan = MeasurePlan::thorough();
    plan.runs = args.runs;
    plan.core = args.core;
    plan.precision = args.precision.into();
    plan.check().blame(Blame::Usage)?;
    let files = args.nets.iter().filter(|n| is_model(Path::new(n))).count();
    let measured = if files == 0 {
        networks(args, &plan, &mut *device)?
    } else if files == args.nets.len() {
        model_files(args, &plan, &mut *device)?
    } else {
        return Err(
            CommandError::usage("give networks or model files, not both")
                .hint("`mnas export` turns a network into a file"),
        );
    };
    let info = device.info().clone();
    let mut rows = vec![];
    for (name, result) in args.nets.iter().zip(measured) {
        let samples =
            result.map_err(|e| CommandError::new(Blame::Device, anyhow::anyhow!("{name}: {e}")))?;
        rows.push((name.clone(), samples));
    }
    report(&rows, &info, out);
    Ok(())
}

type Measured = Vec<Result<Samples, mnas_deploy::MeasureError>>;

fn networks(
    args: &MeasureArgs,
    plan: &MeasurePlan,
    device: &mut dyn mnas_deploy::Device,
) -> Result<Measured, CommandError> {
    let nets: Vec<Net> = args
        .nets
        .iter()
        .map(|n| Net::resolve(n))
        .collect::<Result<_, _>>()?;
    let instances: Vec<Instance> = nets
        .iter()
        .map(|n| n.instance(args.image_size, args.classes))
        .collect::<Result<_, _>>()?;
    let texts: Vec<String> = nets.iter().map(|n| n.spec.to_string()).collect();
    let candidates: Vec<Candidate> = nets
        .iter()
        .zip(&instances)
        .zip(&texts)
        .map(|((net, instance), spec)| Candidate {
            name: &net.name,
            spec,
            graph: &instance.graph,
            weights: &instance.weights,
        })
        .collect();
    device.measure(&candidates, plan).blame(Blame::Device)
}

fn model_files(
    args: &MeasureArgs,
    plan: &MeasurePlan,
    device: &mut dyn mnas_deploy::Device,
) -> Result<Measured, CommandError> {
    let read = |path: &String| -> anyhow::Result<ModelFile> {
        let bytes = std::fs::read(path).map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
        let (file, _) = read_model(bytes).map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
        Ok(file)
    };
    let files: Vec<ModelFile> = args
        .nets
        .iter()
        .map(read)
        .collect::<Result<_, _>>()
        .blame(Blame::Data)?;
    let models: Vec<ModelSource> = args
        .nets
        .iter()
        .zip(&files)
        .map(|(name, file)| ModelSource { name, file })
        .collect();
    device.measure_models(&models, plan).blame(Blame::Device)
}

fn report(rows: &[(String, Samples)], info: &DeviceInfo, out: Output) {
    let networks: Vec<_> = rows
        .iter()
        .map(|(name, s)| {
            json!({
                "name": name, "median_ms": s.median_ms(), "p25_ms": s.p25_ms(), "p90_ms": s.p90_ms(),
                "iqr_ms": s.iqr_ms(), "cv": s.cv(), "kept": s.times_ms.len(), "dropped": s.dropped,
                "runs_per_sample": s.runs_per_sample, "noisy": s.noisy, "notes": s.notes,
                "predicted": s.predicted, "stated_error": s.stated_error, "samples_ms": s.times_ms })
        })
        .collect();
    out.print(&json!({ "device": info, "networks": networks }), || {
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|(name, s)| {
                let ms = |v: f64| format!("{v:.4}");
                let kept = format!(
                    "{}/{}",
                    s.times_ms.len(),
                    s.times_ms.len() + s.dropped as usize
                );
                let noise = if s.noisy { "noisy" } else { "" };
                let name = name
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .chars()
                    .take(40)
                    .collect();
                vec![
                    name,
                    ms(s.median_ms()),
                    ms(s.p25_ms()),
                    ms(s.p90_ms()),
                    ms(s.iqr_ms()),
                    kept,
                    noise.into(),
                ]
            })
            .collect();
        let notes: Vec<String> = rows
            .iter()
            .flat_map(|(n, s)| s.notes.iter().map(move |note| format!("\n{n}: {note}")))
            .collect();
        let how = if info.predicted {
            "predicted by"
        } else {
            "measured with"
        };
        format!(
            "{how} {} on {}\n{}{}",
            info.engine,
            info.device,
            table(
                &["network", "median ms", "p25", "p90", "iqr", "kept", ""],
                &cells
            ),
            notes.concat()
        )
    });
}
