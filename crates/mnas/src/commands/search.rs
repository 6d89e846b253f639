//! `mnas search` and `mnas resume`.

use std::path::{Path, PathBuf};

use mnas_report::View;
use mnas_study::{Extend, Plan, RunEnv, StudyDir, Summary, Target};

use crate::cli::{ResumeArgs, SearchArgs};
use crate::commands::report;
use crate::config::Config;
use crate::exit::CommandResult;
use crate::images;
use crate::narrate::Narrator;
use crate::output::{Output, Progress};
use crate::plan;
use crate::registry::Registry;
use crate::stop::stop_flag;

/// Starts a study.
pub(crate) fn search(args: &SearchArgs, registry: &Registry, out: Output) -> CommandResult {
    let config = Config::of(args)?;
    let plan = plan::check(&config, registry, &mut Progress::new())?;
    if args.print_plan {
        out.print(&plan, || {
            serde_json::to_string_pretty(&plan).unwrap_or_default()
        });
        return Ok(());
    }
    let dir = config.dir.clone().unwrap_or_else(free_dir);
    match &config.store {
        None => mnas_study::create(&dir, &plan)?,
        Some(url) => mnas_study::create_in_database(&dir, &plan, url)?,
    }
    if !out.json {
        introduce(&plan, &dir);
    }
    go(&dir, None, out)
}

/// Continues a study, or extends one.
pub(crate) fn resume(args: &ResumeArgs, out: Output) -> CommandResult {
    go(&args.dir, args.trials.map(|trials| Extend { trials }), out)
}

fn go(dir: &Path, extend: Option<Extend>, out: Output) -> CommandResult {
    let stop = stop_flag();
    let mut env = RunEnv::this_program(images::cache_dir())?;
    env.extend = extend;
    let before = mnas_study::load(dir)?;
    let planned = mnas_study::plan_of(&before)?.trials;
    let mut narrator = Narrator::new(extend.map_or(planned, |e| e.trials));
    let run = mnas_study::run(dir, &env, &stop, &mut |update| narrator.tell(update));
    narrator.finish();
    // The page tells what there is, also after an error.
    let view = mnas_study::load(dir).map(|study| View::of(&study))?;
    let written = report::write(dir, &view);
    let summary = run?;
    written?;
    out.print(&view, || conclusion(dir, &view, &summary));
    Ok(())
}

fn conclusion(dir: &Path, view: &View, summary: &Summary) -> String {
    let report = StudyDir::new(dir).report();
    let mut text = format!("{}\nreport: {}", mnas_report::text(view), report.display());
    if let Some(reason) = &summary.stopped {
        text += &format!("\n{reason}; continue with: mnas resume {}", dir.display());
    }
    text
}

/// The first of `mnas-study`, `mnas-study-2`, ... that is free.
fn free_dir() -> PathBuf {
    let name = |n: u32| {
        if n == 1 {
            "mnas-study".into()
        } else {
            format!("mnas-study-{n}")
        }
    };
    (1..)
        .map(name)
        .map(PathBuf::from)
        .find(|p| !p.exists())
        .unwrap_or_else(|| "mnas-study".into())
}

fn introduce(plan: &Plan, dir: &Path) {
    if plan.measure.precision == mnas_deploy::Precision::Int8 {
        let slow = if plan.device.engine.starts_with("rten") {
            "; rten runs 8-bit files but no faster than float ones: host:litert and host:ort do"
        } else {
            ""
        };
        eprintln!("candidates are measured in 8 bits{slow}");
    }
    let [h, w, c] = plan.data.shape;
    let target = match &plan.target {
        Target::Fixed { target_ms } => format!("{target_ms} ms"),
        Target::Reference { name } => format!("the latency of {name}, measured first"),
    };
    eprintln!(
        "searching a network for {} ({} classes, {h}x{w}x{c})\n  device  {} ({} on {})\n  target  {target}\n  \
         space   {}, {} proposals by {}, seed {}\n  study   {} (Ctrl-C stops cleanly; `mnas resume {}` continues)\n\
         Each proposal is exported and measured, then trained briefly; accuracy and latency give its reward, and the \
         algorithm learns from it.\nThe best are then trained in full beside reference networks, tested once and exported.",
        plan.data.source,
        plan.data.classes.len(),
        plan.device.name,
        plan.device.engine,
        plan.device.device,
        plan.space.name,
        plan.trials,
        plan.controller.algorithm,
        plan.seed,
        dir.display(),
        dir.display()
    );
}
