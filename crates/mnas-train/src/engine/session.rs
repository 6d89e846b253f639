//! A session of the CPU engine: a plan, its memory and its threads.

use mnas_kernels::{BatchNorm, Floats, Isa, Workers};
use mnas_net::{Graph, Purpose, Weights, stream};

use super::pass::Pass;
use super::plan::Plan;
use super::tensors::Tensors;
use super::{EngineError, Session, SessionSpec, StepStats};
use crate::Optimizer;

/// One network in training on the CPU.
pub(super) struct CpuSession {
    core: Core,
    workers: Workers,
}

/// Everything but the threads.
struct Core {
    graph: Graph,
    spec: SessionSpec,
    plan: Plan,
    tensors: Tensors,
    norms: Vec<BatchNorm>,
    /// Activations and gradients; sized for evaluation until the first step.
    arena: Floats,
    /// Whether the arena is laid out for training.
    trains: bool,
    /// Network input of each channel and byte.
    tables: Vec<[f32; 256]>,
    dropout_seed: u64,
}

impl CpuSession {
    pub(super) fn new(graph: &Graph, spec: &SessionSpec) -> Result<Self, EngineError> {
        check(graph, spec)?;
        let plan = Plan::new(graph, spec)?;
        let floats = plan.training.arena as u64 + Tensors::floats(graph, spec);
        let bytes = floats.checked_mul(4).filter(|b| *b <= isize::MAX as u64);
        if bytes.is_none() {
            return Err(EngineError::OutOfMemory {
                bytes: floats.saturating_mul(4),
            });
        }
        let threads = spec.threads;
        let workers = Workers::new(threads, Isa::detect())
            .map_err(|reason| EngineError::Threads { threads, reason })?;
        let tables = (0..graph.input_shape().c).map(|c| {
            let (mean, std) = (spec.normalize.mean[c], spec.normalize.std[c]);
            std::array::from_fn(|b| (b as f32 / 255.0 - mean) / std)
        });
        let core = Core {
            norms: plan
                .norms
                .iter()
                .map(|n| BatchNorm::new(n.channels))
                .collect(),
            tensors: Tensors::new(graph, spec),
            graph: graph.clone(),
            spec: spec.clone(),
            plan,
            arena: Floats::default(),
            trains: false,
            tables: tables.collect(),
            dropout_seed: stream(spec.seed, spec.trial, Purpose::Dropout).bits(),
        };
        Ok(Self { core, workers })
    }
}

/// Checks the settings against their ranges and the graph.
fn check(graph: &Graph, spec: &SessionSpec) -> Result<(), EngineError> {
    let ensure = |setting, value: f64, expected, ok: bool| match ok {
        true => Ok(()),
        false => Err(EngineError::Spec {
            setting,
            value,
            expected,
        }),
    };
    let channels = graph.input_shape().c;
    let share = |setting, v: f32| ensure(setting, v.into(), "0 to 1", (0.0..=1.0).contains(&v));
    let positive = "a positive number";
    ensure("batch", spec.batch as f64, "at least 1", spec.batch > 0)?;
    ensure(
        "threads",
        spec.threads as f64,
        "at least 1",
        spec.threads > 0,
    )?;
    let decay = spec.weight_decay;
    ensure(
        "weight_decay",
        decay.into(),
        "at least 0",
        decay >= 0.0 && decay.is_finite(),
    )?;
    share("label_smoothing", spec.label_smoothing)?;
    share("bn_momentum", spec.bn_momentum)?;
    spec.ema_decay.map_or(Ok(()), |d| share("ema_decay", d))?;
    let per_channel = "one number per channel";
    for (setting, list) in [
        ("normalize.mean", &spec.normalize.mean),
        ("normalize.std", &spec.normalize.std),
    ] {
        ensure(
            setting,
            list.len() as f64,
            per_channel,
            list.len() == channels,
        )?;
    }
    for std in &spec.normalize.std {
        ensure(
            "normalize.std",
            (*std).into(),
            positive,
            *std > 0.0 && std.is_finite(),
        )?;
    }
    match spec.optimizer {
        Optimizer::Sgd { momentum, .. } => share("momentum", momentum),
        Optimizer::Muon { momentum, kernels } => {
            share("momentum", momentum)?;
            let ok = kernels > 0.0 && kernels.is_finite();
            ensure("kernels", kernels.into(), positive, ok)
        }
        Optimizer::RmsProp {
            decay,
            momentum,
            epsilon,
        } => {
            share("decay", decay)?;
            share("momentum", momentum)?;
            ensure(
                "epsilon",
                epsilon.into(),
                positive,
                epsilon > 0.0 && epsilon.is_finite(),
            )
        }
    }
}

impl Core {
    /// Images in a batch of `bytes`, if it is whole and of a size that fits.
    fn images(&self, bytes: usize, labels: Option<usize>) -> Result<usize, EngineError> {
        let image_bytes = self.graph.input_shape().len();
        let n = bytes / image_bytes;
        let whole = n * image_bytes == bytes && (1..=self.spec.batch).contains(&n);
        if whole && labels.is_none_or(|l| l == n) {
            Ok(n)
        } else {
            let (labels, batch) = (labels.unwrap_or(n), self.spec.batch);
            Err(EngineError::Batch {
                bytes,
                labels,
                batch,
                image_bytes,
            })
        }
    }

    /// Makes the arena large enough for training, or for evaluation alone.
    fn reserve(&mut self, training: bool) -> Result<(), EngineError> {
        if self.trains || (!training && !self.arena.is_empty()) {
            return Ok(());
        }
        let layout = if training {
            &self.plan.training
        } else {
            &self.plan.evaluation
        };
        self.arena = Floats::default();
        let bytes = 4 * layout.arena as u64;
        self.arena = Floats::try_zeros(layout.arena).ok_or(EngineError::OutOfMemory { bytes })?;
        self.trains = training;
        Ok(())
    }

    fn pass<'a>(&'a mut self, workers: &'a mut Workers, images: usize) -> Pass<'a> {
        let layout = if self.trains {
            &self.plan.training
        } else {
            &self.plan.evaluation
        };
        Pass {
            plan: &self.plan,
            places: &layout.places,
            spec: &self.spec,
            tensors: &mut self.tensors,
            norms: &mut self.norms,
            arena: &mut self.arena,
            tables: &self.tables,
            dropout_seed: self.dropout_seed,
            workers,
            images,
        }
    }
}

impl Session for CpuSession {
    fn step(
        &mut self,
        images: &[u8],
        labels: &[u16],
        learning_rate: f32,
    ) -> Result<StepStats, EngineError> {
        let core = &mut self.core;
        let n = core.images(images.len(), Some(labels.len()))?;
        let classes = core.plan.classes;
        if let Some(position) = labels.iter().position(|l| usize::from(*l) >= classes) {
            let label = labels[position];
            return Err(EngineError::Label {
                label,
                position,
                classes,
            });
        }
        core.reserve(true)?;
        Workers::enter(&mut self.workers, |workers| {
            let mut pass = core.pass(workers, n);
            pass.read_images(images);
            pass.forward_training();
            let stats = pass.loss(labels);
            if !stats.loss.is_finite() {
                return Err(EngineError::Diverged {
                    step: core.tensors.step + 1,
                });
            }
            pass.move_statistics();
            pass.backward();
            core.tensors.update(workers, &core.spec, learning_rate);
            Ok(stats)
        })
    }

    fn logits(&mut self, images: &[u8], out: &mut Vec<f32>) -> Result<(), EngineError> {
        let core = &mut self.core;
        let n = core.images(images.len(), None)?;
        core.reserve(false)?;
        Workers::enter(&mut self.workers, |workers| {
            let mut pass = core.pass(workers, n);
            pass.read_images(images);
            pass.forward_evaluation();
            out.clear();
            out.extend_from_slice(pass.logits());
        });
        Ok(())
    }

    fn weights(&self) -> Weights {
        self.core.tensors.weights()
    }

    fn load(&mut self, weights: &Weights) -> Result<(), EngineError> {
        weights.check(&self.core.graph)?;
        self.core.tensors.load(weights);
        Ok(())
    }

    fn state(&self) -> Weights {
        self.core.tensors.state()
    }

    fn load_state(&mut self, state: &Weights) -> Result<(), EngineError> {
        Ok(self.core.tensors.load_state(state)?)
    }

    fn memory_bytes(&self) -> u64 {
        let norms: u64 = self.core.norms.iter().map(BatchNorm::bytes).sum();
        let tables = (self.core.tables.len() * size_of::<[f32; 256]>()) as u64;
        self.core.arena.bytes() + self.core.tensors.bytes() + norms + tables + self.workers.bytes()
    }
}
