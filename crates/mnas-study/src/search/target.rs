//! Before the search: are data and device the planned ones, what is the target, can it be met?

use mnas_net::{Graph, Purpose, cost, stream, zoo};
use mnas_search::{Event, LatencyRecord, Tokens};

use crate::error::StudyError;
use crate::job::{Changed, Job, JobId, JobOutput, MeasureJob, Net, WeightsFrom};
use crate::plan::{PlanError, Target};
use crate::session::{Flow, JobEnd, Session, Work};
use crate::update::{Phase, Update};

/// Samples among which the search for the smallest network starts.
const SAMPLES: u64 = 200;

/// Opens data and device in a worker, and refuses others than the planned ones.
pub(crate) fn probe(session: &mut Session<'_>) -> Result<Flow, StudyError> {
    session.begin(Phase::Probe, 2);
    let work = |name: &str, id: &str, job| Work {
        name: name.into(),
        id: JobId(id.into()),
        trial: None,
        job,
    };
    let data = work("images", "open-data", Job::OpenData(session.data_job()));
    let device = session.plan().device.clone();
    let device = work("device", "open-device", Job::OpenDevice(device.name));
    let flow = session.run_jobs(vec![data], &mut |session, work, end| match end {
        JobEnd::Done(JobOutput::Data(found)) => {
            let planned = session.plan().data.fingerprint.clone();
            unchanged(Changed::Data, planned, found)
        }
        JobEnd::Done(_) => Err(StudyError::WrongAnswer { job: work.name }),
        JobEnd::Failed(f) => Err(StudyError::Data { message: f.message }),
        JobEnd::Lost { message, .. } => Err(StudyError::Data { message }),
    })?;
    if flow == Flow::Stopped {
        return Ok(flow);
    }
    session.run_jobs(vec![device], &mut |session, work, end| match end {
        JobEnd::Done(JobOutput::Device(found)) => {
            let planned = session.plan().device.to_string();
            unchanged(Changed::Device, planned, found.to_string())
        }
        JobEnd::Done(_) => Err(StudyError::WrongAnswer { job: work.name }),
        JobEnd::Failed(f) => Err(device_error("the device can't be opened", f.message)),
        JobEnd::Lost { message, .. } => Err(device_error("the device can't be opened", message)),
    })
}

fn unchanged(what: Changed, planned: String, found: String) -> Result<(), StudyError> {
    match planned == found {
        true => Ok(()),
        false => Err(StudyError::Changed {
            what,
            planned,
            found,
        }),
    }
}

fn device_error(what: &str, message: String) -> StudyError {
    StudyError::Device {
        what: what.into(),
        message,
    }
}

/// Sets the target, measuring its reference where it is one, and makes sure that the space holds a
/// network that meets it.
pub(crate) fn find_target(session: &mut Session<'_>) -> Result<Flow, StudyError> {
    if session.study().target().is_some() {
        return Ok(Flow::Done);
    }
    session.begin(Phase::Target, 2);
    let (target_ms, reference, latency) = match session.plan().target.clone() {
        Target::Fixed { target_ms } => (target_ms, None, None),
        Target::Reference { name } => {
            let named = zoo::find(&name);
            let named = named.map_err(|source| PlanError::Zoo {
                name: name.clone(),
                source,
            })?;
            let net = session.net(&named.name, &named.spec.canonical().to_string());
            let plan = session.plan().measure_final.clone();
            let Some(found) = measure(session, "target", vec![net], plan)? else {
                return Ok(Flow::Stopped);
            };
            match found.into_iter().next() {
                Some(Ok(latency)) => (latency.median_ms, Some(named.name), Some(latency)),
                Some(Err(message)) => {
                    return Err(device_error(
                        &format!("{name} could not be measured"),
                        message,
                    ));
                }
                None => return Err(StudyError::WrongAnswer { job: name }),
            }
        }
    };
    if check_reachable(session, target_ms)? == Flow::Stopped {
        return Ok(Flow::Stopped);
    }
    session.append(vec![Event::Target {
        target_ms,
        reference: reference.clone(),
        latency,
    }])?;
    session.tell(Update::Target {
        target_ms,
        reference,
    });
    Ok(Flow::Done)
}

/// Measures the space's smallest network. Its lower quartile counts, which a busy machine disturbs
/// least: only a target that is missed without doubt is refused.
fn check_reachable(session: &mut Session<'_>, target_ms: f64) -> Result<Flow, StudyError> {
    let Some(spec) = smallest(session) else {
        return Ok(Flow::Done);
    };
    let net = session.net("the space's smallest network", &spec);
    let plan = session.plan().measure.clone();
    let Some(found) = measure(session, "smallest", vec![net], plan)? else {
        return Ok(Flow::Stopped);
    };
    match found.into_iter().next() {
        Some(Ok(latency)) if latency.p25_ms > target_ms => Err(StudyError::TargetUnreachable {
            target_ms,
            fastest_ms: latency.p25_ms,
            spec,
        }),
        Some(Err(message)) => {
            session.warn(format!(
                "whether the target can be met is unknown: the smallest network could not be measured: {message}"
            ));
            Ok(Flow::Done)
        }
        _ => Ok(Flow::Done),
    }
}

/// A network of few multiply-accumulates: the smallest of some samples, then for each decision in
/// turn the choice that makes it smaller still.
fn smallest(session: &Session<'_>) -> Option<String> {
    let space = session.space();
    let macs = |tokens: &Tokens| -> Option<(u64, String)> {
        let spec = space.decode(tokens).ok()?.canonical();
        let graph: Graph = spec
            .graph(
                session.plan().data.input(),
                session.plan().data.classes.len(),
            )
            .ok()?;
        Some((cost(&graph).macs, spec.to_string()))
    };
    let sample = |i| space.sample(&mut stream(session.plan().seed, i, Purpose::Sample));
    let sampled = (0..SAMPLES).map(sample);
    let sampled = sampled.filter_map(|t| Some((macs(&t)?, t)));
    let ((mut least, mut spec), mut tokens) = sampled.min_by_key(|((macs, _), _)| *macs)?;
    for (i, decision) in space.decisions().iter().enumerate() {
        for choice in 0..decision.choices.len() as u16 {
            let mut other = tokens.clone();
            other[i] = choice;
            if let Some((fewer, text)) = macs(&other).filter(|(m, _)| *m < least) {
                (least, spec, tokens) = (fewer, text, other);
            }
        }
    }
    Some(spec)
}

/// Latencies of networks measured together with seeded weights; the message of each that fails.
/// `None` where a stop was asked for.
pub(crate) fn measure(
    session: &mut Session<'_>,
    id: &str,
    nets: Vec<Net>,
    plan: mnas_deploy::MeasurePlan,
) -> Result<Option<Vec<Result<LatencyRecord, String>>>, StudyError> {
    let seed = session.plan().seed;
    let name = match &nets[..] {
        [net] => net.name.clone(),
        nets => format!("{} networks", nets.len()),
    };
    let weights = WeightsFrom::Seed { seed, trial: 0 };
    let work = Work {
        name,
        id: JobId(format!("{id}-measure")),
        trial: None,
        job: Job::Measure(MeasureJob {
            device: session.plan().device.clone(),
            nets: nets.into_iter().map(|n| (n, weights.clone())).collect(),
            plan,
        }),
    };
    let mut found = vec![];
    let flow = session.run_jobs(vec![work], &mut |_, work, end| match end {
        JobEnd::Done(JobOutput::Measured(measured)) => {
            let records = measured.records.into_iter();
            found = records.map(|r| r.map_err(|f| f.message)).collect();
            Ok(())
        }
        JobEnd::Done(_) => Err(StudyError::WrongAnswer { job: work.name }),
        JobEnd::Failed(f) => Err(device_error(&work.name, f.message)),
        JobEnd::Lost { attempts, message } => Err(StudyError::JobLost {
            job: work.name,
            attempts,
            message,
        }),
    })?;
    Ok((flow == Flow::Done).then_some(found))
}
