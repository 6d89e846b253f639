//! Devices whose law is known: one that the model can express, and one without any law.

use mnas_net::{NetSpec, Shape};

use super::*;
use crate::device::{DeviceInfo, Measured};
use crate::measure::{MeasureError, Samples};

struct Law<F> {
    info: DeviceInfo,
    ms: F,
}

impl<F: FnMut(&Candidate<'_>) -> Option<f64> + Send> Device for Law<F> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        let mut answer = |c: &Candidate<'_>| match (self.ms)(c) {
            Some(ms) => Ok(Samples::measured(vec![ms; plan.runs], 0)),
            None => Err(MeasureError::TooSlow {
                kept: 0,
                needed: plan.runs,
                run_ms: 1e4,
                seconds_max: plan.seconds_max,
            }),
        };
        Ok(candidates.iter().map(&mut answer).collect())
    }
}

fn device<F: FnMut(&Candidate<'_>) -> Option<f64> + Send>(ms: F) -> Law<F> {
    Law {
        info: DeviceInfo {
            name: "law".into(),
            device: "law".into(),
            engine: "law 1".into(),
            library_hash: None,
            predicted: false,
        },
        ms,
    }
}

fn specimens() -> Vec<Specimen> {
    let mut random = stream(3, 0, Purpose::Sample);
    let mut made = vec![];
    for i in 0..50 {
        let kinds = ["cn", "ds", "ir"];
        let mut text = "stem_k3_s1_c8".to_string();
        for _ in 0..3 {
            let kind = kinds[random.below(3)];
            let expand = if kind == "ir" {
                ["_e3", "_e6"][random.below(2)]
            } else {
                ""
            };
            let (k, s, c) = (
                3 + 2 * random.below(2),
                1 + random.below(2),
                8 * (1 + random.below(4)),
            );
            text += &format!("; {kind}_r{}_k{k}_s{s}{expand}_c{c}", 1 + random.below(3));
        }
        let spec: NetSpec = (text + "; head_c128").parse().unwrap();
        made.push(Specimen {
            name: format!("net {i}"),
            spec: spec.to_string(),
            graph: spec.graph(Shape::new(24, 24, 3), 10).unwrap(),
            role: if i < 30 { Role::Fit } else { Role::HeldOut },
        });
    }
    let graphs: Vec<Graph> = made.iter().map(|s| s.graph.clone()).collect();
    made.extend(parts(&graphs, 20).into_iter().map(|p| Specimen {
        name: p.layer,
        spec: String::new(),
        graph: p.graph,
        role: Role::Part,
    }));
    made
}

fn plan() -> MeasurePlan {
    MeasurePlan::search()
}

#[test]
fn a_device_that_adds_up_is_learnt() {
    // Depthwise arithmetic is five times dearer than dense, values written cost, layers cost.
    let law = |c: &Candidate<'_>| {
        let f = features(c.graph);
        let sum = |field: &str| -> f64 {
            let of = f.iter().filter(|(k, _)| k.ends_with(field));
            of.map(|(_, v)| *v as f64).sum()
        };
        let depthwise = f.get("depthwise_conv.macs").copied().unwrap_or(0) as f64;
        Some(
            0.02 + 1e-7 * (sum(".macs") + 4.0 * depthwise)
                + 2e-6 * sum(".outputs")
                + 1e-3 * sum(".count"),
        )
    };
    let mut told = vec![];
    let made = specimens();
    let asked = made.len();
    let done = calibrate(&mut device(law), made, &plan(), 1, |n, of| {
        told.push((n, of))
    })
    .unwrap();
    assert!(done.held_out.mape < 0.03, "{:?}", done.held_out);
    assert!(done.held_out.kendall_tau > 0.95 && done.held_out.networks == 20);
    assert!(
        done.held_out.mape < 0.5 * done.macs_only.mape,
        "{:?}",
        done.macs_only
    );
    assert_eq!(
        (done.model.unfit, done.model.error),
        (None, Some(done.held_out.mape))
    );
    assert_eq!(done.points.len(), asked);
    assert_eq!(told.last(), Some(&(asked, asked)));
}

#[test]
fn a_device_without_a_law_is_refused() {
    let mut random = stream(5, 0, Purpose::Sample);
    let chance = move |_: &Candidate<'_>| Some(0.5 + random.uniform());
    let done = calibrate(&mut device(chance), specimens(), &plan(), 1, |_, _| {}).unwrap();
    let why = done.model.unfit.clone().unwrap();
    assert!(
        why.contains("mean error") && why.contains("Kendall tau"),
        "{why}"
    );
    let text = toml::to_string(&done.model).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, text).unwrap();
    let error = crate::open(&format!("linear:{}", path.display()))
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("judged unfit: mean error"),
        "{error}"
    );
}

#[test]
fn failures_are_told_and_too_many_end_it() {
    let mut turn = 0;
    let seldom = move |_: &Candidate<'_>| {
        turn += 1;
        (turn % 10 != 0).then_some(1.0)
    };
    let done = calibrate(&mut device(seldom), specimens(), &plan(), 1, |_, _| {}).unwrap();
    assert_eq!(done.failures.len(), 7);
    let error = calibrate(
        &mut device(|_: &Candidate<'_>| None),
        specimens(),
        &plan(),
        1,
        |_, _| {},
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("only 0 of 70 networks could be measured"),
        "{error}"
    );
}

#[test]
fn a_predictor_is_not_calibrated_on() {
    let mut pixel1 = crate::open("pixel1").unwrap();
    let error = calibrate(&mut *pixel1, specimens(), &plan(), 1, |_, _| {}).unwrap_err();
    assert!(error.to_string().starts_with("pixel1 predicts"), "{error}");
}
