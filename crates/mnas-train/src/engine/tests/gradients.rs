//! Gradients, losses, statistics and answers against the double-precision reference.

use super::*;

/// Central difference of the reference loss along one value of a parameter.
fn difference(
    graph: &Graph,
    params: &mut reference::Params,
    (name, i): (&str, usize),
    loss: &dyn Fn(&reference::Params) -> f64,
) -> f64 {
    let _ = graph;
    // So small that hardly any activation changes side within it.
    let h = 1e-7;
    let old = params[name][i];
    let mut at = |v: f64| {
        params.get_mut(name).unwrap()[i] = v;
        loss(params)
    };
    let d = (at(old + h) - at(old - h)) / (2.0 * h);
    at(old);
    d
}

/// Compares one step of the engine with the reference: loss, gradients (up to `probes` values of
/// each tensor), running statistics, then answers in evaluation.
fn check(graph: &Graph, n: usize, seed: u64, probes: usize) {
    let spec = plain_spec(n + 1, graph.input_shape().c);
    let w = weights(graph, seed);
    let (images, labels) = batch(graph, n, seed);
    let mut session = cpu().compile(graph, &spec).unwrap();
    session.load(&w).unwrap();
    let x = reference::inputs(&images, &spec);
    let mut p = reference::params(&w);

    let mut answers = vec![];
    session.logits(&images, &mut answers).unwrap();
    let (expected, _) = reference::logits(graph, &p, &x, n, false);
    let scale = expected.iter().fold(1.0f64, |a, v| a.max(v.abs()));
    for (a, e) in answers.iter().zip(&expected) {
        assert!(
            (f64::from(*a) - e).abs() < 1e-4 * scale,
            "seed {seed}: answer {a}, not {e}"
        );
    }

    let stats = session.step(&images, &labels, 1.0).unwrap();
    let smoothing = f64::from(spec.label_smoothing);
    let loss = |p: &reference::Params| {
        let (y, _) = reference::logits(graph, p, &x, n, true);
        reference::loss(&y, &labels, smoothing)
    };
    let expected = loss(&p);
    assert!(
        (f64::from(stats.loss) - expected).abs() < 1e-4 * expected.max(1.0),
        "seed {seed}"
    );
    let after = session.weights();
    let (_, statistics) = reference::logits(graph, &p, &x, n, true);
    let mut s = stream(seed, 5, Purpose::Sample);
    for spec in graph.params() {
        let (old, new) = (&w.get(&spec.name).data, &after.get(&spec.name).data);
        let node = spec.name.rsplit_once('.').unwrap().0;
        let running = match spec.role {
            mnas_net::ParamRole::BnMean => Some(&statistics[node].0),
            mnas_net::ParamRole::BnVar => Some(&statistics[node].1),
            _ => None,
        };
        if let Some(batch) = running {
            for i in 0..old.len() {
                let e = 0.9 * f64::from(old[i]) + 0.1 * batch[i];
                let tolerance = 1e-4 * (1.0 + e.abs());
                assert!(
                    (f64::from(new[i]) - e).abs() < tolerance,
                    "{}[{i}]",
                    spec.name
                );
            }
            continue;
        }
        let size = old
            .iter()
            .zip(new)
            .fold(0.0f64, |a, (o, n)| a.max(f64::from((o - n).abs())));
        for _ in 0..probes.min(old.len()) {
            let i = s.below(old.len());
            let got = f64::from(old[i]) - f64::from(new[i]);
            let expected = difference(graph, &mut p, (&spec.name, i), &loss);
            let tolerance = 2e-3 * size + 2e-5;
            assert!(
                (got - expected).abs() < tolerance,
                "seed {seed}: {}[{i}]: {got}, not {expected}; largest {size}\n{graph}",
                spec.name
            );
        }
    }
}

#[test]
fn random_graphs() {
    for seed in 0..60 {
        let graph = random_graph(seed);
        check(&graph, 1 + seed as usize % 5, seed, 4);
    }
}

/// Cells as networks have them: pools, sums of one value, states read often, concatenations that
/// are read twice, two halves of a strided state.
#[test]
fn cells() {
    let text = "stem_k3_s1_c6; normal_sep3@0_max3@1; normal_avg3@2_id@2; normal_sep5@0_sep7@1; \
                reduce_sep3@0_max3@1; reduce_id@0_avg3@1; reduce_sep5@2_id@3; cell_r2_s1_c5; cell_r2_s2_c6; head_c9";
    let spec: mnas_net::NetSpec = text.parse().unwrap();
    let graph = spec.graph(mnas_net::Shape::new(9, 8, 3), 4).unwrap();
    check(&graph, 3, 300, 1);
}

#[test]
fn odd_sizes_and_channels() {
    for (i, (size, c)) in [(8, 17), (9, 33), (15, 5), (33, 16), (20, 24)]
        .into_iter()
        .enumerate()
    {
        let mut d = Draft::new(size, size + i, 3);
        let x = d.conv(d.b.input(), 3, 2, c);
        let x = d.norm(x, Some(Activation::Relu));
        let y = d.depthwise(x, [3, 5, 7][i % 3], 1 + i % 2);
        let y = d.norm(y, Some(Activation::Relu6));
        let y = d.squeeze(y, 4);
        let y = d.conv(y, 1, 1, c + 7);
        let y = d.norm(y, None);
        let y = d.conv(y, 1, 2, 19);
        check(&d.classify(y, 3), 3, 100 + i as u64, 3);
    }
}

/// Enough rows that each pointwise task has a weight gradient of its own, and wide layers on few
/// rows, where tasks cut channels: both ways of both layers.
#[test]
fn tall_and_wide_layers() {
    let mut d = Draft::new(16, 16, 3);
    let x = d.conv(d.b.input(), 3, 1, 20);
    let x = d.norm(x, Some(Activation::HSwish));
    let x = d.conv(x, 1, 1, 50);
    let x = d.norm(x, Some(Activation::Relu));
    let x = d.depthwise(x, 5, 2);
    let x = d.norm(x, Some(Activation::Relu));
    let x = d.conv(x, 1, 1, 130);
    let x = d.norm(x, Some(Activation::Relu));
    let x = d.conv(x, 3, 2, 150);
    let x = d.norm(x, Some(Activation::Relu));
    let x = d.conv(x, 1, 1, 300);
    let x = d.norm(x, Some(Activation::Relu));
    check(&d.classify(x, 4), 6, 200, 2);
}
