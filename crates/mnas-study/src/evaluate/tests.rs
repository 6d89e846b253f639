//! The real evaluator on the embedded images, a network of a thousand multiply-accumulates, and
//! the engine that is compiled in.

use std::path::Path;

use mnas_deploy::{EngineId, Format, MeasurePlan, ModelMeta};
use mnas_net::{NetSpec, Purpose, Shape, Weights, stream};
use mnas_search::{FailureKind, Int8Outcome, LatencySource};
use mnas_train::{Control, OpenOptions};

use super::{Evaluator, NetEvaluator, keys};
use crate::fakes::recipe;
use crate::job::{
    Changed, DataJob, Int8Job, Int8Target, Job, JobFailure, JobOutput, JobProgress, MeasureJob,
    Net, TestJob, TrainJob, TrainedNet, WeightsFrom,
};
use crate::plan::DevicePlan;

const NET: &str = "stem_k3_s2_c8\nds_r1_k3_s2_c16\nhead_c16";

struct Fixture {
    dir: tempfile::TempDir,
    data: DataJob,
    evaluator: NetEvaluator,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            image_size: None,
            cache_dir: dir.path(),
            seed: 0,
            validation_fraction: Some(0.1),
            progress: &|_, _| {},
        };
        let meta = mnas_train::open("fashion-mnist-10k", &options)
            .unwrap()
            .meta;
        let data = DataJob {
            source: "fashion-mnist-10k".into(),
            image_size: None,
            validation_fraction: 0.1,
            split_seed: 0,
            cache_dir: dir.path().into(),
            fingerprint: meta.fingerprint,
        };
        Self {
            dir,
            data,
            evaluator: NetEvaluator::new(mnas_deploy::DEVICES.to_vec()),
        }
    }

    fn perform(&mut self, job: &Job) -> Result<JobOutput, JobFailure> {
        self.evaluator.perform(job, &mut |_| Control::Continue)
    }

    fn train_job(&self) -> TrainJob {
        let mut recipe = recipe(1.0);
        recipe.train_images = Some(128);
        TrainJob {
            net: net(NET),
            data: self.data.clone(),
            recipe,
            seed: 1,
            trial: 2,
            cut: None,
            threads: 1,
            weights_out: Some(self.dir.path().join("weights/a.safetensors")),
            checkpoint: Some(self.dir.path().join("weights/a.checkpoint")),
        }
    }

    fn train(&mut self, job: &TrainJob) -> TrainedNet {
        match self.perform(&Job::Train(job.clone())) {
            Ok(JobOutput::Trained(net)) => net,
            other => panic!("{other:?}"),
        }
    }

    fn device(&mut self) -> DevicePlan {
        match self.perform(&Job::OpenDevice("host:rten".into())) {
            Ok(JobOutput::Device(device)) => device,
            other => panic!("{other:?}"),
        }
    }
}

fn net(spec: &str) -> Net {
    Net {
        name: "a net".into(),
        spec: spec.into(),
        input: [28, 28, 1],
        classes: 10,
    }
}

fn read(path: &Path) -> Weights {
    Weights::from_safetensors(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_training_is_repeated_exactly_and_answered_from_its_file() {
    let mut f = Fixture::new();
    let job = f.train_job();
    let path = job.weights_out.clone().unwrap();
    let mut reports: Vec<JobProgress> = vec![];
    let output = f.evaluator.perform(&Job::Train(job.clone()), &mut |p| {
        reports.push(p);
        Control::Continue
    });
    let Ok(JobOutput::Trained(first)) = output else {
        panic!("{output:?}")
    };
    assert!(!reports.is_empty() && reports.is_sorted_by(|a, b| a.fraction <= b.fraction));
    assert!(first.accuracy > 0.0 && !first.curve.is_empty());
    let weights = read(&path);
    assert_eq!(weights.metadata[keys::SPEC], NET);
    assert_eq!(weights.metadata[keys::INPUT], "28x28x1");
    assert_eq!(weights.metadata[keys::CLASSES].lines().count(), 10);
    assert_eq!(
        weights.metadata[keys::VALIDATION_ACCURACY],
        first.accuracy.to_string()
    );
    assert!(!job.checkpoint.as_ref().unwrap().exists());

    // Answered from the file, its seconds included, which a second training wouldn't repeat.
    assert_eq!(f.train(&job), first);
    std::fs::remove_file(&path).unwrap();
    let again = f.train(&job);
    assert_eq!((again.accuracy, again.curve), (first.accuracy, first.curve));
    assert_eq!(read(&path).tensors, weights.tensors);

    // Another job doesn't take the file for its own.
    let other = TrainJob { trial: 3, ..job };
    f.train(&other);
    assert_ne!(read(&path).tensors, weights.tensors);
}

#[test]
fn a_torn_checkpoint_is_thrown_away() {
    let mut f = Fixture::new();
    let job = f.train_job();
    let path = job.checkpoint.clone().unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "torn").unwrap();
    f.train(&job);
    assert!(!path.exists());
}

#[test]
fn a_network_s_failures_are_told_from_the_surroundings() {
    let mut f = Fixture::new();
    let kind = |result: Result<JobOutput, JobFailure>| match result {
        Err(JobFailure::Net(failure)) => failure.kind,
        other => panic!("{other:?}"),
    };
    let mut wild = f.train_job();
    wild.recipe.learning_rate = 1e3;
    wild.recipe.epochs = 8.0;
    assert_eq!(kind(f.perform(&Job::Train(wild))), FailureKind::Diverged);
    let mut broken = f.train_job();
    broken.net.spec = "stem_k3_s2_c8\nzz_r1".into();
    assert_eq!(kind(f.perform(&Job::Train(broken))), FailureKind::Crashed);

    let mut other = f.data.clone();
    other.fingerprint = "0123".into();
    let changed = f.perform(&Job::OpenData(other));
    let Err(JobFailure::Changed {
        what: Changed::Data,
        planned,
        ..
    }) = changed
    else {
        panic!("{changed:?}")
    };
    assert_eq!(planned, "0123");
    for job in [
        Job::OpenDevice("abacus:7".into()),
        Job::OpenData(DataJob {
            source: "no/such/images".into(),
            ..f.data.clone()
        }),
    ] {
        let failed = f.perform(&job);
        assert!(
            matches!(failed, Err(JobFailure::Infrastructure { .. })),
            "{failed:?}"
        );
    }
}

#[test]
fn networks_are_measured_on_the_planned_device_only() {
    let mut f = Fixture::new();
    let device = f.device();
    let seed = WeightsFrom::Seed { seed: 1, trial: 1 };
    let job = |device: &DevicePlan| {
        Job::Measure(MeasureJob {
            device: device.clone(),
            nets: vec![
                (net(NET), seed.clone()),
                (net("no net"), seed.clone()),
                (net(NET), seed.clone()),
            ],
            plan: MeasurePlan::search(),
        })
    };
    let Ok(JobOutput::Measured(measured)) = f.perform(&job(&device)) else {
        panic!()
    };
    let [Ok(first), Err(broken), Ok(third)] = &measured.records[..] else {
        panic!("{measured:?}")
    };
    assert_eq!(broken.kind, FailureKind::Crashed);
    for record in [first, third] {
        assert!(record.samples_ms.len() >= 50 && record.median_ms > 0.0);
        let LatencySource::Measured { engine, .. } = &record.source else {
            panic!("{record:?}")
        };
        assert!(engine.starts_with("rten "), "{engine}");
    }
    let other = DevicePlan {
        engine: "rten 0.0.1".into(),
        ..device
    };
    let changed = f.perform(&job(&other));
    assert!(
        matches!(
            changed,
            Err(JobFailure::Changed {
                what: Changed::Device,
                ..
            })
        ),
        "{changed:?}"
    );
}

#[test]
fn the_test_split_is_tested_with_stored_weights() {
    let mut f = Fixture::new();
    let job = f.train_job();
    f.train(&job);
    let test = |path: &Path| {
        let nets = vec![(net(NET), WeightsFrom::File(path.into()))];
        Job::Test(TestJob {
            nets,
            data: job.data.clone(),
            threads: 1,
            int8: None,
        })
    };
    let tested = f.perform(&test(job.weights_out.as_ref().unwrap()));
    let Ok(JobOutput::Tested(tested)) = tested else {
        panic!("{tested:?}")
    };
    assert!(tested[0].top1 > 0.0 && tested[0].top5 >= tested[0].top1 && tested[0].top5 <= 1.0);
    let missing = f.perform(&test(Path::new("none.safetensors")));
    assert!(
        matches!(missing, Err(JobFailure::Infrastructure { .. })),
        "{missing:?}"
    );
}

#[test]
fn networks_are_tested_in_8_bits_as_the_file_that_ships() {
    let mut f = Fixture::new();
    let mut training = f.train_job();
    training.recipe.train_images = Some(1024);
    f.train(&training);
    let path = f.dir.path().join("models/a.int8.onnx");
    let int8 = Int8Job {
        engine: EngineId::Rten,
        engine_label: "rten of this test".into(),
        files: vec![Int8Target {
            paths: vec![(Format::Onnx, path.clone())],
            meta: ModelMeta::default(),
        }],
    };
    let weights = WeightsFrom::File(training.weights_out.clone().unwrap());
    let job = Job::Test(TestJob {
        nets: vec![(net(NET), weights)],
        data: training.data.clone(),
        threads: 1,
        int8: Some(int8),
    });
    let Ok(JobOutput::Tested(tested)) = f.perform(&job) else {
        panic!()
    };
    let Some(Int8Outcome::Tested(int8)) = &tested[0].int8 else {
        panic!("{tested:?}")
    };
    assert!(
        tested[0].top1 > 0.15,
        "no more than chance: {}",
        tested[0].top1
    );
    assert!(
        (int8.test_accuracy - tested[0].top1).abs() < 0.03,
        "{int8:?} for {}",
        tested[0].top1
    );
    assert_eq!(int8.engine, "rten of this test");
    let (_, meta) = mnas_deploy::read_model(std::fs::read(path).unwrap()).unwrap();
    assert_eq!(meta.extra[keys::PRECISION], "int8");
    assert_eq!(meta.extra[keys::CALIBRATION], int8.calibration);
    assert_eq!(
        meta.extra[keys::TEST_ACCURACY],
        int8.test_accuracy.to_string()
    );
}

/// Folding a huge scale into large kernels overflows; in float, ReLU6 takes what is infinite back.
#[test]
fn a_network_without_an_8_bit_form_is_tested_in_float_beside_the_others() {
    let mut f = Fixture::new();
    let text = "stem_k3_s2_c8_actrelu6\nhead_c0";
    let spec: NetSpec = text.parse().unwrap();
    let graph = spec.graph(Shape::new(28, 28, 1), 10).unwrap();
    let good = Weights::init(&graph, &mut stream(0, 0, Purpose::Init));
    let mut bad = good.clone();
    for (name, value) in [("stem.conv.weight", 100.0), ("stem.bn.weight", 3e38)] {
        bad.tensors.get_mut(name).unwrap().data.fill(value);
    }
    let job = |f: &Fixture, weights: [&Weights; 2]| {
        let file = |i: usize| {
            let path = f.dir.path().join(format!("{i}.safetensors"));
            std::fs::write(&path, weights[i].to_safetensors()).unwrap();
            (net(text), WeightsFrom::File(path))
        };
        Job::Test(TestJob {
            nets: (0..2).map(file).collect(),
            data: f.data.clone(),
            threads: 1,
            int8: Some(Int8Job {
                engine: EngineId::Rten,
                engine_label: "rten".into(),
                files: vec![Int8Target::default(), Int8Target::default()],
            }),
        })
    };
    let job = job(&f, [&bad, &good]);
    let Ok(JobOutput::Tested(tested)) = f.perform(&job) else {
        panic!("the failure of one network failed the job")
    };
    assert!(
        matches!(&tested[0].int8, Some(Int8Outcome::Failed(failure))
            if failure.kind == FailureKind::Export && failure.message.contains("not finite")),
        "{:?}",
        tested[0]
    );
    assert!(
        matches!(tested[1].int8, Some(Int8Outcome::Tested(_))),
        "{:?}",
        tested[1]
    );
}
