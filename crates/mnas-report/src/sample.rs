//! A made-up study, told as events: for tests and for `examples/synthetic.rs`. Its numbers are
//! drawn, not measured; the device is called so.

use std::collections::HashMap;

use mnas_net::{NetSpec, Purpose, Shape, Stream, cost, stream, zoo};
use mnas_search::{
    CurvePoint, Diagnostics, Event, Failure, FailureKind, FinalEntry, FinalKind, FinalOutcome,
    FinalResult, LatencyRecord, LatencySource, Limit, Metrics, Objective, ObjectiveKind, Outcome,
    Proposal, Space, Study, VERSION,
};
use serde_json::{Value, json};

const INPUT: Shape = Shape::new(28, 28, 1);
const CLASSES: usize = 10;
const TARGET_MS: f64 = 0.9;
const BATCH: u64 = 8;

const SPACE: &str = "\
stem_k3_s1_c8
{cn,ds,ir_e3,ir_e6}_r{1,2,3}_k{3,5}_s2_c{16,24,32}_se{0,0.25}
{cn,ds,ir_e3,ir_e6}_r{1,2,3}_k{3,5}_s2_c{32,40,64}_se{0,0.25}
{cn,ds,ir_e3,ir_e6}_r{1,2,3}_k{3,5}_s1_c{64,80,96}_se{0,0.25}
head_c256_drop0.2
";

/// What a made-up study holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Proposals.
    pub(crate) trials: u64,
    /// Whether its proposals fail, repeat and overrun now and then.
    pub(crate) mishaps: bool,
    /// Whether it has a final round.
    pub(crate) finals: bool,
    /// Seed.
    pub(crate) seed: u64,
}

impl Sample {
    /// The study.
    pub(crate) fn study(self) -> Study {
        let events = self.events();
        Study::fold(&events).expect("the made-up events follow one another")
    }

    /// Its events.
    pub(crate) fn events(self) -> Vec<Event> {
        let space = Space::parse("sample", SPACE).expect("the made-up space is one");
        let mut tale = Tale {
            sample: self,
            random: stream(self.seed, 0, Purpose::Sample),
            leanings: space
                .decisions()
                .iter()
                .map(|d| vec![1.0; d.choices.len()])
                .collect(),
            space,
            events: vec![],
            known: vec![],
            by_hash: HashMap::new(),
            by_trial: HashMap::new(),
        };
        tale.start();
        let mut trial = 0;
        let mut batch = 0;
        while trial < self.trials {
            let n = BATCH.min(self.trials - trial);
            tale.batch(batch, trial, n);
            (trial, batch) = (trial + n, batch + 1);
        }
        if self.finals {
            tale.finals();
        }
        tale.events
    }
}

/// The plan, with the keys that the program writes.
pub(crate) fn plan(trials: u64) -> Value {
    let classes: Vec<String> = (0..CLASSES).map(|i| format!("class {i}")).collect();
    json!({
        "data": {
            "source": "made-up-garments", "image_size": null, "validation_fraction": 0.1,
            "fingerprint": "0123456789abcdef", "shape": [28, 28, 1], "classes": classes,
        },
        "device": {
            "name": "host:rten", "device": "made-up processor", "engine": "rten 0.0.0",
            "library_hash": null, "predicted": false,
        },
        "space": { "name": "sample", "text": SPACE },
        "objective": ObjectiveKind::SOFT,
        "target": { "kind": "reference", "name": "mobilenet-v2-small" },
        "controller": { "algorithm": "ppo", "settings": {} },
        "seed": 7, "trials": trials, "batch": BATCH, "workers": 1, "threads": 2,
        "proxy": { "epochs": 2.0, "train_images": 4000 },
        "full": { "epochs": 30.0, "train_images": null },
        "finalists": 3, "references": ["mobilenet-v2-small", "mnasnet-a1-small"],
        "measure": { "runs": 60, "warmup": 10, "rounds": 3, "seconds_max": 2.0, "core": 1 },
    })
}

struct Tale {
    sample: Sample,
    random: Stream,
    /// Weights of the choices, which move towards what was rewarded.
    leanings: Vec<Vec<f64>>,
    space: Space,
    events: Vec<Event>,
    /// Distinct trials with tokens, hash, outcome and reward.
    known: Vec<(Proposal, Outcome, Option<f64>)>,
    /// Places in `known` of the last network with a hash, and of a trial.
    by_hash: HashMap<String, usize>,
    by_trial: HashMap<u64, usize>,
}

impl Tale {
    fn start(&mut self) {
        self.events.push(Event::Started {
            version: VERSION,
            plan: plan(self.sample.trials),
            seed: self.sample.seed,
            space: SPACE.into(),
            time_ms: 0,
        });
        let latency = self.latency(TARGET_MS);
        self.events.push(Event::Target {
            target_ms: TARGET_MS,
            reference: Some("mobilenet-v2-small".into()),
            latency: Some(latency),
        });
    }

    fn batch(&mut self, batch: u32, first: u64, n: u64) {
        let mut kept: Vec<Proposal> = vec![];
        for trial in first..first + n {
            let mut proposal = self.proposal(trial);
            let twin = kept.iter().find(|k| k.hash == proposal.hash);
            if let (None, Some(twin)) = (proposal.duplicate_of, twin) {
                proposal.duplicate_of = Some(twin.trial);
            }
            kept.push(proposal);
        }
        self.events.push(Event::Proposed {
            batch,
            proposals: kept.clone(),
        });
        let objective = Objective {
            kind: ObjectiveKind::SOFT,
            target_ms: TARGET_MS,
        };
        let mut rewards = vec![];
        for p in kept {
            if let Some(original) = p.duplicate_of {
                let known = self.by_trial.get(&original).map(|at| &self.known[*at]);
                rewards.push((p.trial, known.and_then(|k| k.2)));
                continue;
            }
            let outcome = self.outcome(&p);
            let attempt = u32::from(matches!(outcome, Outcome::Lost { .. })) + 1;
            if attempt > 1 {
                self.events.push(Event::Retried {
                    trial: p.trial,
                    attempt,
                    reason: "worker went away".into(),
                });
            }
            let reward = objective.outcome_reward(&outcome);
            self.events.push(Event::Finished {
                trial: p.trial,
                attempt,
                outcome: outcome.clone(),
            });
            self.learn(&p.tokens, reward);
            rewards.push((p.trial, reward));
            self.by_hash.insert(p.hash.clone(), self.known.len());
            self.by_trial.insert(p.trial, self.known.len());
            self.known.push((p, outcome, reward));
        }
        self.events.push(Event::Observed {
            batch,
            rewards,
            snapshot: "{}".into(),
            diagnostics: self.diagnostics(),
        });
    }

    fn proposal(&mut self, trial: u64) -> Proposal {
        let tokens: Vec<u16> = if self.sample.mishaps && self.random.uniform() < 0.06 {
            match self.known.len() {
                0 => self.tokens(),
                n => self.known[self.random.below(n)].0.tokens.clone(),
            }
        } else {
            self.tokens()
        };
        let spec = self.space.decode(&tokens).expect("tokens are of the space");
        let hash = spec.hash();
        let lost = |o: &Outcome| matches!(o, Outcome::Lost { .. });
        let original = self.by_hash.get(&hash).map(|at| &self.known[*at]);
        Proposal {
            trial,
            tokens,
            spec: spec.to_string(),
            duplicate_of: original.filter(|k| !lost(&k.1)).map(|k| k.0.trial),
            hash,
        }
    }

    fn tokens(&mut self) -> Vec<u16> {
        (0..self.leanings.len())
            .map(|i| {
                let weights = &self.leanings[i];
                let mut at = self.random.uniform() * weights.iter().sum::<f64>();
                let hit = weights.iter().position(|w| {
                    at -= w;
                    at < 0.0
                });
                hit.unwrap_or(0) as u16
            })
            .collect()
    }

    fn learn(&mut self, tokens: &[u16], reward: Option<f64>) {
        let gain = reward.map_or(0.0, |r| (r - 0.8).max(0.0));
        for (row, token) in self.leanings.iter_mut().zip(tokens) {
            row[usize::from(*token)] += 3.0 * gain;
        }
    }

    fn diagnostics(&self) -> Diagnostics {
        let probabilities: Vec<Vec<f64>> = self
            .leanings
            .iter()
            .map(|row| row.iter().map(|w| w / row.iter().sum::<f64>()).collect())
            .collect();
        let entropy = |p: &Vec<f64>| {
            let nats: f64 = p.iter().map(|x| -x * x.ln()).sum();
            nats / (p.len() as f64).ln()
        };
        let mean = probabilities.iter().map(entropy).sum::<f64>() / probabilities.len() as f64;
        Diagnostics {
            entropy: Some(mean),
            baseline: Some(0.85),
            probabilities,
        }
    }

    fn outcome(&mut self, p: &Proposal) -> Outcome {
        let fate = if self.sample.mishaps {
            self.random.uniform()
        } else {
            1.0
        };
        let failed = |kind, message: &str| {
            Outcome::Failed(Failure {
                kind,
                message: message.into(),
            })
        };
        match fate {
            f if f < 0.03 => {
                return failed(FailureKind::Diverged, "loss is not finite at step 212");
            }
            f if f < 0.045 => {
                return failed(FailureKind::OutOfMemory, "7,812,000,000 bytes needed");
            }
            f if f < 0.055 => {
                return failed(
                    FailureKind::UnstableLatency,
                    "interquartile range is 41 % of the median after 3 rounds",
                );
            }
            f if f < 0.065 => {
                return Outcome::Lost {
                    attempts: 2,
                    message: "worker went away".into(),
                };
            }
            f if f < 0.085 => {
                return Outcome::Infeasible {
                    reason: Limit::Params,
                    value: 612_345,
                    allowed: 500_000,
                };
            }
            _ => {}
        }
        let (params, macs) = size(&p.spec);
        let median = self.around(median_ms(&p.spec, macs), 0.03);
        let latency = self.latency(median);
        if median > 2.5 * TARGET_MS {
            return Outcome::TooSlow {
                latency,
                accuracy: 1.0 / CLASSES as f64,
            };
        }
        let accuracy = self.accuracy(params, macs, 0.0);
        Outcome::Done(Metrics {
            accuracy,
            latency,
            params,
            macs,
            curve: vec![
                CurvePoint {
                    epoch: 1.0,
                    loss: 0.71,
                    accuracy: Some(accuracy - 0.05),
                },
                CurvePoint {
                    epoch: 2.0,
                    loss: 0.42,
                    accuracy: Some(accuracy),
                },
            ],
            train_seconds: 2.0 + macs as f64 / 1e6,
            measure_seconds: 0.5,
        })
    }

    fn accuracy(&mut self, params: u64, macs: u64, bonus: f64) -> f64 {
        let capacity = 0.6 * (macs as f64).ln() + 0.4 * (params as f64).ln();
        let ceiling = 0.925 - 0.6 * (-0.42 * (capacity - 8.6)).exp();
        (ceiling + bonus + 0.008 * self.random.normal()).clamp(0.1, 0.999)
    }

    fn around(&mut self, value: f64, spread: f64) -> f64 {
        value * (1.0 + spread * self.random.normal()).max(0.5)
    }

    fn latency(&mut self, median: f64) -> LatencyRecord {
        let samples = (0..60).map(|_| self.around(median, 0.012)).collect();
        let noisy = self.random.uniform() < 0.03;
        let source = LatencySource::Measured {
            device: "host (made-up processor)".into(),
            engine: "rten 0.0.0".into(),
        };
        LatencyRecord::from_samples(samples, self.random.below(4) as u32, noisy, source)
            .expect("drawn samples are positive")
    }

    fn finals(&mut self) {
        let mut done: Vec<(u64, f64, f64, &str, &str)> = self
            .known
            .iter()
            .filter_map(|(p, outcome, _)| match outcome {
                Outcome::Done(m) => {
                    let l = m.latency.median_ms;
                    Some((p.trial, m.accuracy, l, &*p.spec, &*p.hash))
                }
                _ => None,
            })
            .filter(|d| d.2 <= TARGET_MS)
            .collect();
        done.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut entries: Vec<FinalEntry> = done
            .iter()
            .take(3)
            .map(|d| FinalEntry {
                name: format!("trial {}", d.0),
                kind: FinalKind::Finalist { trial: d.0 },
                spec: d.3.into(),
                hash: d.4.into(),
            })
            .collect();
        for name in ["mobilenet-v2-small", "mnasnet-a1-small"] {
            let spec = zoo::find(name).expect("the zoo has it").spec.canonical();
            entries.push(FinalEntry {
                name: name.into(),
                kind: FinalKind::Reference,
                spec: spec.to_string(),
                hash: spec.hash(),
            });
        }
        self.events.push(Event::FinalStarted {
            finalists: entries.clone(),
        });
        for (i, entry) in entries.into_iter().enumerate() {
            let outcome = self.final_outcome(&entry, i);
            self.events.push(Event::FinalDone {
                result: FinalResult { entry, outcome },
            });
        }
        self.events.push(Event::Ended { time_ms: 5_000_000 });
    }

    fn final_outcome(&mut self, entry: &FinalEntry, index: usize) -> FinalOutcome {
        if self.sample.mishaps && index == 2 {
            return FinalOutcome::Failed(Failure {
                kind: FailureKind::Export,
                message: "model file could not be written: no space left on device".into(),
            });
        }
        let (params, macs) = size(&entry.spec);
        let reference = entry.kind == FinalKind::Reference;
        let median = if reference {
            TARGET_MS * 0.99
        } else {
            median_ms(&entry.spec, macs)
        };
        let validation_accuracy = self.accuracy(params, macs, if reference { 0.0 } else { 0.02 });
        let stem = entry.name.replace(' ', "-");
        FinalOutcome::Done {
            validation_accuracy,
            test_accuracy: Some(validation_accuracy - 0.004),
            test_top5: Some(0.5 + 0.5 * validation_accuracy),
            int8: None,
            latency: self.latency(median),
            params,
            macs,
            curve: vec![CurvePoint {
                epoch: 30.0,
                loss: 0.21,
                accuracy: Some(validation_accuracy),
            }],
            files: ["onnx", "tflite", "safetensors"]
                .map(|e| format!("finals/{stem}.{e}"))
                .into(),
        }
    }
}

fn size(spec: &str) -> (u64, u64) {
    let spec: NetSpec = spec.parse().expect("specs in the study parse");
    let cost = cost(
        &spec
            .graph(INPUT, CLASSES)
            .expect("the image is large enough"),
    );
    (cost.params, cost.macs)
}

fn median_ms(spec: &str, macs: u64) -> f64 {
    0.08 + macs as f64 / 9e6 + 0.02 * spec.matches("k5").count() as f64
}
