//! How busy a search keeps its workers, and what the search itself costs: trials that sleep, on this
//! machine or on a cluster, so that nothing but the search and the scheduler is measured.
//!
//!     utilisation local|slurm|ray [KEY=VALUE...]
//!
//! Keys: `trials`, `batch`, `workers`, `staleness`, `seconds` (of a training), `measure_seconds` (of
//! a measurement; 0 predicts latencies without a job), `dir`, `per_job`, `address` (Ray's),
//! `measure_args` (Slurm's, by commas), `phone` (units of Ray's custom resource of that name),
//! `algorithm`, `resume` (this many trials more, by a run of its own).
//!
//! Prints JSON: the share of the workers' time that went into training, whether measurements
//! overlapped each other, wall milliseconds a trial (all, and the last hundred or more), and the
//! seconds from a resume to its first outcome. With `seconds=0` the milliseconds are the search's own: proposals, observations, the store and the talk with the workers.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mnas_deploy::MeasurePlan;
use mnas_net::{NetSpec, cost};
use mnas_search::{ControllerSpec, LatencyRecord, LatencySource, ObjectiveKind, Space};
use mnas_study::{
    ClusterPlan, DataPlan, DevicePlan, Evaluator, ExecutorPlan, Extend, FailureBudget, Job,
    JobFailure, JobOutput, JobProgress, Limits, Measured, Net, Plan, RayPlan, RunEnv, SlurmPlan,
    SpacePlan, Stop, Target, TrainedNet, Update, WorkerCommand, create, load, run, serve,
    work_bundle,
};
use mnas_train::{Control, Meta, Normalize, Recipe};

/// What was asked for.
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn of(args: &[String]) -> Self {
        let pairs = args.iter().filter_map(|a| a.split_once('='));
        Self(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn number(&self, key: &str, default: f64) -> f64 {
        let read = |text| str::parse(text).unwrap_or_else(|_| panic!("{key}={text}: no number"));
        self.text(key).map_or(default, read)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let settings = Settings::of(&args);
    match args.first().map(String::as_str) {
        Some("worker") => worker(&args, &settings),
        Some(engine @ ("local" | "slurm" | "ray")) => {
            println!("{:#}", measure(engine, &settings));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: utilisation local|slurm|ray [KEY=VALUE...]");
            ExitCode::from(2)
        }
    }
}

/// A worker: of one bundle where a cluster's job names one, otherwise on its standard input.
fn worker(args: &[String], settings: &Settings) -> ExitCode {
    let value = |flag: &str| {
        let place = args.iter().position(|a| a == flag)?;
        args.get(place + 1)
    };
    if let (Some(study), Some(bundle)) = (value("--study"), value("--bundle")) {
        let own: Vec<String> = args
            .iter()
            .take_while(|a| *a != "--study")
            .cloned()
            .collect();
        let command = WorkerCommand {
            program: std::env::current_exe().expect("this program has a path"),
            args: own,
        };
        return work_bundle(study, bundle, &command);
    }
    let sleeper = Sleeper {
        seconds: settings.number("seconds", 5.0),
        measure_seconds: settings.number("measure_seconds", 0.0),
        log: settings.text("log").map(PathBuf::from),
    };
    serve(&mut || Box::new(sleeper.clone()))
}

/// Sleeps in place of training and measuring; its figures follow from the network's size.
#[derive(Clone)]
struct Sleeper {
    seconds: f64,
    measure_seconds: f64,
    /// Gets a line per job: its kind, and when it began and ended, in milliseconds.
    log: Option<PathBuf>,
}

fn macs(net: &Net) -> f64 {
    let spec: NetSpec = net.spec.parse().expect("a network of the space");
    let graph = spec
        .graph(net.shape(), net.classes)
        .expect("it fits its images");
    cost(&graph).macs as f64
}

fn now_ms() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis())
}

impl Sleeper {
    fn note(&self, kind: &str, begun_ms: u128) {
        let Some(path) = &self.log else { return };
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(path);
        let line = format!("{kind} {begun_ms} {}\n", now_ms());
        // One write of one short line, which the system appends whole.
        let noted = file.and_then(|mut f| f.write_all(line.as_bytes()));
        noted.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

impl Evaluator for Sleeper {
    fn perform(
        &mut self,
        job: &Job,
        _on_progress: &mut dyn FnMut(JobProgress) -> Control,
    ) -> Result<JobOutput, JobFailure> {
        Ok(match job {
            Job::OpenData(data) => JobOutput::Data(data.fingerprint.clone()),
            Job::OpenDevice(_) => JobOutput::Device(device(self.measure_seconds == 0.0)),
            Job::Measure(job) => {
                let begun_ms = now_ms();
                std::thread::sleep(Duration::from_secs_f64(self.measure_seconds));
                let record = |net: &Net| {
                    let source = LatencySource::Predicted {
                        table: "macs".into(),
                    };
                    let ms = 0.1 + macs(net) / 1e8;
                    Ok(LatencyRecord::from_samples(vec![ms], 0, false, source)
                        .expect("a sample above zero"))
                };
                let records = job.nets.iter().map(|(net, _)| record(net)).collect();
                self.note("measure", begun_ms);
                JobOutput::Measured(Measured {
                    records,
                    seconds: self.measure_seconds,
                })
            }
            Job::Train(job) => {
                let begun_ms = now_ms();
                std::thread::sleep(Duration::from_secs_f64(self.seconds));
                self.note("train", begun_ms);
                JobOutput::Trained(TrainedNet {
                    accuracy: 1.0 - (-macs(&job.net) / 1e7).exp(),
                    curve: vec![],
                    seconds: self.seconds,
                })
            }
            Job::Test(_) => panic!("a study without a final stage tests nothing"),
        })
    }
}

fn device(predicted: bool) -> DevicePlan {
    DevicePlan {
        name: "macs".into(),
        device: "arithmetic".into(),
        engine: "none".into(),
        library_hash: None,
        predicted,
    }
}

/// Runs the study and tells how busy it kept its workers.
fn measure(engine: &str, settings: &Settings) -> serde_json::Value {
    let kept = tempfile::tempdir().expect("a temporary folder");
    let dir = settings
        .text("dir")
        .map_or(kept.path().join("s"), PathBuf::from);
    std::fs::create_dir_all(&dir).expect("the study's folder can be made");
    let log = std::path::absolute(&dir)
        .expect("a current folder")
        .join("jobs-done");
    let plan = plan(engine, settings);
    let seconds = settings.number("seconds", 5.0);
    let measure_seconds = settings.number("measure_seconds", 0.0);
    let mut env = RunEnv {
        program: std::env::current_exe().expect("this program has a path"),
        args: vec![
            "worker".into(),
            format!("seconds={seconds}"),
            format!("measure_seconds={measure_seconds}"),
            format!("log={}", log.display()),
        ],
        cache_dir: kept.path().into(),
        extend: None,
    };
    create(&dir, &plan).unwrap_or_else(|e| panic!("{e}"));
    let mut batches = vec![];
    let summary = run(&dir, &env, &Stop::new(), &mut |update| {
        if let Update::Batch { trials, .. } = update {
            batches.push((Instant::now(), trials.0));
        }
    });
    let summary = summary.unwrap_or_else(|e| panic!("{e}"));
    let study = load(&dir).unwrap_or_else(|e| panic!("{e}"));
    let trained = study.trials().iter().filter(|t| t.duplicate_of.is_none());
    let trained = trained.filter(|t| t.accuracy().is_some()).count();
    let workers = plan.workers as f64;
    let busy = trained as f64 * seconds / (workers * summary.search_seconds);
    let done = Done::read(&log);
    let course = study.trials().iter();
    let course: Vec<_> = course.map(|t| (t.id, &t.spec, t.accuracy())).collect();
    let milliseconds = |batches: &[(Instant, u64)]| {
        let (first, last) = (batches.first()?, batches.last()?);
        let trials = last.1.checked_sub(first.1).filter(|n| *n > 0)?;
        Some(1e3 * last.0.duration_since(first.0).as_secs_f64() / trials as f64)
    };
    // The last batch that ended a hundred trials or more before the end.
    let total = batches.last().map_or(0, |b| b.1);
    let last = batches.partition_point(|b| b.1 + 100 <= total);
    let last = last.saturating_sub(1);
    let resume_seconds = settings.text("resume").map(|_| {
        let trials = plan.trials + settings.number("resume", 0.0) as u64;
        env.extend = Some(Extend { trials });
        let (begun, mut first) = (Instant::now(), None);
        let resumed = run(&dir, &env, &Stop::new(), &mut |update| {
            if let Update::Trial { .. } = update {
                first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
            }
        });
        resumed.unwrap_or_else(|e| panic!("{e}"));
        first
    });
    serde_json::json!({
        "engine": engine,
        "trials": plan.trials,
        "trained": trained,
        "workers": plan.workers,
        "batch": plan.batch,
        "staleness": plan.staleness,
        "trial_seconds": seconds,
        "search_seconds": summary.search_seconds,
        "busy": busy,
        "algorithm": plan.controller.algorithm,
        "trial_ms": milliseconds(&batches),
        "trial_ms_last_100": milliseconds(&batches[last..]),
        "resume_seconds": resume_seconds,
        "measurements": done.measured.len(),
        "measurements_overlapping": done.overlapping(),
        "measurements_beside_training": done.beside_training(),
        "course": course,
    })
}

/// When each job began and ended, in milliseconds.
struct Done {
    measured: Vec<(u128, u128)>,
    trained: Vec<(u128, u128)>,
}

impl Done {
    fn read(log: &Path) -> Self {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let of = |kind: &str| {
            let times = text.lines().filter_map(|line| {
                let (begun, ended) = line.strip_prefix(kind)?.trim().split_once(' ')?;
                Some((begun.parse().ok()?, ended.parse().ok()?))
            });
            let mut times: Vec<(u128, u128)> = times.collect();
            times.sort();
            times
        };
        Self {
            measured: of("measure"),
            trained: of("train"),
        }
    }

    /// Measurements that began before an earlier one had ended.
    fn overlapping(&self) -> usize {
        let pairs = self.measured.windows(2);
        pairs.filter(|pair| pair[1].0 < pair[0].1).count()
    }

    /// Measurements while something trained.
    fn beside_training(&self) -> usize {
        let beside = |m: &&(u128, u128)| self.trained.iter().any(|t| t.0 < m.1 && m.0 < t.1);
        self.measured.iter().filter(beside).count()
    }
}

fn plan(engine: &str, settings: &Settings) -> Plan {
    let meta = Meta {
        name: "sleep".into(),
        source: "sleep".into(),
        fingerprint: "sleep".into(),
        skipped: 0,
        validation_fraction: 0.1,
        shape: mnas_net::Shape::new(28, 28, 1),
        classes: (0..10).map(|c| c.to_string()).collect(),
        normalize: Normalize {
            mean: vec![0.5],
            std: vec![0.25],
        },
    };
    let space = Space::builtin("mnasnet-small").expect("a built-in space");
    let predicted = settings.number("measure_seconds", 0.0) == 0.0;
    let recipe = Recipe::proxy(&meta);
    Plan {
        early_stop: None,
        tensorboard: false,
        data: DataPlan::of(&meta, None, 0),
        device: device(predicted),
        space: SpacePlan {
            name: space.name().into(),
            text: space.text().into(),
        },
        objective: ObjectiveKind::SOFT,
        // Out of reach, so that every network is trained.
        target: Target::Fixed { target_ms: 1e6 },
        controller: ControllerSpec {
            algorithm: settings.text("algorithm").unwrap_or("random").into(),
            settings: BTreeMap::new(),
        },
        seed: settings.number("seed", 0.0) as u64,
        trials: settings.number("trials", 60.0) as u64,
        seconds_max: None,
        batch: settings.number("batch", 12.0) as u32,
        workers: settings.number("workers", 2.0) as usize,
        threads: 1,
        proxy: recipe.clone(),
        full: recipe,
        finalists: 0,
        references: vec![],
        measure: MeasurePlan::search(),
        measure_final: MeasurePlan::thorough(),
        limits: Limits {
            params: None,
            file_bytes: None,
            activation_bytes: None,
        },
        too_slow: 2.0,
        attempts_max: 3,
        job_seconds_max: None,
        failures: FailureBudget {
            first: 10,
            window: 20,
            share: 0.5,
        },
        executor: executor(engine, settings, predicted),
        staleness: settings.number("staleness", 0.0) as u32,
    }
}

fn executor(engine: &str, settings: &Settings, predicted: bool) -> ExecutorPlan {
    let cluster = ClusterPlan {
        per_job: settings.text("per_job").and_then(|n| n.parse().ok()),
        measure_here: predicted,
    };
    match engine {
        "slurm" => {
            let measure_args = settings.text("measure_args").unwrap_or_default();
            let measure_args = measure_args.split(',').filter(|a| !a.is_empty());
            let slurm = SlurmPlan {
                measure_args: measure_args.map(String::from).collect(),
                ..SlurmPlan::default()
            };
            ExecutorPlan::Slurm { slurm, cluster }
        }
        "ray" => {
            let phone = settings.number("phone", 0.0);
            let phones = (phone > 0.0).then(|| ("phone".to_string(), phone));
            let ray = RayPlan {
                address: settings
                    .text("address")
                    .unwrap_or("http://127.0.0.1:8265")
                    .into(),
                measure_resources: phones.into_iter().collect(),
                ..RayPlan::default()
            };
            ExecutorPlan::Ray { ray, cluster }
        }
        _ => ExecutorPlan::Local,
    }
}
