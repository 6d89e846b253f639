//! A whole study with real training and measuring, killed in the middle and resumed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use mnas_deploy::{MeasurePlan, load_model, read_model};
use mnas_search::{ControllerSpec, FinalKind, FinalOutcome, ObjectiveKind, Outcome, Study};
use mnas_study::{
    DataPlan, DevicePlan, ExecutorPlan, FailureBudget, Limits, Plan, RunEnv, SpacePlan, Stop,
    Target, create, load, open_net, run,
};
use mnas_train::{Meta, OpenOptions, Recipe};

use crate::workers::await_gone;

const SPACE: &str = "stem_k3_s2_c8
ir_r1_k{3,5}_s2_e{1,3}_c{8,16}
ds_r1_k3_s2_c{16,24}
head_c32
";

fn env(cache: &Path) -> RunEnv {
    RunEnv {
        program: std::env::current_exe().unwrap(),
        args: vec!["worker".into()],
        cache_dir: cache.into(),
        extend: None,
    }
}

/// Runs the study in a folder, as the command does.
pub(crate) fn search(dir: &str, cache: &str) -> ExitCode {
    match run(
        Path::new(dir),
        &env(Path::new(cache)),
        &Stop::new(),
        &mut |_| {},
    ) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn meta(cache: &Path) -> Meta {
    let options = OpenOptions {
        image_size: None,
        cache_dir: cache,
        seed: 0,
        validation_fraction: Some(0.1),
        progress: &|_, _| {},
    };
    mnas_train::open("fashion-mnist-10k", &options)
        .unwrap()
        .meta
}

fn plan(cache: &Path) -> Plan {
    let meta = meta(cache);
    let recipe = |epochs, images| Recipe {
        epochs,
        train_images: Some(images),
        ..Recipe::proxy(&meta)
    };
    let device = mnas_deploy::open("host:rten").unwrap();
    Plan {
        data: DataPlan::of(&meta, None, 0),
        device: DevicePlan::from(device.info()),
        space: SpacePlan {
            name: "tiny".into(),
            text: SPACE.into(),
        },
        objective: ObjectiveKind::SOFT,
        target: Target::Fixed { target_ms: 50.0 },
        controller: ControllerSpec {
            algorithm: "random".into(),
            settings: BTreeMap::new(),
        },
        seed: 5,
        trials: 8,
        seconds_max: None,
        batch: 4,
        workers: 2,
        threads: 1,
        proxy: recipe(1.0, 256),
        full: recipe(3.0, 1024),
        finalists: 1,
        references: vec![],
        measure: MeasurePlan::search(),
        measure_final: MeasurePlan::search(),
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
            first: 4,
            window: 0,
            share: 0.5,
        },
        executor: ExecutorPlan::Local,
        staleness: 0,
        tensorboard: false,
    }
}

/// Process ids of a process's children.
fn children(id: u32) -> Vec<u32> {
    let ids = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    ids.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

/// Kills a search once its store holds an outcome, and returns the ids of its workers.
fn kill_in_the_middle(dir: &Path, cache: &Path) -> Vec<u32> {
    let mut search = Command::new(std::env::current_exe().unwrap())
        .arg("search")
        .args([dir, cache])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    let finished = || load(dir).is_ok_and(|s| s.trials().iter().any(|t| t.outcome.is_some()));
    while !finished() {
        assert!(Instant::now() < deadline, "no trial finished");
        assert!(
            search.try_wait().unwrap().is_none(),
            "the search ended by itself"
        );
        std::thread::yield_now();
    }
    let workers = children(search.id());
    assert!(!workers.is_empty());
    search.kill().unwrap();
    search.wait().unwrap();
    workers
}

fn tokens(study: &Study) -> Vec<Vec<u16>> {
    study.trials().iter().map(|t| t.tokens.clone()).collect()
}

pub(crate) fn a_killed_search_leaves_no_worker_and_goes_on() {
    if !Path::new("/proc/self/task").exists() {
        println!("skipped: a_killed_search_leaves_no_worker_and_goes_on (needs /proc)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (dir, cache): (PathBuf, PathBuf) = (folder.path().join("s"), folder.path().join("cache"));
    create(&dir, &plan(&cache)).unwrap();
    kill_in_the_middle(&dir, &cache)
        .into_iter()
        .for_each(await_gone);

    let before = load(&dir).unwrap();
    let summary = run(&dir, &env(&cache), &Stop::new(), &mut |_| {}).unwrap();
    let study = load(&dir).unwrap();
    assert!(summary.ended && study.ended_ms().is_some(), "{summary:?}");
    assert_eq!(study.trials().len(), 8);
    assert_eq!(tokens(&study)[..before.trials().len()], tokens(&before));
    // What had an outcome kept it; what was under way was tried afresh.
    for (old, new) in before.trials().iter().zip(study.trials()) {
        assert!(
            old.outcome.is_none() || old.outcome == new.outcome,
            "{old:?} {new:?}"
        );
    }
    for trial in study.trials() {
        let Some(Outcome::Done(metrics)) = &trial.outcome else {
            panic!("{trial:?}")
        };
        assert!(
            metrics.accuracy > 0.0 && metrics.latency.samples_ms.len() >= 50,
            "{trial:?}"
        );
    }
    check_final(&dir, &study);
    assert!(
        run(&dir, &env(&cache), &Stop::new(), &mut |_| {})
            .unwrap()
            .ended
    );
}

fn check_final(dir: &Path, study: &Study) {
    let [result] = study.finals() else {
        panic!("{:?}", study.finals())
    };
    assert!(matches!(result.entry.kind, FinalKind::Finalist { .. }));
    let FinalOutcome::Done {
        files,
        test_accuracy,
        validation_accuracy,
        ..
    } = &result.outcome
    else {
        panic!("{result:?}")
    };
    // Ten classes: far over chance after three epochs of 1,024 images.
    assert!(
        *validation_accuracy > 0.25 && test_accuracy.unwrap() > 0.25,
        "{result:?}"
    );
    let opened = open_net(dir, "best").unwrap();
    assert_eq!(opened.spec.to_string(), result.entry.spec);
    let weights = opened.weights.unwrap();
    let test = &weights.metadata[mnas_study::keys::TEST_ACCURACY];
    assert_eq!(test.parse::<f64>().unwrap(), test_accuracy.unwrap());
    let onnx = files.iter().find(|f| f.ends_with(".onnx")).unwrap();
    let (file, meta) = read_model(std::fs::read(dir.join(onnx)).unwrap()).unwrap();
    assert_eq!(meta.classes, opened.data.classes);
    let mut engine = load_model(&file, "rten".parse().unwrap()).unwrap();
    let answer = engine.run(&vec![0.0; file.input.len()]).unwrap();
    assert!(
        answer.len() == 10 && answer.iter().all(|v| v.is_finite()),
        "{answer:?}"
    );
    assert!(!dir.join("weights").read_dir().unwrap().any(|f| {
        f.unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "checkpoint")
    }));
}
