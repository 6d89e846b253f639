//! What a session promises besides correct gradients.

use super::*;

/// A graph with dropout, residual, squeeze-excitation and every kind of layer.
fn graph() -> Graph {
    let mut d = Draft::new(11, 9, 3);
    let x = d.conv(d.b.input(), 3, 1, 12);
    let x = d.norm(x, Some(Activation::Relu));
    let y = d.conv(x, 1, 1, 30);
    let y = d.norm(y, Some(Activation::HSwish));
    let y = d.depthwise(y, 5, 1);
    let y = d.norm(y, Some(Activation::Relu));
    let y = d.squeeze(y, 4);
    let y = d.conv(y, 1, 1, 12);
    let y = d.norm(y, None);
    let x = d.add(Op::Add, &[x, y]);
    let x = d.depthwise(x, 3, 2);
    let x = d.norm(x, Some(Activation::Relu));
    let x = d.add(Op::GlobalAvgPool, &[x]);
    let x = d.add(Op::Dropout { rate: 0.3 }, &[x]);
    let x = d.add(Op::Linear { features: 4 }, &[x]);
    d.b.finish(x)
}

fn session(graph: &Graph, spec: &SessionSpec) -> Box<dyn Session> {
    let mut s = cpu().compile(graph, spec).unwrap();
    s.load(&weights(graph, 1)).unwrap();
    s
}

fn rich_spec(batch: usize) -> SessionSpec {
    SessionSpec {
        optimizer: Optimizer::RmsProp {
            decay: 0.9,
            momentum: 0.9,
            epsilon: 1e-3,
        },
        weight_decay: 1e-4,
        ema_decay: Some(0.999),
        ..plain_spec(batch, 3)
    }
}

const MUON: Optimizer = Optimizer::Muon {
    momentum: 0.6,
    kernels: 0.4,
};

/// Losses of some steps on batches of the given sizes.
fn losses(s: &mut dyn Session, graph: &Graph, sizes: &[usize], seed: u64) -> Vec<u32> {
    let mut step = |(i, n): (usize, &usize)| {
        let (images, labels) = batch(graph, *n, seed + i as u64);
        s.step(&images, &labels, 0.01).unwrap().loss.to_bits()
    };
    sizes.iter().enumerate().map(&mut step).collect()
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let graph = graph();
    for optimizer in [rich_spec(1).optimizer, MUON] {
        let run = |threads| {
            let mut s = session(
                &graph,
                &SessionSpec {
                    threads,
                    optimizer,
                    ..rich_spec(33)
                },
            );
            (losses(&mut *s, &graph, &[33, 20, 33, 1], 5), s.state())
        };
        let one = run(1);
        for threads in [2, 3, 7] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }
}

#[test]
fn a_resumed_session_goes_on_with_the_same_bits() {
    let graph = graph();
    let optimizers = [
        rich_spec(1).optimizer,
        Optimizer::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        MUON,
    ];
    for optimizer in optimizers {
        let spec = SessionSpec {
            optimizer,
            ..rich_spec(8)
        };
        let mut whole = session(&graph, &spec);
        losses(&mut *whole, &graph, &[8, 8, 5], 1);
        let state = Weights::from_safetensors(&whole.state().to_safetensors()).unwrap();
        let mut resumed = cpu().compile(&graph, &spec).unwrap();
        resumed.load_state(&state).unwrap();
        assert_eq!(
            losses(&mut *resumed, &graph, &[8, 3, 8], 9),
            losses(&mut *whole, &graph, &[8, 3, 8], 9)
        );
        assert_eq!(resumed.state(), whole.state());
        assert_eq!(resumed.weights(), whole.weights());
    }
}

/// At a rate of 0 all that Muon does is to give kernels before a batch norm their norm.
#[test]
fn muon_is_for_kernels_before_a_batch_norm() {
    let graph = graph();
    let spec = SessionSpec {
        optimizer: MUON,
        ..plain_spec(8, 3)
    };
    let mut s = session(&graph, &spec);
    let before = s.weights();
    let (images, labels) = batch(&graph, 8, 1);
    s.step(&images, &labels, 0.0).unwrap();
    let after = s.weights();
    let mut kernels = 0;
    for p in graph.params().iter().filter(|p| p.role.trainable()) {
        let normed = graph.nodes().iter().any(|norm| {
            matches!(norm.op, Op::BatchNorm { .. })
                && format!("{}.weight", graph.node(norm.inputs[0]).name) == p.name
        });
        let (b, a) = (&before.get(&p.name).data, &after.get(&p.name).data);
        if normed && p.role == mnas_net::ParamRole::ConvKernel {
            let norm = |w: &[f32]| w.iter().map(|w| w * w).sum::<f32>().sqrt();
            let scale = (p.shape[0] as f32).sqrt() / norm(b);
            assert!(
                (norm(a) - (p.shape[0] as f32).sqrt()).abs() < 1e-3,
                "{}",
                p.name
            );
            for (a, b) in a.iter().zip(b) {
                assert!((a - scale * b).abs() < 1e-5, "{}: {a} and {b}", p.name);
            }
            kernels += 1;
        } else {
            assert_eq!(a, b, "{}", p.name);
        }
    }
    assert!(kernels > 1);
}

#[test]
fn a_small_batch_is_like_a_session_of_its_size() {
    let graph = graph();
    let mut large = session(&graph, &rich_spec(16));
    let mut small = session(&graph, &rich_spec(3));
    losses(&mut *large, &graph, &[16], 3);
    large.load(&weights(&graph, 1)).unwrap();
    let sizes = [3, 1, 2];
    assert_eq!(
        losses(&mut *large, &graph, &sizes, 4),
        losses(&mut *small, &graph, &sizes, 4)
    );
    let (images, _) = batch(&graph, 3, 6);
    let (mut a, mut b) = (vec![9.0; 5], vec![]);
    large.logits(&images, &mut a).unwrap();
    small.logits(&images, &mut b).unwrap();
    assert_eq!(a, b);
    assert_eq!(a.len(), 12);
}

/// Answers don't depend on the other images of a batch, nor on whether training came before.
#[test]
fn evaluation_is_image_by_image() {
    let graph = graph();
    let mut s = session(&graph, &rich_spec(6));
    let (images, labels) = batch(&graph, 6, 2);
    let (mut together, mut alone) = (vec![], vec![]);
    s.logits(&images, &mut together).unwrap();
    let one = graph.input_shape().len();
    for (i, image) in images.chunks_exact(one).enumerate() {
        s.logits(image, &mut alone).unwrap();
        for (a, b) in alone.iter().zip(&together[i * 4..]) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} and {b}");
        }
    }
    s.step(&images, &labels, 0.0).unwrap();
    let mut fresh = session(&graph, &rich_spec(6));
    fresh.load(&s.weights()).unwrap();
    let mut after = vec![];
    s.logits(&images, &mut together).unwrap();
    fresh.logits(&images, &mut after).unwrap();
    assert_eq!(together, after);
}

#[test]
fn training_learns_a_toy_problem() {
    let graph = graph();
    let spec = SessionSpec {
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            nesterov: false,
        },
        label_smoothing: 0.0,
        ..plain_spec(16, 3)
    };
    let mut s = cpu().compile(&graph, &spec).unwrap();
    s.load(&Weights::init(&graph, &mut stream(1, 0, Purpose::Init)))
        .unwrap();
    // The class is the brightest quarter of the image.
    let mut random = stream(3, 0, Purpose::Sample);
    let mut images_of = |n: usize| {
        let labels: Vec<u16> = (0..n).map(|_| random.below(4) as u16).collect();
        let mut images = vec![];
        for y in &labels {
            for p in 0..99 {
                let quarter = u16::from(p / 9 >= 6) * 2 + u16::from(p % 9 >= 5);
                let bright = if quarter == *y { 90 } else { 0 };
                (0..3).for_each(|_| images.push((random.below(150) + bright) as u8));
            }
        }
        (images, labels)
    };
    let (mut first, mut last) = (0.0, 0.0);
    for i in 0..150 {
        let (images, labels) = images_of(16);
        let stats = s.step(&images, &labels, 0.05).unwrap();
        if i == 0 {
            first = stats.loss;
        }
        last = stats.loss;
    }
    let (images, labels) = images_of(16);
    let mut answers = vec![];
    s.logits(&images, &mut answers).unwrap();
    let best = |row: &[f32]| (0..4).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    let right = answers.chunks_exact(4).zip(&labels);
    let right = right
        .filter(|(row, y)| best(row) == Some(usize::from(**y)))
        .count();
    assert!(
        last < 0.5 * first && right >= 13,
        "loss {first} to {last}, {right} of 16 right"
    );
}

/// Dropout zeroes its share of features in training only, with another mask each step and trial.
#[test]
fn dropout_is_random_by_step_and_trial_and_off_in_evaluation() {
    let graph = graph();
    let (images, labels) = batch(&graph, 8, 1);
    let run = |trial| {
        let spec = SessionSpec {
            trial,
            ema_decay: None,
            ..rich_spec(8)
        };
        let mut s = session(&graph, &spec);
        let mut loss = || s.step(&images, &labels, 0.0).unwrap().loss;
        [loss(), loss()]
    };
    let (a, b) = (run(1), run(2));
    assert_eq!(a, run(1));
    assert!(a[0] != a[1] && a[0] != b[0], "{a:?} {b:?}");
}

#[test]
fn averages_follow_the_ramp() {
    let graph = graph();
    let spec = |ema_decay| SessionSpec {
        ema_decay,
        ..rich_spec(8)
    };
    let (mut raw, mut averaged) = (
        session(&graph, &spec(None)),
        session(&graph, &spec(Some(0.15))),
    );
    let mut expected = raw.weights();
    // min(0.15, 2/11), then min(0.15, 3/12).
    for (i, keep) in [(0, 0.15f32), (1, 0.15)] {
        losses(&mut *raw, &graph, &[8], i);
        losses(&mut *averaged, &graph, &[8], i);
        for (name, t) in &raw.weights().tensors {
            let e = &mut expected.tensors.get_mut(name).unwrap().data;
            e.iter_mut()
                .zip(&t.data)
                .for_each(|(e, v)| *e = keep * *e + (1.0 - keep) * v);
        }
    }
    for (name, t) in &averaged.weights().tensors {
        for (a, e) in t.data.iter().zip(&expected.get(name).data) {
            assert!(
                (a - e).abs() < 1e-5 * (1.0 + e.abs()),
                "{name}: {a}, not {e}"
            );
        }
    }
    // At 0.999 the ramp rules: 2/11 of the start is left after the first step.
    let mut ramp = session(&graph, &spec(Some(0.999)));
    let start = ramp.weights();
    losses(&mut *ramp, &graph, &[8], 0);
    let state = ramp.state();
    for (name, t) in &ramp.weights().tensors {
        for ((a, s), v) in t
            .data
            .iter()
            .zip(&start.get(name).data)
            .zip(&state.get(name).data)
        {
            let e = 2.0 / 11.0 * s + 9.0 / 11.0 * v;
            assert!(
                (a - e).abs() < 1e-5 * (1.0 + e.abs()),
                "{name}: {a}, not {e}"
            );
        }
    }
}

#[test]
fn divergence_leaves_the_weights() {
    let graph = graph();
    let mut s = session(&graph, &plain_spec(4, 3));
    let mut bad = weights(&graph, 1);
    bad.tensors.get_mut("n1.conv.weight").unwrap().data[3] = f32::NAN;
    s.load(&bad).unwrap();
    let before = s.state();
    let (images, labels) = batch(&graph, 4, 1);
    let e = s.step(&images, &labels, 0.1).unwrap_err();
    assert!(matches!(e, EngineError::Diverged { step: 1 }), "{e}");
    let bits = |w: &Weights| -> Vec<u32> {
        w.tensors
            .values()
            .flat_map(|t| t.data.iter().map(|v| v.to_bits()))
            .collect()
    };
    assert_eq!(bits(&s.state()), bits(&before));
}

#[test]
fn inputs_that_do_not_fit() {
    let graph = graph();
    let mut s = session(&graph, &plain_spec(4, 3));
    let (images, labels) = batch(&graph, 4, 1);
    let mut check = |images: &[u8], labels: &[u16], message: &str| {
        assert_eq!(
            s.step(images, labels, 0.1).unwrap_err().to_string(),
            message
        );
    };
    let expected = "expected 1 to 4 images of 297 bytes";
    check(
        &images[1..],
        &labels,
        &format!("a batch of 1187 bytes for 4 label(s): {expected}"),
    );
    check(
        &images,
        &labels[1..],
        &format!("a batch of 1188 bytes for 3 label(s): {expected}"),
    );
    check(
        &[],
        &[],
        &format!("a batch of 0 bytes for 0 label(s): {expected}"),
    );
    check(
        &images,
        &[0, 1, 4, 2],
        "label 4 at position 2: the network has 4 classes",
    );
    let five = [&images[..], &images[..297]].concat();
    assert!(matches!(
        s.logits(&five, &mut vec![]),
        Err(EngineError::Batch { batch: 4, .. })
    ));

    let mut state = s.state();
    state.tensors.remove("step");
    let message = s.load_state(&state).unwrap_err().to_string();
    assert_eq!(message, "tensor step [2] is missing");
    let other = session(&graph, &rich_spec(4)).state();
    let message = s.load_state(&other).unwrap_err().to_string();
    assert_eq!(
        message,
        "tensor ema/n1.conv.weight belongs to no layer of the network"
    );
    assert!(s.load(&Weights::default()).is_err());
}

#[test]
fn settings_out_of_range() {
    let graph = graph();
    let check = |edit: fn(&mut SessionSpec), message: &str| {
        let mut spec = rich_spec(4);
        edit(&mut spec);
        let e = cpu().compile(&graph, &spec).err().unwrap();
        assert_eq!(e.to_string(), message);
    };
    check(
        |s| s.batch = 0,
        "session setting batch = 0: expected at least 1",
    );
    check(
        |s| s.threads = 0,
        "session setting threads = 0: expected at least 1",
    );
    check(
        |s| s.bn_momentum = 1.5,
        "session setting bn_momentum = 1.5: expected 0 to 1",
    );
    check(
        |s| s.normalize.std[1] = 0.0,
        "session setting normalize.std = 0: expected a positive number",
    );
    check(
        |s| s.normalize.mean.truncate(2),
        "session setting normalize.mean = 2: expected one number per channel",
    );
    let mut d = Draft::new(4, 4, 3);
    let x = d.conv(d.b.input(), 3, 1, 2);
    let e = cpu().compile(&d.b.finish(x), &rich_spec(4)).err().unwrap();
    assert_eq!(
        e.to_string(),
        "n1.conv: the cpu engine does not support conv here"
    );
}

/// Evaluation takes less memory than training, and steps after the first allocate nothing more.
#[test]
fn memory_is_planned() {
    let graph = graph();
    let mut s = session(&graph, &rich_spec(32));
    let (images, labels) = batch(&graph, 32, 1);
    s.logits(&images, &mut vec![]).unwrap();
    let evaluation = s.memory_bytes();
    s.step(&images, &labels, 0.1).unwrap();
    let training = s.memory_bytes();
    for _ in 0..3 {
        s.step(&images, &labels, 0.1).unwrap();
        s.logits(&images, &mut vec![]).unwrap();
    }
    assert_eq!(s.memory_bytes(), training);
    assert!(evaluation < training, "{evaluation} and {training}");
}

/// Parts of a graph that the output doesn't need are neither computed nor trained by the loss.
#[test]
fn nodes_without_readers_are_left_out() {
    let mut d = Draft::new(6, 6, 1);
    let x = d.conv(d.b.input(), 3, 1, 4);
    let side = d.conv(x, 1, 1, 5);
    d.norm(side, Some(Activation::Relu));
    let graph = d.classify(x, 3);
    let spec = plain_spec(4, 1);
    let mut s = session(&graph, &spec);
    let before = s.weights();
    let (images, labels) = batch(&graph, 4, 1);
    s.step(&images, &labels, 0.5).unwrap();
    let after = s.weights();
    for (name, t) in &before.tensors {
        let dead = ["n2.", "n3.", "n4."].iter().any(|p| name.starts_with(p));
        assert_eq!(after.get(name) == t, dead, "{name}");
    }
}
