//! Stand-ins for tests: a plan, a clock, an evaluator that is a formula, an executor that fails by
//! seed.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mnas_deploy::MeasurePlan;
use mnas_net::{Purpose, Stream, Weights, cost, stream};
use mnas_search::{
    ControllerSpec, CurvePoint, Failure, FailureKind, Int8Accuracy, Int8Outcome, LatencyRecord,
    LatencySource, ObjectiveKind, Study,
};
use mnas_train::{Augment, Control, Normalize, Optimizer, PadFill, Recipe, Schedule, Storage};

use crate::clock::Clock;
use crate::dir::StudyDir;
use crate::error::StudyError;
use crate::evaluate::{self, Evaluator};
use crate::executor::queue::Queue;
use crate::executor::{Attempt, Executor, ExecutorError, Report, Verdict};
use crate::job::{
    Int8Job, Job, JobFailure, JobOutput, JobProgress, Measured, Net, Tested, TrainedNet,
    WeightsFrom,
};
use crate::plan::{
    DataPlan, DevicePlan, ExecutorPlan, FailureBudget, Limits, Plan, SpacePlan, Target,
};
use crate::run::{Extend, Rig, Summary, run_on, started};
use crate::stop::Stop;
use crate::store::{Memory, Store};
use crate::update::Update;
use crate::view;

/// A space of 1,152 samples, among them many that are the same network (skips and kernels of
/// absent expansions don't matter where widths change), so that duplicates turn up.
pub(crate) const SPACE: &str = "stem_k3_s2_c8
ir_r{1,2}_k{3,5}_s2_e{1,3}_c{8,16}_se{0,0.25}
ir_r1_k3_s2_e{1,3}_c{8,16,24}_skip{identity,none}
ds_r1_k{3,5}_s1_c{8,16,24}
head_c16
";

pub(crate) fn recipe(epochs: f64) -> Recipe {
    Recipe {
        epochs,
        batch: 16,
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        learning_rate: 0.05,
        schedule: Schedule::Constant,
        weight_decay: 1e-4,
        label_smoothing: 0.0,
        bn_momentum: 0.9,
        ema_decay: None,
        storage: Storage::F32,
        augment: Augment {
            random_resized_crop: false,
            pad_crop: 0,
            pad_fill: PadFill::Reflect,
            flip: false,
            cutout: 0,
        },
        train_images: None,
        eval_every: None,
    }
}

/// A plan for [`Formula`]: 40 trials in batches of 8.
pub(crate) fn plan() -> Plan {
    Plan {
        data: DataPlan {
            source: "fake".into(),
            image_size: None,
            validation_fraction: 0.1,
            split_seed: 0,
            fingerprint: "f00d".into(),
            shape: [16, 16, 1],
            classes: ["a", "b", "c", "d"].map(String::from).into(),
            normalize: Normalize {
                mean: vec![0.5],
                std: vec![0.25],
            },
        },
        device: device(),
        space: SpacePlan {
            name: "test".into(),
            text: SPACE.into(),
        },
        objective: ObjectiveKind::SOFT,
        target: Target::Fixed { target_ms: 0.6 },
        controller: ControllerSpec {
            algorithm: "ppo".into(),
            settings: BTreeMap::new(),
        },
        seed: 3,
        trials: 40,
        seconds_max: None,
        batch: 8,
        workers: 3,
        threads: 1,
        proxy: recipe(1.0),
        full: recipe(4.0),
        finalists: 2,
        references: vec!["mobilenet-v2-small".into()],
        measure: MeasurePlan::search(),
        measure_final: MeasurePlan::thorough(),
        limits: Limits {
            params: None,
            file_bytes: None,
            activation_bytes: None,
        },
        too_slow: 2.0,
        early_stop: None,
        attempts_max: 3,
        job_seconds_max: None,
        failures: FailureBudget {
            first: 10,
            window: 20,
            share: 0.5,
        },
        executor: ExecutorPlan::Local,
        staleness: 0,
        tensorboard: false,
    }
}

pub(crate) fn device() -> DevicePlan {
    DevicePlan {
        name: "table:formula".into(),
        device: "formula".into(),
        engine: "none".into(),
        library_hash: None,
        predicted: true,
    }
}

/// A clock that moves when told to.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeClock(Arc<AtomicU64>);

impl FakeClock {
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Accuracy and latency by formula: the same for the same network, whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct Formula {
    pub(crate) device: DevicePlan,
    pub(crate) fingerprint: String,
    /// Of this many networks, by hash, one diverges; 0 for none.
    pub(crate) diverges_in: u64,
}

impl Formula {
    pub(crate) fn new() -> Self {
        Self {
            device: device(),
            fingerprint: "f00d".into(),
            diverges_in: 7,
        }
    }

    fn macs(net: &Net) -> Result<f64, JobFailure> {
        Ok(cost(&evaluate::graph(net).map_err(JobFailure::Net)?).macs as f64)
    }

    /// 0.1 ms and 1 ms per 200,000 multiply-accumulates.
    fn latency(net: &Net) -> Result<LatencyRecord, JobFailure> {
        let ms = 0.1 + Self::macs(net)? / 2e5;
        let source = LatencySource::Predicted {
            table: "table:formula".into(),
        };
        Ok(LatencyRecord::from_samples(vec![ms], 0, false, source).unwrap())
    }

    /// Rises with size; a part by the text, so that networks of one size differ.
    fn accuracy(net: &Net) -> Result<f64, JobFailure> {
        let size = 1.0 - (-Self::macs(net)? / 1e5).exp();
        Ok(0.3 + 0.5 * size + 0.1 * (digit(&net.spec, 1000) as f64 / 1000.0))
    }

    fn train(&self, job: &crate::job::TrainJob) -> Result<JobOutput, JobFailure> {
        if self.diverges_in > 0 && digit(&job.net.spec, self.diverges_in) == 0 {
            let message = "training diverged".into();
            return Err(JobFailure::Net(Failure {
                kind: FailureKind::Diverged,
                message,
            }));
        }
        if let Some(path) = &job.weights_out {
            let graph = evaluate::graph(&job.net).map_err(JobFailure::Net)?;
            let weights = Weights::init(&graph, &mut stream(job.seed, job.trial, Purpose::Init));
            evaluate::write_atomically(path, &weights.to_safetensors()).unwrap();
        }
        let accuracy = Self::accuracy(&job.net)?;
        // The more accurate in the end, the lower its loss on the way, but for a little luck.
        let luck = 0.02 * digit(&job.net.spec, 97) as f64 / 97.0;
        let point = |i: u32| CurvePoint {
            epoch: job.recipe.epochs * f64::from(i) / 10.0,
            loss: 2.0 - accuracy + luck - 0.05 * f64::from(i),
            accuracy: None,
        };
        let curve: Vec<CurvePoint> = (1..=10).map(point).collect();
        if let Some(cut) = &job.cut
            && curve[cut.point - 1].loss > cut.loss_max
        {
            let seconds = job.recipe.epochs * cut.point as f64 / 10.0;
            return Ok(JobOutput::CutShort(curve[..cut.point].to_vec(), seconds));
        }
        Ok(JobOutput::Trained(TrainedNet {
            accuracy,
            curve,
            seconds: job.recipe.epochs,
        }))
    }
}

/// A number below `n` that follows from a text.
fn digit(text: &str, n: u64) -> u64 {
    // FNV-1a.
    let mix = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, mix) % n
}

impl Evaluator for Formula {
    fn perform(
        &mut self,
        job: &Job,
        _on_progress: &mut dyn FnMut(JobProgress) -> Control,
    ) -> Result<JobOutput, JobFailure> {
        match job {
            Job::OpenData(_) => Ok(JobOutput::Data(self.fingerprint.clone())),
            Job::OpenDevice(_) => Ok(JobOutput::Device(self.device.clone())),
            Job::Measure(job) => {
                let records = job.nets.iter().map(|(net, from)| {
                    assert!(matches!(from, WeightsFrom::Seed { .. }) || file_exists(from));
                    Self::latency(net).map_err(|e| match e {
                        JobFailure::Net(failure) => failure,
                        other => panic!("{other:?}"),
                    })
                });
                let records = records.collect();
                Ok(JobOutput::Measured(Measured {
                    records,
                    seconds: 0.5,
                }))
            }
            Job::Train(job) => self.train(job),
            Job::Test(job) => {
                let tested = job.nets.iter().map(|(net, from)| {
                    assert!(file_exists(from));
                    let top1 = Self::accuracy(net)? - 0.01;
                    let accuracy = |int8: &Int8Job| Int8Accuracy {
                        test_accuracy: top1 - 0.01,
                        test_top5: 1.0,
                        engine: int8.engine_label.clone(),
                        calibration: "made up".into(),
                    };
                    let int8 = job.int8.as_ref().map(|j| Int8Outcome::Tested(accuracy(j)));
                    Ok(Tested {
                        top1,
                        top5: 1.0,
                        int8,
                    })
                });
                tested.collect::<Result<_, _>>().map(JobOutput::Tested)
            }
        }
    }
}

fn file_exists(from: &WeightsFrom) -> bool {
    matches!(from, WeightsFrom::File(path) if path.exists())
}

/// How often a simulated worker fails: shares of attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Faults {
    pub(crate) lost: f64,
    pub(crate) crashed: f64,
    /// Reports of attempts that were given up, delivered late or twice.
    pub(crate) stale: f64,
}

impl Faults {
    pub(crate) const NONE: Faults = Faults {
        lost: 0.0,
        crashed: 0.0,
        stale: 0.0,
    };
}

/// An executor without threads: jobs under way end in an order drawn by seed, some of them badly.
/// Checks that nothing runs beside a measurement and that no attempt is submitted twice.
pub(crate) struct Simulated {
    pub(crate) evaluator: Formula,
    workers: usize,
    queue: Queue,
    running: Vec<Attempt>,
    late: Vec<Report>,
    submitted: HashSet<(String, u32)>,
    faults: Faults,
    draw: Stream,
    clock: FakeClock,
    /// Attempts ended so far.
    pub(crate) performed: u64,
    /// Raised once so many attempts have ended.
    pub(crate) stop_after: Option<(u64, Stop)>,
    /// Names of jobs in the order that they began.
    pub(crate) begun: Vec<String>,
}

impl Simulated {
    pub(crate) fn new(workers: usize, seed: u64, faults: Faults, clock: &FakeClock) -> Self {
        Self {
            evaluator: Formula::new(),
            workers,
            queue: Queue::default(),
            running: vec![],
            late: vec![],
            submitted: HashSet::new(),
            faults,
            draw: stream(seed, 0, Purpose::Sample),
            clock: clock.clone(),
            performed: 0,
            stop_after: None,
            begun: vec![],
        }
    }

    fn start_waiting(&mut self) {
        loop {
            let exclusive: Vec<bool> = self.running.iter().map(|a| a.job.exclusive()).collect();
            let Some(attempt) = self.queue.next(&exclusive, self.workers) else {
                break;
            };
            self.begun.push(attempt.id.0.clone());
            self.running.push(attempt);
        }
        let measuring = self
            .running
            .iter()
            .any(|a| matches!(a.job, Job::Measure(_)));
        assert!(!measuring || self.running.len() == 1, "{:?}", self.running);
    }

    fn end(&mut self, attempt: &Attempt) -> Verdict {
        let Faults { lost, crashed, .. } = self.faults;
        let u = self.draw.uniform();
        if u < lost {
            return Verdict::Lost {
                message: "killed by signal 9".into(),
            };
        }
        if u < lost + crashed {
            return Verdict::Crashed {
                message: "segmentation fault".into(),
            };
        }
        match self
            .evaluator
            .perform(&attempt.job, &mut |_| Control::Continue)
        {
            Ok(output) => Verdict::Done(output),
            Err(failure) => Verdict::Failed(failure),
        }
    }
}

impl Executor for Simulated {
    fn capacity(&self) -> usize {
        self.workers
    }

    fn submit(&mut self, attempt: Attempt) {
        let new = self
            .submitted
            .insert((attempt.id.0.clone(), attempt.number));
        assert!(
            new,
            "{} attempt {} was submitted before",
            attempt.id.0, attempt.number
        );
        self.queue.push(attempt);
    }

    fn poll(&mut self, _wait: Duration) -> Result<Vec<Report>, ExecutorError> {
        self.start_waiting();
        if self.running.is_empty() {
            return Ok(std::mem::take(&mut self.late));
        }
        let attempt = self.running.remove(self.draw.below(self.running.len()));
        self.clock.advance_ms(1000);
        self.performed += 1;
        if let Some((after, stop)) = &self.stop_after
            && self.performed >= *after
        {
            stop.request();
        }
        let verdict = self.end(&attempt);
        let report = Report {
            id: attempt.id,
            attempt: attempt.number,
            verdict,
        };
        let mut reports = vec![report.clone()];
        if self.draw.uniform() < self.faults.stale {
            self.late.push(report);
            let i = self.draw.below(self.late.len());
            reports.insert(0, self.late.swap_remove(i));
        }
        Ok(reports)
    }

    fn cancel_all(&mut self) {
        self.queue.clear();
        self.running.clear();
        self.submitted.clear();
    }
}

/// A study in memory and what it told its observer.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Memory,
    pub(crate) clock: FakeClock,
    pub(crate) stop: Stop,
    pub(crate) updates: Vec<Update>,
}

impl Bench {
    /// A study that has just been made.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut store = Memory::new();
        store.append(0, &[started(plan, 0).unwrap()]).unwrap();
        Self::on(store)
    }

    pub(crate) fn on(store: Memory) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            store,
            clock: FakeClock::default(),
            stop: Stop::new(),
            updates: vec![],
        }
    }

    pub(crate) fn executor(&self, workers: usize) -> Simulated {
        Simulated::new(workers, 0, Faults::NONE, &self.clock)
    }

    /// Runs the study on an executor.
    pub(crate) fn run(
        &mut self,
        executor: &mut dyn Executor,
        extend: Option<Extend>,
    ) -> Result<Summary, StudyError> {
        let updates = &mut self.updates;
        let rig = Rig {
            store: &mut self.store,
            executor,
            clock: &self.clock,
            dir: StudyDir::new(self.dir.path()),
            cache_dir: Path::new("cache").into(),
            stop: &self.stop,
            observer: &mut |update| updates.push(update.clone()),
        };
        run_on(rig, extend)
    }

    /// Runs it without faults on three workers.
    pub(crate) fn complete(&mut self) -> Summary {
        let mut executor = self.executor(3);
        self.run(&mut executor, None).unwrap()
    }

    pub(crate) fn study(&self) -> Study {
        view::fold(self.store.events()).unwrap()
    }
}
