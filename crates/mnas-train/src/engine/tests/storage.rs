//! Sessions that keep activations as bfloat16 beside those that don't.

use super::*;

/// A graph whose every large value is stored: residuals, squeeze-excitation, all kinds of layers.
fn graph() -> Graph {
    let mut d = Draft::new(21, 19, 3);
    let x = d.conv(d.b.input(), 3, 1, 12);
    let x = d.norm(x, Some(Activation::Relu));
    let y = d.conv(x, 1, 1, 40);
    let y = d.norm(y, Some(Activation::HSwish));
    let y = d.depthwise(y, 5, 1);
    let y = d.norm(y, Some(Activation::Relu));
    let y = d.squeeze(y, 4);
    let y = d.conv(y, 1, 1, 12);
    let y = d.norm(y, None);
    let x = d.add(Op::Add, &[x, y]);
    let x = d.depthwise(x, 3, 2);
    let x = d.norm(x, Some(Activation::Relu6));
    let x = d.conv(x, 3, 1, 24);
    let x = d.norm(x, Some(Activation::Relu));
    d.classify(x, 4)
}

fn session(graph: &Graph, spec: &SessionSpec) -> Box<dyn Session> {
    let mut s = cpu().compile(graph, spec).unwrap();
    s.load(&weights(graph, 1)).unwrap();
    s
}

fn bf16(spec: SessionSpec) -> SessionSpec {
    SessionSpec {
        storage: Storage::Bf16,
        ..spec
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let graph = graph();
    let run = |threads| {
        let spec = SessionSpec {
            threads,
            ..bf16(plain_spec(17, 3))
        };
        let mut s = session(&graph, &spec);
        let mut step = |i: usize, n| {
            let (images, labels) = batch(&graph, n, i as u64);
            s.step(&images, &labels, 0.05).unwrap().loss.to_bits()
        };
        let losses: Vec<u32> = [17, 4, 17, 1]
            .into_iter()
            .enumerate()
            .map(|(i, n)| step(i, n))
            .collect();
        (losses, s.state())
    };
    let one = run(1);
    for threads in [2, 5] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}

/// Loss and gradients of one step at rate 1.
fn gradients(graph: &Graph, spec: &SessionSpec, n: usize, seed: u64) -> (f32, Weights) {
    let mut s = cpu().compile(graph, spec).unwrap();
    let before = weights(graph, seed);
    s.load(&before).unwrap();
    let (images, labels) = batch(graph, n, seed);
    let loss = s.step(&images, &labels, 1.0).unwrap().loss;
    let mut after = s.weights();
    for (name, t) in &mut after.tensors {
        let before = &before.get(name).data;
        t.data.iter_mut().zip(before).for_each(|(a, b)| *a -= b);
    }
    (loss, after)
}

/// Length of the difference of two gradients, and of the first, over all tensors.
fn distance(a: &Weights, b: &Weights) -> (f64, f64) {
    let (mut apart, mut length) = (0.0, 0.0);
    for (name, a) in &a.tensors {
        for (a, b) in a.data.iter().zip(&b.get(name).data) {
            apart += f64::from(a - b).powi(2);
            length += f64::from(*a).powi(2);
        }
    }
    (apart.sqrt(), length.sqrt())
}

/// The largest differences come from maxima and kinks that rounding moves, so most are far smaller.
#[test]
fn gradients_are_near() {
    let mut graphs: Vec<Graph> = (0..40).map(random_graph).collect();
    graphs.push(graph());
    let mut shares = vec![];
    for (seed, graph) in graphs.iter().enumerate() {
        let spec = plain_spec(12, graph.input_shape().c);
        let (loss, g) = gradients(graph, &spec, 12, seed as u64);
        let (rounded_loss, rounded) = gradients(graph, &bf16(spec), 12, seed as u64);
        let (apart, length) = distance(&g, &rounded);
        assert!(
            (loss - rounded_loss).abs() < 0.005 * loss && apart < 0.3 * length,
            "{seed}: loss {loss} and {rounded_loss}; gradients of {length}, {apart} apart\n{graph}"
        );
        shares.push(apart / length);
    }
    shares.sort_by(f64::total_cmp);
    assert!(shares[20] < 0.02 && shares[0] > 0.0, "{shares:?}");
}

#[test]
fn memory_falls_and_learning_goes_on() {
    let graph = graph();
    let (images, labels) = batch(&graph, 24, 1);
    let run = |storage| {
        let spec = SessionSpec {
            storage,
            optimizer: Optimizer::Sgd {
                momentum: 0.9,
                nesterov: false,
            },
            ..plain_spec(24, 3)
        };
        let mut s = session(&graph, &spec);
        let losses: Vec<f32> = (0..40)
            .map(|_| s.step(&images, &labels, 0.1).unwrap().loss)
            .collect();
        let mut answers = vec![];
        s.logits(&images, &mut answers).unwrap();
        (losses, answers, s.memory_bytes())
    };
    let (single, _, single_bytes) = run(Storage::F32);
    let (half, answers, half_bytes) = run(Storage::Bf16);
    assert!(half[39] < 0.6 * half[0], "{half:?}");
    assert!(
        (half[39] - single[39]).abs() < 0.2 * single[39],
        "{} {}",
        half[39],
        single[39]
    );
    assert!(answers.iter().all(|a| a.is_finite()));
    assert!(
        half_bytes < single_bytes * 3 / 4,
        "{half_bytes} of {single_bytes}"
    );
}
