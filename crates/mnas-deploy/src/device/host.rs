//! This machine's processor: `host`, `host:litert`, `host:ort`, `host:rten`.
//!
//! `host` is LiteRT where its library is found, else ONNX Runtime, else rten; the device then
//! names the engine, its version and its library, so that a later run can tell whether it measures
//! by the same rule.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mnas_net::{Purpose, stream};

use super::{
    Candidate, Device, DeviceError, DeviceInfo, DeviceKind, Measured, ModelSource, anchor,
};
use crate::engine::library::LibraryError;
use crate::engine::profile::{OperatorTime, Runs};
use crate::engine::{self, EngineError, EngineId, InferenceEngine, load_model};
use crate::export::{ModelFile, ModelMeta, export_as};
use crate::measure::protocol::{self, System};
use crate::measure::{MeasureError, MeasurePlan, Samples};
use crate::os;

pub(super) struct HostKind;

impl DeviceKind for HostKind {
    fn scheme(&self) -> &'static str {
        "host"
    }

    fn describe(&self) -> &'static str {
        "host, host:litert, host:ort, host:rten   this machine's processor, one core"
    }

    fn open(&self, rest: Option<&str>) -> Result<Box<dyn Device>, DeviceError> {
        let engine = match rest {
            None => preferred()?,
            Some(name) => name
                .parse::<EngineId>()
                .map_err(|e| DeviceError::UnknownEngine { name: e.0 })?,
        };
        Ok(Box::new(Host::open(engine)?))
    }

    fn probe(&self) -> Vec<DeviceInfo> {
        let engines = EngineId::ALL.into_iter();
        engines.filter_map(|e| info(e).ok()).collect()
    }
}

pub(crate) fn info(engine: EngineId) -> Result<DeviceInfo, DeviceError> {
    if !engine.is_built() {
        let built = EngineId::ALL.into_iter().filter(|e| e.is_built());
        return Err(DeviceError::NotBuilt {
            engine,
            built: built.collect(),
        });
    }
    let version = engine::version(engine)?;
    Ok(DeviceInfo {
        name: format!("host:{engine}"),
        device: os::cpu_model(),
        engine: version.label,
        library_hash: version.library_hash,
        predicted: false,
    })
}

/// The first engine that is here. One that is here but broken is an error: to measure with
/// another one silently would change what the figures mean.
pub(crate) fn preferred() -> Result<EngineId, DeviceError> {
    let mut missing = None;
    for engine in EngineId::ALL {
        match info(engine) {
            Ok(_) => return Ok(engine),
            Err(DeviceError::NotBuilt { .. }) => {}
            Err(DeviceError::Engine(EngineError::Library(e @ LibraryError::Missing { .. }))) => {
                missing = missing.or(Some(DeviceError::Engine(e.into())));
            }
            Err(broken) => return Err(broken),
        }
    }
    Err(missing.unwrap_or(DeviceError::NotBuilt {
        engine: EngineId::Rten,
        built: vec![],
    }))
}

struct Host {
    engine: EngineId,
    info: DeviceInfo,
    /// Loaded when first needed, kept for the device's life.
    anchor: Option<Box<dyn InferenceEngine>>,
}

/// One measurement at a time in a process: two would measure each other.
static MEASURING: Mutex<()> = Mutex::new(());

impl Host {
    fn open(engine: EngineId) -> Result<Self, DeviceError> {
        Ok(Self {
            engine,
            info: info(engine)?,
            anchor: None,
        })
    }

    /// Measures the models that could be made; the others keep their error in their place.
    fn measure_files(
        &mut self,
        files: Vec<Result<Cow<'_, ModelFile>, MeasureError>>,
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        plan.check()?;
        let core = choose_core(plan.core)?;
        let engine = self.engine;
        let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
        engine::on_own_thread(engine, move || {
            if let Some(core) = core {
                os::pin_thread(core).map_err(|source| DeviceError::Pin { core, source })?;
            }
            if self.anchor.is_none() {
                self.anchor = Some(load_anchor(engine)?);
            }
            let count = files.len();
            let (mut models, mut failures) = (vec![], BTreeMap::new());
            for (i, file) in files.into_iter().enumerate() {
                match file.and_then(|f| Ok(load_with_image(&f, engine)?)) {
                    Ok(model) => models.push(model),
                    Err(error) => drop(failures.insert(i, error)),
                }
            }
            let mut system = System::new(core);
            let measured = protocol::measure(&mut models, self.anchor.as_mut(), plan, &mut system);
            let on_core = |samples: Samples| Samples { core, ..samples };
            let mut measured = measured.into_iter().map(|m| m.map(on_core));
            let answer = |i| match failures.remove(&i) {
                Some(error) => Err(error),
                None => measured
                    .next()
                    .expect("the protocol answers for each model, and what isn't one failed"),
            };
            Ok((0..count).map(answer).collect())
        })
    }
}

impl Device for Host {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        let format = self.engine.format();
        let files = candidates
            .iter()
            .map(|c| {
                let meta = ModelMeta {
                    name: c.name.into(),
                    ..ModelMeta::default()
                };
                let file = export_as(plan.precision, c.graph, c.weights, format, &meta)?;
                Ok(Cow::Owned(file))
            })
            .collect();
        self.measure_files(files, plan)
    }

    fn measure_models(
        &mut self,
        models: &[ModelSource<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        let files = models.iter().map(|m| Ok(Cow::Borrowed(m.file))).collect();
        self.measure_files(files, plan)
    }
}

/// Where the time of a run goes on this machine, operator by operator in the order in which they run.
/// The profile itself takes time: what the operators take together is no latency.
///
/// # Errors
/// [`DeviceError::Core`], [`DeviceError::Pin`], or what the engine says:
/// [`EngineError::NoProfile`] where it tells nothing.
pub fn profile(
    file: &ModelFile,
    engine: EngineId,
    plan: &MeasurePlan,
) -> Result<Vec<OperatorTime>, DeviceError> {
    plan.check()?;
    let core = choose_core(plan.core)?;
    let image = image(file.input.len());
    let runs = Runs {
        image: &image,
        warmup: plan.warmup,
        runs: plan.runs,
    };
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    engine::on_own_thread(engine, || {
        if let Some(core) = core {
            os::pin_thread(core).map_err(|source| DeviceError::Pin { core, source })?;
        }
        Ok(engine::profile::profile(file, engine, runs)?)
    })
}

/// The core to measure on: the one asked for, else the last that this process may use (the first
/// ones serve most interrupts); `None` where threads can't be pinned.
fn choose_core(asked: Option<usize>) -> Result<Option<usize>, DeviceError> {
    let allowed = os::allowed_cores();
    match asked {
        Some(core) if !allowed.contains(&core) => Err(DeviceError::Core { core, allowed }),
        Some(core) => Ok(Some(core)),
        None => Ok(allowed.last().copied()),
    }
}

fn load_anchor(engine: EngineId) -> Result<Box<dyn InferenceEngine>, DeviceError> {
    let file = anchor::model(engine.format()).map_err(DeviceError::Anchor)?;
    Ok(load_with_image(&file, engine)?)
}

/// A loaded model with a random image set: a black one would let an engine skip work, and run
/// into none of the slow paths that a real image does.
pub(crate) fn load_with_image(
    file: &ModelFile,
    engine: EngineId,
) -> Result<Box<dyn InferenceEngine>, EngineError> {
    let mut model = load_model(file, engine)?;
    model.set_input(&image(model.input_shape().len()))?;
    Ok(model)
}

fn image(values: usize) -> Vec<f32> {
    let mut random = stream(0, 0, Purpose::Measure);
    (0..values).map(|_| random.normal() as f32).collect()
}
