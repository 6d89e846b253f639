//! `mnas device calibrate --device V --space S --out FILE`.

use std::path::PathBuf;

use mnas_deploy::{
    Agreement, CalibrateError, Calibration, DeviceInfo, MeasurePlan, Role, Specimen, parts,
};
use mnas_net::{Graph, NetSpec, Purpose, Shape, stream};
use mnas_report::{Prediction, calibration_chart};
use mnas_search::Space;
use serde_json::json;

use crate::cli::CalibrateArgs;
use crate::commands::space::side_of;
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::files::write_atomically;
use crate::output::{Output, Progress, table};
use crate::plan;
use crate::registry::Registry;

/// Measures, fits, judges and writes. A predictor that is too far off is written, marked, and is an
/// error of the device.
pub(crate) fn run(args: &CalibrateArgs, registry: &Registry, out: Output) -> CommandResult {
    let space = plan::space(&args.space)?;
    let specimens = specimens(args, &space)?;
    let mut device = registry.open_device(&args.device).blame(Blame::Device)?;
    let mut measure = MeasurePlan::search();
    measure.core = args.core;
    let mut progress = Progress::new();
    let done = mnas_deploy::calibrate(&mut *device, specimens, &measure, args.seed, |n, of| {
        progress.show("measuring", n as u64, of as u64, "", None);
    });
    progress.finish();
    let done = done.map_err(|e| match e {
        CalibrateError::Predicted { .. } => CommandError::usage(e),
        e => CommandError::new(Blame::Device, e),
    })?;
    let info = device.info().clone();
    let chart = args.out.with_extension("svg");
    write_atomically(&args.out, file(&done, &info, args, &space)?.as_bytes())?;
    write_atomically(&chart, picture(&done, &info).as_bytes())?;
    report(&done, &info, (&args.out, &chart), out);
    match &done.model.unfit {
        None => Ok(()),
        Some(reason) => Err(CommandError {
            blame: Blame::Device,
            message: format!("not a good predictor of {}: {reason}", info.name),
            hint: Some(
                "measure on a quieter machine, or give --networks and --parts more; the file is marked and is not opened"
                    .into(),
            ),
        }),
    }
}

/// Networks to fit, in a balanced design; networks to judge, drawn as a search draws them; and the
/// layers that differ most among the former.
fn specimens(args: &CalibrateArgs, space: &Space) -> Result<Vec<Specimen>, CommandError> {
    let least = Agreement::NETWORKS_MIN;
    if args.held_out < least || args.networks < least {
        return Err(CommandError::usage(format!(
            "--networks {} and --held-out {}: at least {least} of each are needed",
            args.networks, args.held_out
        )));
    }
    let side = args.image_size.unwrap_or(side_of(space));
    let mut random = stream(args.seed, 0, Purpose::Sample);
    let mut made = vec![];
    let mut add = |tokens: &[u16], role| {
        let spec: NetSpec = space
            .decode(tokens)
            .map_err(|e| CommandError::usage(format!("{}: {e}", space.name())))?;
        let graph = spec
            .graph(Shape::new(side, side, 3), args.classes)
            .map_err(|e| CommandError::usage(format!("{} at {side} pixels: {e}", space.name())))?;
        made.push(Specimen {
            name: spec.hash(),
            spec: spec.to_string(),
            graph,
            role,
        });
        Ok::<_, CommandError>(())
    };
    for tokens in space.balanced(args.networks, &mut random) {
        add(&tokens, Role::Fit)?;
    }
    for _ in 0..args.held_out {
        add(&space.sample(&mut random), Role::HeldOut)?;
    }
    let fitted: Vec<Graph> = made[..args.networks]
        .iter()
        .map(|s| s.graph.clone())
        .collect();
    made.extend(parts(&fitted, args.parts).into_iter().map(|p| Specimen {
        name: format!("{} of {}", p.layer, p.graph.input_shape()),
        spec: String::new(),
        graph: p.graph,
        role: Role::Part,
    }));
    Ok(made)
}

/// The predictor's file: the model under a head that says how it came about.
fn file(
    done: &Calibration,
    info: &DeviceInfo,
    args: &CalibrateArgs,
    space: &Space,
) -> Result<String, CommandError> {
    let count = |role| done.points.iter().filter(|p| p.role == role).count();
    let a = &done.held_out;
    let head = format!(
        "# mnas {} device calibrate --device {} --space {} --seed {}\n# Fitted to {} networks and {} layers; judged on {} networks kept out of the fit:\n# mean error {:.1} %, Kendall tau {:.3}, {:.0} % within 10 %.\n",
        env!("CARGO_PKG_VERSION"),
        info.name.escape_debug(),
        space.name().escape_debug(),
        args.seed,
        count(Role::Fit),
        count(Role::Part),
        a.networks,
        100.0 * a.mape,
        a.kendall_tau,
        100.0 * a.within_10_percent,
    );
    let model = toml::to_string(&done.model).blame(Blame::Bug)?;
    Ok(head + &model)
}

fn picture(done: &Calibration, info: &DeviceInfo) -> String {
    let whole = done.points.iter().filter(|p| p.role != Role::Part);
    let predictions: Vec<Prediction> = whole
        .map(|p| Prediction {
            name: p.name.clone(),
            measured_ms: p.measured_ms,
            predicted_ms: p.predicted_ms,
            held_out: p.role == Role::HeldOut,
        })
        .collect();
    let title = format!(
        "Predicted against measured latency, {}, {}",
        info.engine, info.device
    );
    calibration_chart(&title, &predictions)
}

fn report(done: &Calibration, info: &DeviceInfo, files: (&PathBuf, &PathBuf), out: Output) {
    let points: Vec<_> = done
        .points
        .iter()
        .map(|p| {
            json!({ "name": p.name, "role": p.role.as_str(), "measured_ms": p.measured_ms,
                "predicted_ms": p.predicted_ms, "noisy": p.noisy })
        })
        .collect();
    let failures: Vec<_> = done
        .failures
        .iter()
        .map(|(name, why)| json!({ "name": name, "reason": why }))
        .collect();
    let value = json!({
        "good": done.model.unfit.is_none(), "unfit": done.model.unfit, "device": info,
        "held_out": done.held_out, "macs_only": done.macs_only,
        "file": files.0, "chart": files.1, "failures": failures, "points": points });
    out.print(&value, || text(done, info, files));
}

fn text(done: &Calibration, info: &DeviceInfo, files: (&PathBuf, &PathBuf)) -> String {
    let row = |name: &str, a: &Agreement| {
        vec![
            name.to_string(),
            format!("{:.1} %", 100.0 * a.mape),
            format!("{:.3}", a.kendall_tau),
            format!("{:.0} %", 100.0 * a.within_10_percent),
        ]
    };
    let noisy = done.points.iter().filter(|p| p.noisy).count();
    let mut lines = format!(
        "{} on {}: {} measured, {} of them noisy, {} failed\n{} networks kept out of the fit\n{}\n",
        info.engine,
        info.device,
        done.points.len(),
        noisy,
        done.failures.len(),
        done.held_out.networks,
        table(
            &["predictor", "mean error", "Kendall tau", "within 10 %"],
            &[
                row("this one", &done.held_out),
                row("multiply-accumulates alone", &done.macs_only),
            ],
        ),
    );
    for (name, why) in done.failures.iter().take(3) {
        lines += &format!("\nfailed: {name}: {why}");
    }
    let verdict = if done.model.unfit.is_none() {
        "good"
    } else {
        "not good"
    };
    lines
        + &format!(
            "\n{verdict}: {} (chart {})",
            files.0.display(),
            files.1.display()
        )
}
