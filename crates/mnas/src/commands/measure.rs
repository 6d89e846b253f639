//! `mnas measure NET|FILE... --device V`.

use std::path::Path;

use mnas_deploy::{
    Candidate, DeviceInfo, EngineId, MeasurePlan, ModelFile, ModelMeta, ModelSource, OperatorTime,
    Samples, export_as, profile, read_model,
};

use crate::cli::MeasureArgs;
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::net::{Instance, Net, is_model};
use crate::output::Output;
use crate::registry::Registry;

mod report;

/// What was found of one network.
struct Row {
    name: String,
    samples: Samples,
    /// Where its time goes; empty where not asked for.
    profile: Vec<OperatorTime>,
}

/// Measures networks or model files, interleaved.
pub(crate) fn run(args: &MeasureArgs, registry: &Registry, out: Output) -> CommandResult {
    let mut device = registry.open_device(&args.device).blame(Blame::Device)?;
    let mut plan = MeasurePlan::thorough();
    plan.runs = args.runs;
    plan.core = args.core;
    plan.precision = args.precision.into();
    plan.check().blame(Blame::Usage)?;
    if args.compare && args.nets.len() < 2 {
        return Err(CommandError::usage("--compare needs two networks or more"));
    }
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
        let profile = match args.profile {
            true => profile_of(name, args, &plan, &info)?,
            false => vec![],
        };
        let name = name.clone();
        rows.push(Row {
            name,
            samples,
            profile,
        });
    }
    let rounds = args.compare.then_some(plan.rounds);
    report::print(&rows, &info, rounds, out);
    Ok(())
}

/// Operators' times of one network or file in the engine that measured it.
fn profile_of(
    name: &str,
    args: &MeasureArgs,
    plan: &MeasurePlan,
    info: &DeviceInfo,
) -> Result<Vec<OperatorTime>, CommandError> {
    let engine = info
        .name
        .strip_prefix("host:")
        .and_then(|e| e.parse::<EngineId>().ok());
    let engine = engine.ok_or_else(|| {
        CommandError::usage(format!("{} tells no operators' times", info.name))
            .hint("--profile needs host:litert or host:ort")
    })?;
    let file = if is_model(Path::new(name)) {
        read_file(name).blame(Blame::Data)?
    } else {
        let net = Net::resolve(name)?;
        let instance = net.instance(args.image_size, args.classes)?;
        let meta = ModelMeta::default();
        let (graph, weights) = (&instance.graph, &instance.weights);
        export_as(plan.precision, graph, weights, engine.format(), &meta).blame(Blame::Data)?
    };
    profile(&file, engine, plan).blame(Blame::Device)
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
    let files: Vec<ModelFile> = args
        .nets
        .iter()
        .map(|path| read_file(path))
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

fn read_file(path: &str) -> anyhow::Result<ModelFile> {
    let bytes = std::fs::read(path).map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
    let (file, _) = read_model(bytes).map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
    Ok(file)
}
