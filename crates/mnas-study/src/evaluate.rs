//! What a job does: [`NetEvaluator`] trains and measures real networks; a table may stand in.

mod facts;
pub(crate) mod int8;
mod measure;
mod train;

#[cfg(test)]
mod tests;

use mnas_deploy::{Device, DeviceKind};
use mnas_net::{Graph, NetSpec, Purpose, Weights, stream};
use mnas_search::{Failure, FailureKind};
use mnas_train::{Control, Data, OpenOptions};

use crate::job::{Changed, DataJob, Job, JobFailure, JobOutput, JobProgress, Net, WeightsFrom};
use crate::plan::DevicePlan;

pub use facts::keys;
pub use facts::write_atomically;

/// Performs jobs, one at a time. The seam for tables of known networks and for tests.
pub trait Evaluator: Send {
    /// Performs a job to its end, reporting progress on the way.
    ///
    /// # Errors
    /// [`JobFailure`], which tells a network's failure from the surroundings'.
    fn perform(
        &mut self,
        job: &Job,
        on_progress: &mut dyn FnMut(JobProgress) -> Control,
    ) -> Result<JobOutput, JobFailure>;
}

/// Trains with the CPU engine and measures on devices by name. Keeps data and device open from job
/// to job.
pub struct NetEvaluator {
    devices: Vec<&'static dyn DeviceKind>,
    data: Option<(DataJob, Data)>,
    device: Option<(String, Box<dyn Device>)>,
}

impl NetEvaluator {
    /// An evaluator that opens devices of these kinds ([`mnas_deploy::DEVICES`] are built in), with
    /// nothing open yet.
    pub fn new(devices: Vec<&'static dyn DeviceKind>) -> Self {
        Self {
            devices,
            data: None,
            device: None,
        }
    }

    /// The images, which must be those planned.
    fn data(
        &mut self,
        job: &DataJob,
        on_progress: &mut dyn FnMut(JobProgress) -> Control,
    ) -> Result<&Data, JobFailure> {
        if self.data.as_ref().is_none_or(|(opened, _)| opened != job) {
            let on_progress = std::cell::RefCell::new(on_progress);
            let options = OpenOptions {
                image_size: job.image_size,
                cache_dir: &job.cache_dir,
                seed: job.split_seed,
                validation_fraction: Some(job.validation_fraction),
                progress: &|done, all| {
                    let fraction = done as f64 / all.max(1) as f64;
                    // Decoding can't be cut short; a stop ends the process.
                    let _ = (on_progress.borrow_mut())(JobProgress::at(fraction));
                },
            };
            let data = mnas_train::open(&job.source, &options).map_err(infrastructure)?;
            if data.meta.fingerprint != job.fingerprint {
                return Err(JobFailure::Changed {
                    what: Changed::Data,
                    planned: job.fingerprint.clone(),
                    found: data.meta.fingerprint,
                });
            }
            self.data = Some((job.clone(), data));
        }
        match &self.data {
            Some((_, data)) => Ok(data),
            None => unreachable!("the data was opened above"),
        }
    }

    fn device(&mut self, name: &str) -> Result<&mut dyn Device, JobFailure> {
        if self
            .device
            .as_ref()
            .is_none_or(|(opened, _)| opened != name)
        {
            self.device = None;
            let device = mnas_deploy::open_among(&self.devices, name).map_err(infrastructure)?;
            self.device = Some((name.into(), device));
        }
        match &mut self.device {
            Some((_, device)) => Ok(&mut **device),
            None => unreachable!("the device was opened above"),
        }
    }

    /// The device, which must be the one planned.
    fn planned_device(&mut self, plan: &DevicePlan) -> Result<&mut dyn Device, JobFailure> {
        let device = self.device(&plan.name)?;
        let found = DevicePlan::from(device.info());
        if found != *plan {
            return Err(JobFailure::Changed {
                what: Changed::Device,
                planned: plan.to_string(),
                found: found.to_string(),
            });
        }
        Ok(device)
    }
}

impl Evaluator for NetEvaluator {
    fn perform(
        &mut self,
        job: &Job,
        on_progress: &mut dyn FnMut(JobProgress) -> Control,
    ) -> Result<JobOutput, JobFailure> {
        match job {
            Job::OpenData(job) => {
                let data = self.data(job, on_progress)?;
                Ok(JobOutput::Data(data.meta.fingerprint.clone()))
            }
            Job::OpenDevice(name) => Ok(JobOutput::Device(DevicePlan::from(
                self.device(name)?.info(),
            ))),
            Job::Measure(job) => {
                let device = self.planned_device(&job.device)?;
                measure::measure(device, job).map(JobOutput::Measured)
            }
            Job::Train(job) => {
                let data = self.data(&job.data, on_progress)?;
                train::train(data, job, on_progress)
            }
            Job::Test(job) => {
                let data = self.data(&job.data, on_progress)?;
                train::test(data, job, on_progress).map(JobOutput::Tested)
            }
        }
    }
}

/// A network's graph. A text or shape that doesn't fit says something of the network.
pub(crate) fn graph(net: &Net) -> Result<Graph, Failure> {
    let broken = |message: String| Failure {
        kind: FailureKind::Crashed,
        message,
    };
    let spec: NetSpec = net
        .spec
        .parse()
        .map_err(|e| broken(format!("{}: {e}", net.name)))?;
    spec.graph(net.shape(), net.classes)
        .map_err(|e| broken(format!("{}: {e}", net.name)))
}

/// A network's weights.
pub(crate) fn weights(graph: &Graph, from: &WeightsFrom) -> Result<Weights, JobFailure> {
    match from {
        WeightsFrom::Seed { seed, trial } => Ok(Weights::init(
            graph,
            &mut stream(*seed, *trial, Purpose::Init),
        )),
        WeightsFrom::File(path) => {
            let failed = |e: &dyn std::fmt::Display| JobFailure::Infrastructure {
                message: format!("{}: {e}", path.display()),
            };
            let bytes = std::fs::read(path).map_err(|e| failed(&e))?;
            let weights = Weights::from_safetensors(&bytes).map_err(|e| failed(&e))?;
            weights.check(graph).map_err(|e| failed(&e))?;
            Ok(weights)
        }
    }
}

fn infrastructure(error: impl std::fmt::Display) -> JobFailure {
    JobFailure::Infrastructure {
        message: error.to_string(),
    }
}
