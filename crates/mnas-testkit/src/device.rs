//! For devices: networks to measure, the suite that every device passes, and a device made of
//! arithmetic.

use mnas_deploy::{
    Candidate, Device, DeviceError, DeviceInfo, MeasureError, MeasurePlan, Measured, Samples,
};
use mnas_net::{Activation, Graph, GraphBuilder, Op, Purpose, Shape, Weights, cost, stream};

/// A small classifier of `size` x `size` x 3 images into 10 classes: a strided convolution, a
/// depthwise and a pointwise one with batch norm, pooling, a linear layer. Work grows with `size`
/// and `width`.
pub fn network(size: usize, width: usize) -> Graph {
    let mut b = GraphBuilder::new(Shape::new(size, size, 3)).expect("the image is not empty");
    let conv = |kernel, stride, filters| Op::Conv {
        kernel,
        stride,
        filters,
        bias: false,
    };
    let depthwise = Op::DepthwiseConv {
        kernel: 3,
        stride: 1,
        bias: false,
    };
    let relu = Op::Act(Activation::Relu);
    let layers = [
        ("stem.conv", conv(3, 2, width)),
        ("stem.bn", Op::BATCH_NORM),
        ("stem.act", relu),
        ("depthwise.conv", depthwise),
        ("depthwise.bn", Op::BATCH_NORM),
        ("depthwise.act", relu),
        ("project.conv", conv(1, 1, 2 * width)),
        ("project.bn", Op::BATCH_NORM),
        ("pool", Op::GlobalAvgPool),
        ("classifier", Op::Linear { features: 10 }),
    ];
    let mut x = b.input();
    for (name, op) in layers {
        x = b.add(name, op, &[x]).expect("the layers fit one another");
    }
    b.finish(x)
}

/// Weights of a network, the same each time.
pub fn weights(graph: &Graph) -> Weights {
    Weights::init(graph, &mut stream(1, 0, Purpose::Init))
}

/// Checks that a device keeps the contract of [`Device`]: facts that don't change, an answer per
/// candidate in their order, samples as the plan asks, more work taking longer, bad plans refused,
/// and a broken candidate failing alone.
///
/// # Panics
/// Where the device breaks the contract.
pub fn check_device(device: &mut dyn Device) {
    let info = device.info().clone();
    check_info(&info);
    let plan = MeasurePlan {
        seconds_max: 20.0,
        ..MeasurePlan::search()
    };
    let (large, small) = (network(64, 32), network(32, 8));
    let (large_weights, small_weights) = (weights(&large), weights(&small));
    let candidate = |name, graph, weights| Candidate {
        name,
        spec: "",
        graph,
        weights,
    };
    let large = candidate("large", &large, &large_weights);
    let small = candidate("small", &small, &small_weights);

    assert!(device.measure(&[], &plan).unwrap().is_empty());
    let answer = device.measure(&[large, small, small], &plan).unwrap();
    let medians = check_answer(answer, &info, &plan);
    assert!(
        medians[0] > medians[1] && medians[0] > medians[2],
        "{}: 16 times the work is not slower: {medians:?} ms",
        info.name
    );
    let alone = check_answer(device.measure(&[small], &plan).unwrap(), &info, &plan);
    assert_eq!(alone.len(), 1);

    check_bad_plans(device, &[small], &plan);
    check_broken_candidate(device, &small, &plan);
    assert_eq!(*device.info(), info, "facts of a device don't change");
}

fn check_info(info: &DeviceInfo) {
    for (what, text) in [
        ("name", &info.name),
        ("device", &info.device),
        ("engine", &info.engine),
    ] {
        assert!(!text.trim().is_empty(), "{what} is empty: {info:?}");
    }
    if let Some(hash) = &info.library_hash {
        assert!(!hash.is_empty() && hash.len() <= 64, "{info:?}");
    }
}

/// Medians of an answer in which everything worked.
fn check_answer(answer: Measured, info: &DeviceInfo, plan: &MeasurePlan) -> Vec<f64> {
    let check = |samples: Result<Samples, MeasureError>| {
        let samples = samples.unwrap_or_else(|e| panic!("{}: {e}", info.name));
        assert_eq!(samples.predicted, info.predicted, "{}", info.name);
        if samples.predicted {
            assert_eq!(samples.times_ms.len(), 1, "{}", info.name);
        } else {
            let kept = samples.times_ms.len();
            assert!(kept >= plan.runs, "{}: {kept} samples kept", info.name);
        }
        let good = |t: &f64| t.is_finite() && *t > 0.0;
        assert!(samples.times_ms.iter().all(good), "{}", info.name);
        assert!(samples.runs_per_sample >= 1, "{}", info.name);
        samples.median_ms()
    };
    answer.into_iter().map(check).collect()
}

fn check_bad_plans(device: &mut dyn Device, candidates: &[Candidate<'_>], plan: &MeasurePlan) {
    let bad = [
        MeasurePlan {
            runs: MeasurePlan::RUNS_MIN - 1,
            ..plan.clone()
        },
        MeasurePlan {
            rounds: 0,
            ..plan.clone()
        },
        MeasurePlan {
            seconds_max: f64::NAN,
            ..plan.clone()
        },
    ];
    for plan in bad {
        let answer = device.measure(candidates, &plan);
        assert!(matches!(answer, Err(DeviceError::Plan(_))), "{plan:?}");
    }
}

/// Weights of another network: a device that reads weights refuses that candidate and no other.
fn check_broken_candidate(device: &mut dyn Device, good: &Candidate<'_>, plan: &MeasurePlan) {
    let weights = Weights::default();
    let broken = Candidate {
        name: "broken",
        weights: &weights,
        ..*good
    };
    let answer = device.measure(&[*good, broken, *good], plan).unwrap();
    let name = device.info().name.clone();
    assert_eq!(answer.len(), 3, "{name}");
    assert!(answer[0].is_ok() && answer[2].is_ok(), "{name}: {answer:?}");
    assert!(
        answer[1].is_err() || device.info().predicted,
        "{name} measured weights that are not the network's"
    );
}

/// A device whose latency is `0.05 ms + MACs / 20 million per ms`: the same on every machine.
#[derive(Debug, Clone)]
pub struct FakeDevice {
    info: DeviceInfo,
}

impl FakeDevice {
    /// Time of a network without work, in milliseconds.
    pub const OVERHEAD_MS: f64 = 0.05;
    /// Multiply-accumulates per millisecond.
    pub const MACS_PER_MS: f64 = 20e6;

    /// The device.
    #[allow(
        clippy::new_without_default,
        reason = "a fake is chosen, not defaulted to"
    )]
    pub fn new() -> Self {
        Self {
            info: DeviceInfo {
                name: "fake".into(),
                device: "arithmetic".into(),
                engine: "fake 1".into(),
                library_hash: None,
                predicted: false,
            },
        }
    }

    /// The latency that it gives a network, in milliseconds.
    pub fn latency_ms(graph: &Graph) -> f64 {
        Self::OVERHEAD_MS + cost(graph).macs as f64 / Self::MACS_PER_MS
    }
}

impl Device for FakeDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn measure(
        &mut self,
        candidates: &[Candidate<'_>],
        plan: &MeasurePlan,
    ) -> Result<Measured, DeviceError> {
        plan.check()?;
        let answer = |c: &Candidate<'_>| {
            c.weights
                .check(c.graph)
                .map_err(|e| MeasureError::Export(e.into()))?;
            let times_ms = vec![Self::latency_ms(c.graph); plan.runs];
            Ok(Samples::measured(times_ms, 0))
        };
        Ok(candidates.iter().map(answer).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fake_keeps_the_contract() {
        check_device(&mut FakeDevice::new());
        // 32x32 image, width 8: 16x16 maps, (27 * 8 + 9 * 8 + 8 * 16) * 256 + 160 macs.
        let expected = 0.05 + (416.0 * 256.0 + 160.0) / 20e6;
        assert_eq!(FakeDevice::latency_ms(&network(32, 8)), expected);
    }
}
