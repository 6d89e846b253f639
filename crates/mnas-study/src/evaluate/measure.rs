//! Measuring on a device.

use std::time::Instant;

use mnas_deploy::{Candidate, Device, DeviceInfo, MeasureError, Samples};
use mnas_net::{Graph, Weights};
use mnas_search::{Failure, FailureKind, LatencyRecord, LatencySource};

use super::infrastructure;
use crate::job::{JobFailure, MeasureJob, Measured};

/// Latency of each network, in order.
pub(super) fn measure(device: &mut dyn Device, job: &MeasureJob) -> Result<Measured, JobFailure> {
    let started = Instant::now();
    let mut built: Vec<Result<(Graph, Weights), Failure>> = vec![];
    for (net, from) in &job.nets {
        built.push(match super::graph(net) {
            Ok(graph) => {
                let weights = super::weights(&graph, from)?;
                Ok((graph, weights))
            }
            Err(failure) => Err(failure),
        });
    }
    let candidates: Vec<Candidate<'_>> = job
        .nets
        .iter()
        .zip(&built)
        .filter_map(|((net, _), built)| {
            let (graph, weights) = built.as_ref().ok()?;
            Some(Candidate {
                name: &net.name,
                spec: &net.spec,
                graph,
                weights,
            })
        })
        .collect();
    let info = device.info().clone();
    let measured = device
        .measure(&candidates, &job.plan)
        .map_err(infrastructure)?;
    let mut measured = measured.into_iter();
    let records = built.iter().map(|built| match built {
        Err(failure) => Err(failure.clone()),
        Ok(_) => match measured.next() {
            Some(Ok(samples)) => record(&samples, &info),
            Some(Err(error)) => failed(error, &info),
            None => Err(Failure {
                kind: FailureKind::Device,
                message: format!("{} answered for too few networks", info.name),
            }),
        },
    });
    Ok(Measured {
        records: records.collect(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn source(info: &DeviceInfo) -> LatencySource {
    if info.predicted {
        LatencySource::Predicted {
            table: info.name.clone(),
        }
    } else {
        LatencySource::Measured {
            device: info.device.clone(),
            engine: info.engine.clone(),
        }
    }
}

fn record(samples: &Samples, info: &DeviceInfo) -> Result<LatencyRecord, Failure> {
    let times = samples.times_ms.clone();
    LatencyRecord::from_samples(times, samples.dropped, samples.noisy, source(info)).ok_or_else(
        || Failure {
            kind: FailureKind::Device,
            message: format!("{} gave a latency that is no positive number", info.name),
        },
    )
}

fn failed(error: MeasureError, info: &DeviceInfo) -> Result<LatencyRecord, Failure> {
    let kind = match &error {
        // Runs too long for the plan's time are a latency all the same: one rough sample, marked
        // noisy, which puts the network where it belongs.
        MeasureError::TooSlow { run_ms, .. } => {
            let rough = LatencyRecord::from_samples(vec![*run_ms], 0, true, source(info));
            return rough.ok_or_else(|| Failure {
                kind: FailureKind::Device,
                message: error.to_string(),
            });
        }
        MeasureError::Unstable { .. } => FailureKind::UnstableLatency,
        MeasureError::Export(_) => FailureKind::Export,
        MeasureError::Engine(_) | MeasureError::Predict(_) | MeasureError::Command(_) => {
            FailureKind::Device
        }
    };
    Err(Failure {
        kind,
        message: error.to_string(),
    })
}
