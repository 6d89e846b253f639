use mnas_net::{GraphBuilder, Purpose, Shape, stream};

use super::params::Range;
use super::range::Histogram;
use super::*;

const OPTIONS: QuantizeOptions = QuantizeOptions {
    ranges: RangeMethod::MinMax,
    reduce_range: false,
    threads: 1,
};

fn range(low: f32, high: f32) -> Range {
    Range { low, high }
}

#[test]
fn a_form_holds_its_range_and_zero_exactly() {
    let check = |low: f32, high: f32, zero_point: i32| {
        let p = Params::of(range(low, high));
        assert_eq!(p.zero_point, zero_point, "{low}..{high}");
        assert_eq!(p.value(p.quantize(0.0)), 0.0);
        for v in [low, high, 0.3 * low + 0.7 * high] {
            let error = (p.value(p.quantize(v)) - v).abs();
            assert!(error <= p.scale * 1.0001, "{v}: {error} of {}", p.scale);
        }
    };
    check(0.0, 6.0, -128);
    check(-1.0, 1.0, -1);
    check(-2.55, 0.0, 127);
    check(-1.0, 3.0, -64);
    // What lies on one side of zero is widened to it.
    assert_eq!(Params::of(range(2.0, 4.0)), Params::of(range(0.0, 4.0)));
    // Nothing but zero: a scale that engines can divide by.
    assert!(Params::of(range(0.0, 0.0)).scale > 0.0);
}

#[test]
fn rounding_does_what_the_activations_that_it_replaces_do() {
    let relu = Params::of(range(0.0, 3.0));
    assert!(absorbs(relu, Activation::Relu) && absorbs(relu, Activation::Relu6));
    assert!(!absorbs(Params::of(range(0.0, 7.0)), Activation::Relu6));
    assert!(!absorbs(Params::of(range(-1.0, 3.0)), Activation::Relu));
    assert!(!absorbs(relu, Activation::HSwish));
}

fn normal_values(n: usize, seed: u64) -> Vec<f32> {
    let random = &mut stream(seed, 0, Purpose::Sample);
    (0..n).map(|_| random.normal() as f32).collect()
}

#[test]
fn histograms_of_parts_add_up_in_any_order() {
    let mut values = normal_values(3000, 1);
    values.extend([0.0, 1e-6, -40.0, 9.0]);
    let of = |parts: &[&[f32]]| {
        let mut all = Histogram::new();
        for part in parts {
            let mut one = Histogram::new();
            assert!(one.add(part));
            all.merge(&one);
        }
        all
    };
    let whole = of(&[&values]);
    let (a, b) = values.split_at(700);
    assert_eq!(of(&[a, b]), whole);
    assert_eq!(of(&[b, a]), whole);
    assert_eq!(of(&[&[], b, a, &[]]), whole);
    assert!(!Histogram::new().add(&[1.0, f32::NAN]));
}

#[test]
fn ranges_by_percentile_and_error_leave_stray_values_out() {
    let mut values = normal_values(100_000, 2);
    values.push(1000.0);
    let mut histogram = Histogram::new();
    assert!(histogram.add(&values));
    let all = histogram.range(RangeMethod::MinMax);
    assert_eq!(all.high, 1000.0);
    let percentile = histogram.range(RangeMethod::Percentile);
    assert!((3.0..6.0).contains(&percentile.high), "{percentile:?}");
    assert!((-6.0..-3.0).contains(&percentile.low), "{percentile:?}");
    let mse = histogram.range(RangeMethod::Mse);
    assert!(mse.high < 1000.0 && mse.low < 0.0, "{mse:?}");
}

/// The error that [`RangeMethod::Mse`] minimises, on the values themselves.
fn squared_error(values: &[f32], p: Params) -> f64 {
    let errors = values
        .iter()
        .map(|v| f64::from(p.value(p.quantize(*v)) - v));
    errors.map(|e| e * e).sum()
}

#[test]
fn the_range_of_least_error_has_less_error_than_the_others() {
    // Cubes of normals have tails heavier than activations have.
    let values: Vec<f32> = normal_values(50_000, 3).iter().map(|v| v * v * v).collect();
    let mut histogram = Histogram::new();
    assert!(histogram.add(&values));
    let error = |method| squared_error(&values, Params::of(histogram.range(method)));
    let mse = error(RangeMethod::Mse);
    assert!(mse < error(RangeMethod::MinMax));
    assert!(mse < error(RangeMethod::Percentile));
}

/// Image, convolution, ReLU; a sigmoid, and a concatenation of both with the image's pool.
fn joined() -> (Graph, Weights) {
    let mut b = GraphBuilder::new(Shape::new(6, 6, 2)).unwrap();
    let (kernel, stride, filters, bias) = (3, 1, 2, true);
    let image = b.input();
    let conv = Op::Conv {
        kernel,
        stride,
        filters,
        bias,
    };
    let conv = b.add("conv", conv, &[image]).unwrap();
    let relu = b.add("relu", Op::Act(Activation::Relu), &[conv]).unwrap();
    let gate = b
        .add("gate", Op::Act(Activation::Sigmoid), &[image])
        .unwrap();
    let pool = b
        .add("pool", Op::MaxPool { kernel, stride }, &[image])
        .unwrap();
    let all = b.add("all", Op::Concat, &[relu, gate, pool]).unwrap();
    let graph = b.finish(all);
    let weights = Weights::init(&graph, &mut stream(5, 0, Purpose::Init));
    (graph, weights)
}

#[test]
fn what_is_joined_shares_a_scale_and_sigmoids_have_their_own() {
    let (graph, weights) = joined();
    let q = quantize(&graph, &weights, &[normal_values(72, 6)], OPTIONS).unwrap();
    let of = |name: &str| {
        let id = graph.ids().find(|id| graph.node(*id).name == name).unwrap();
        q.params(id)
    };
    let image = q.params(graph.ids().next().unwrap());
    for name in ["conv", "relu", "pool", "all"] {
        assert_eq!(of(name), image, "{name}");
    }
    assert_eq!(
        (of("gate").scale, of("gate").zero_point),
        (1.0 / 256.0, -128)
    );
}

#[test]
fn kernels_are_scaled_per_channel_and_biases_fit() {
    let (graph, mut weights) = joined();
    let kernel = weights.tensors.get_mut("conv.weight").unwrap();
    // One channel a thousand times the other, which must keep its own scale; a bias that would
    // overflow at the small one's.
    kernel.data[..18].iter_mut().for_each(|w| *w *= 1000.0);
    weights.tensors.get_mut("conv.bias").unwrap().data = vec![0.5, 1e7];
    for (reduce_range, limit) in [(false, 127), (true, 64)] {
        let options = QuantizeOptions {
            reduce_range,
            ..OPTIONS
        };
        let q = quantize(&graph, &weights, &[normal_values(72, 6)], options).unwrap();
        let k = q.kernel("conv");
        let largest = |c: usize| {
            k.values[c * 18..][..18]
                .iter()
                .map(|v| v.unsigned_abs())
                .max()
        };
        assert_eq!(largest(0), Some(limit));
        assert!(largest(1).unwrap() <= limit);
        assert!(
            k.bias.iter().all(|b| b.unsigned_abs() <= 1 << 30),
            "{:?}",
            k.bias
        );
        let input = q.params(graph.ids().next().unwrap()).scale;
        for (b, (scale, expected)) in k
            .bias
            .iter()
            .zip(k.bias_scales(input).iter().zip([0.5, 1e7]))
        {
            assert!((*b as f32 * scale - expected).abs() <= scale.max(1e-6 * expected));
        }
    }
}

#[test]
fn threads_change_nothing() {
    let (graph, weights) = joined();
    let images: Vec<Vec<f32>> = (0..7).map(|i| normal_values(72, i)).collect();
    let of = |threads| {
        let options = QuantizeOptions {
            threads,
            ranges: RangeMethod::Mse,
            ..OPTIONS
        };
        let q = quantize(&graph, &weights, &images, options).unwrap();
        (q.values, q.kernels)
    };
    assert_eq!(of(1), of(3));
    assert_eq!(of(1), of(16));
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let (graph, mut weights) = joined();
    let error = |weights: &Weights, images: &[Vec<f32>]| {
        let error = quantize(&graph, weights, images, OPTIONS).unwrap_err();
        error.to_string()
    };
    let image = normal_values(72, 1);
    assert!(error(&weights, &[]).starts_with("no calibration images"));
    assert_eq!(
        error(&weights, &[image.clone(), vec![0.0; 5]]),
        "calibration image 1 has 5 values; the network takes 72"
    );
    weights.tensors.get_mut("conv.bias").unwrap().data[0] = f32::INFINITY;
    assert_eq!(
        error(&weights, &[image]),
        "conv gives values that are not finite on the calibration images"
    );
}

#[test]
fn names_are_read_back() {
    for method in RangeMethod::ALL {
        assert_eq!(method.to_string().parse(), Ok(method));
    }
    assert!("kl".parse::<RangeMethod>().is_err());
}
