//! Inference engines agree with the interpreter on every primitive, and refuse what they must.

use mnas_deploy::{
    EngineError, EngineId, Format, InferenceEngine, LibraryError, ModelFile, ModelMeta, export,
    interpret, load_model,
};
use mnas_net::{
    Activation, Graph, GraphBuilder, NodeId, Op, ParamRole, Purpose, Shape, Weights, stream,
};

/// Largest difference allowed, relative to the largest output: float32 sums in another order.
const TOLERANCE: f32 = 2e-5;

fn conv(kernel: usize, stride: usize, filters: usize, bias: bool) -> Op {
    Op::Conv {
        kernel,
        stride,
        filters,
        bias,
    }
}

fn depthwise(kernel: usize, stride: usize, bias: bool) -> Op {
    Op::DepthwiseConv {
        kernel,
        stride,
        bias,
    }
}

/// Every primitive, odd sizes, stride 2 on odd and even extents, squeeze and excitation.
fn every_primitive() -> Graph {
    let mut b = GraphBuilder::new(Shape::new(21, 18, 3)).unwrap();
    let image = b.input();
    let mut add = |name: &str, op, inputs: &[NodeId]| b.add(name, op, inputs).unwrap();
    let (kernel, stride) = (3, 2);
    let stem = add("stem", conv(kernel, stride, 8, false), &[image]);
    let stem = add("stem.bn", Op::BATCH_NORM, &[stem]);
    let stem = add("stem.act", Op::Act(Activation::Relu6), &[stem]);
    let expand = add("expand", conv(1, 1, 16, false), &[stem]);
    let expand = add("expand.bn", Op::BATCH_NORM, &[expand]);
    let expand = add("expand.act", Op::Act(Activation::HSwish), &[expand]);
    let deep = add("deep", depthwise(5, 1, false), &[expand]);
    let deep = add("deep.bn", Op::BATCH_NORM, &[deep]);
    let deep = add("deep.act", Op::Act(Activation::Relu), &[deep]);
    let squeeze = add("se.pool", Op::GlobalAvgPool, &[deep]);
    let squeeze = add("se.reduce", conv(1, 1, 4, true), &[squeeze]);
    let squeeze = add("se.act", Op::Act(Activation::Relu), &[squeeze]);
    let gate = add("se.expand", conv(1, 1, 16, true), &[squeeze]);
    let gate = add("se.gate", Op::Act(Activation::Sigmoid), &[gate]);
    let gated = add("se.mul", Op::Mul, &[deep, gate]);
    let project = add("project", conv(1, 1, 8, false), &[gated]);
    let project = add("project.bn", Op::BATCH_NORM, &[project]);
    let sum = add("add", Op::Add, &[project, stem]);
    let average = add("average", Op::AvgPool { kernel, stride }, &[sum]);
    let most = add("most", Op::MaxPool { kernel, stride }, &[sum]);
    let strided = add("strided", depthwise(kernel, stride, true), &[sum]);
    let joined = add("concat", Op::Concat, &[average, most, strided]);
    let pooled = add("pool", Op::GlobalAvgPool, &[joined]);
    let dropped = add("drop", Op::Dropout { rate: 0.2 }, &[pooled]);
    let answer = add("classifier", Op::Linear { features: 7 }, &[dropped]);
    b.finish(answer)
}

/// Random weights in which nothing is 0 or 1, statistics included.
fn weights(graph: &Graph, seed: u64) -> Weights {
    let mut random = stream(seed, 0, Purpose::Sample);
    let mut weights = Weights::init(graph, &mut random);
    for p in graph.params() {
        let tensor = weights.tensors.get_mut(&p.name).unwrap();
        for v in &mut tensor.data {
            match p.role {
                ParamRole::BnScale | ParamRole::BnVar => *v = 0.5 + random.uniform() as f32,
                _ => *v += 0.2 * random.normal() as f32,
            }
        }
    }
    weights
}

fn model(graph: &Graph, weights: &Weights, format: Format) -> ModelFile {
    export(graph, weights, format, &ModelMeta::default()).unwrap()
}

/// The loaded model; none, said so, where the engine's library isn't on this machine.
fn load(file: &ModelFile, engine: EngineId) -> Option<Box<dyn InferenceEngine>> {
    match load_model(file, engine) {
        Ok(model) => Some(model),
        Err(EngineError::Library(e @ LibraryError::Missing { .. })) => {
            println!("skipped: {engine}: {e}");
            None
        }
        Err(EngineError::NotBuilt { .. }) => {
            println!("skipped: {engine}: not in this build");
            None
        }
        Err(e) => panic!("{engine}: {e}"),
    }
}

#[test]
fn engines_agree_with_the_interpreter() {
    let graph = every_primitive();
    for engine in EngineId::ALL {
        for seed in 0..3 {
            let weights = weights(&graph, seed);
            let file = model(&graph, &weights, engine.format());
            let Some(mut model) = load(&file, engine) else {
                continue;
            };
            assert_eq!(model.id(), engine);
            assert_eq!(model.input_shape(), graph.input_shape());
            assert_eq!(model.outputs(), 7);
            assert!(model.output().unwrap().is_empty(), "{engine} before a run");
            let mut random = stream(seed, 1, Purpose::Sample);
            for _ in 0..2 {
                let image: Vec<f32> = (0..graph.input_shape().len())
                    .map(|_| random.normal() as f32)
                    .collect();
                let expected = interpret(&graph, &weights, &image);
                let got = model.run(&image).unwrap();
                check_close(engine, &got, &expected);
            }
        }
    }
}

fn check_close(engine: EngineId, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{engine}");
    let scale = expected.iter().fold(0.0f32, |a, v| a.max(v.abs()));
    let worst = got
        .iter()
        .zip(expected)
        .fold(0.0f32, |a, (g, e)| a.max((g - e).abs()));
    println!(
        "{engine}: difference {:.1e} of the largest output",
        worst / scale
    );
    assert!(
        worst <= TOLERANCE * scale,
        "{engine}: {got:?} instead of {expected:?}"
    );
}

#[test]
fn wrong_images_formats_and_files_are_refused() {
    let graph = every_primitive();
    let weights = weights(&graph, 0);
    for engine in EngineId::ALL {
        let file = model(&graph, &weights, engine.format());
        let Some(mut loaded) = load(&file, engine) else {
            continue;
        };
        let short = loaded.run(&[0.0; 3]);
        assert!(
            matches!(short, Err(EngineError::InputLength { got: 3, expected, .. }) if expected == 21 * 18 * 3)
        );
        let other = match engine.format() {
            Format::Onnx => Format::Tflite,
            Format::Tflite => Format::Onnx,
        };
        let wrong = load_model(&model(&graph, &weights, other), engine);
        assert!(matches!(wrong, Err(EngineError::Format { .. })), "{engine}");
        let lies = ModelFile {
            input: Shape::new(18, 21, 3),
            ..file.clone()
        };
        let lies = load_model(&lies, engine);
        assert!(matches!(lies, Err(EngineError::Shape { .. })), "{engine}");
        let junk = ModelFile {
            bytes: b"no model at all, but some bytes".to_vec(),
            ..file
        };
        let junk = load_model(&junk, engine);
        assert!(matches!(junk, Err(EngineError::Load { .. })), "{engine}");
    }
}
