//! 8-bit files against the float interpreter: every primitive, random graphs, and samples of every
//! built-in space, in every engine that is present.

use mnas_deploy::{
    EngineError, EngineId, ModelMeta, QuantizeOptions, RangeMethod, export_int8, interpret,
    load_model, quantize,
};
use mnas_net::{Graph, Purpose, Shape, Weights, stream};
use mnas_search::Space;

use super::networks::{
    Case, blocks, random_graph, random_network, random_weights, shared_inputs, single_ops,
};

/// Largest root mean square of the differences, relative to that of the expected values. A single
/// rounding to 255 steps over a range of six standard deviations makes 0.007; a primitive rounds its
/// input, its kernel and its value.
const PRIMITIVE_BOUND: f64 = 0.05;
/// The same for whole networks with random weights, in which the roundings of some fifty layers add
/// up and nothing was trained to withstand noise.
const NETWORK_BOUND: f64 = 0.08;
/// Of networks of more than sixty layers: the worst of five samples of a space is 0.110;
/// shallower spaces keep to the bound above.
const DEEP_BOUND: f64 = 0.12;
const IMAGES: usize = 3;

const OPTIONS: QuantizeOptions = QuantizeOptions {
    ranges: RangeMethod::MinMax,
    reduce_range: false,
    threads: 2,
};

fn images(shape: Shape, seed: u64) -> Vec<Vec<f32>> {
    let mut random = stream(seed, 0, Purpose::Sample);
    let mut image = || (0..shape.len()).map(|_| random.normal() as f32).collect();
    (0..IMAGES).map(|_| image()).collect()
}

/// Channels last, as the interpreter has it.
fn channels_last(answer: Vec<f32>, shape: Shape, engine: EngineId) -> Vec<f32> {
    if engine == EngineId::LiteRt {
        return answer;
    }
    let at = |i: usize| answer[(i % shape.c) * shape.pixels() + i / shape.c];
    (0..answer.len()).map(at).collect()
}

/// Relative root mean square difference over all images; none where the engine isn't here.
fn difference(graph: &Graph, weights: &Weights, engine: EngineId, name: &str) -> Option<f64> {
    let images = images(graph.input_shape(), 11);
    let quantized = quantize(graph, weights, &images, OPTIONS);
    let quantized = quantized.unwrap_or_else(|e| panic!("{name}: {e}"));
    let file = export_int8(&quantized, engine.format(), &ModelMeta::default()).unwrap();
    let mut model = match load_model(&file, engine) {
        Ok(model) => model,
        Err(EngineError::Library(_) | EngineError::NotBuilt { .. }) => return None,
        Err(e) => panic!("{name}: {e}"),
    };
    let (mut squares, mut total) = (0.0, 0.0);
    for image in &images {
        let expected = interpret(graph, weights, image);
        let got = model.run(image).unwrap_or_else(|e| panic!("{name}: {e}"));
        let got = channels_last(got, graph.output_shape(), engine);
        assert_eq!(got.len(), expected.len(), "{name}");
        for (a, b) in got.iter().zip(&expected) {
            squares += (f64::from(*a) - f64::from(*b)).powi(2);
            total += f64::from(*b).powi(2);
        }
    }
    Some(if total > 0.0 {
        (squares / total).sqrt()
    } else {
        squares.sqrt()
    })
}

fn check(cases: &[Case], bound: f64, what: &str) {
    for engine in EngineId::ALL {
        let mut worst = (0.0, "");
        let mut sum = 0.0;
        for case in cases {
            let Some(d) = difference(&case.graph, &case.weights, engine, &case.name) else {
                println!("skipped: 8-bit {what} in {engine} (not here)");
                break;
            };
            let name = &case.name;
            assert!(
                d <= bound,
                "{engine}, {name}: {d:.4} > {bound:.4}\n{}",
                case.graph
            );
            sum += d;
            if d > worst.0 {
                worst = (d, name);
            }
        }
        let mean = sum / cases.len() as f64;
        println!(
            "{engine}, {what}: mean {mean:.4}, worst {:.4} ({})",
            worst.0, worst.1
        );
    }
}

#[test]
fn primitives_agree() {
    check(&single_ops(), PRIMITIVE_BOUND, "primitives");
    check(&shared_inputs(), PRIMITIVE_BOUND, "shared inputs");
}

#[test]
fn random_graphs_and_blocks_agree() {
    let graphs: Vec<Case> = (0..40).map(random_graph).collect();
    check(&graphs, NETWORK_BOUND, "graphs");
    check(&blocks(), NETWORK_BOUND, "blocks");
    let networks: Vec<Case> = (0..10).map(random_network).collect();
    check(&networks, NETWORK_BOUND, "networks");
}

#[test]
fn samples_of_every_space_agree() {
    for name in Space::builtin_names() {
        let space = Space::builtin(name).unwrap();
        let mut random = stream(3, 0, Purpose::Sample);
        let sample = |i: usize| {
            let tokens = space.sample(&mut random);
            let spec = space.decode(&tokens).unwrap();
            let graph = spec.graph(Shape::new(32, 32, 3), 10).unwrap();
            let weights = random_weights(&graph, &mut stream(i as u64, 1, Purpose::Sample));
            Case::of(format!("{name} {i}"), graph, weights)
        };
        let cases: Vec<Case> = (0..5).map(sample).collect();
        // The other spaces have half of their layers at most.
        let bound = if matches!(name, "proxyless" | "nasnet") {
            DEEP_BOUND
        } else {
            NETWORK_BOUND
        };
        check(&cases, bound, name);
    }
}
