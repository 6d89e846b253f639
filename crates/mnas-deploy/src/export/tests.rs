//! What the files hold, read back with the messages and the reader of this crate. That engines
//! read them alike is held by `tests/export`.

use mnas_net::{Activation, GraphBuilder, NodeId, Purpose, stream};
use prost::Message;

use super::tflite::read;
use super::tflite::schema::field;
use super::*;

fn meta() -> ModelMeta {
    ModelMeta {
        name: "toy".into(),
        classes: vec!["cat".into(), "d\"og, é".into(), "eel".into()],
        normalize_mean: vec![0.5, 0.4],
        normalize_std: vec![0.25, 0.2],
        extra: [("fingerprint".to_string(), "ab12".to_string())].into(),
    }
}

fn add(b: &mut GraphBuilder, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
    b.add(name, op, inputs).unwrap()
}

/// A network with every primitive, and a classifier of 3 classes.
fn every_op() -> Graph {
    let mut b = GraphBuilder::new(Shape::new(7, 5, 2)).unwrap();
    let conv = Op::Conv {
        kernel: 3,
        stride: 2,
        filters: 4,
        bias: false,
    };
    let depthwise = Op::DepthwiseConv {
        kernel: 5,
        stride: 1,
        bias: false,
    };
    let (kernel, stride) = (3, 1);
    let image = b.input();
    let c = add(&mut b, "conv", conv, &[image]);
    let n = add(&mut b, "bn", Op::BATCH_NORM, &[c]);
    let relu = add(&mut b, "relu", Op::Act(Activation::Relu), &[n]);
    let d = add(&mut b, "depthwise", depthwise, &[relu]);
    let relu6 = add(&mut b, "relu6", Op::Act(Activation::Relu6), &[d]);
    let hswish = add(&mut b, "hswish", Op::Act(Activation::HSwish), &[relu6]);
    let squeeze = add(&mut b, "squeeze", Op::GlobalAvgPool, &[hswish]);
    let inner = add(&mut b, "inner", Op::Linear { features: 4 }, &[squeeze]);
    let gate = add(&mut b, "gate", Op::Act(Activation::Sigmoid), &[inner]);
    let mul = add(&mut b, "mul", Op::Mul, &[hswish, gate]);
    let sum = add(&mut b, "add", Op::Add, &[mul, relu]);
    let average = add(&mut b, "avg", Op::AvgPool { kernel, stride }, &[sum]);
    let max = add(&mut b, "max", Op::MaxPool { kernel, stride }, &[sum]);
    let joined = add(&mut b, "concat", Op::Concat, &[average, max]);
    let pooled = add(&mut b, "pool", Op::GlobalAvgPool, &[joined]);
    let dropped = add(&mut b, "drop", Op::Dropout { rate: 0.2 }, &[pooled]);
    let y = add(&mut b, "classifier", Op::Linear { features: 3 }, &[dropped]);
    b.finish(y)
}

fn init(graph: &Graph) -> Weights {
    Weights::init(graph, &mut stream(0, 0, Purpose::Init))
}

#[test]
fn onnx_nodes() {
    let graph = every_op();
    let file = export(&graph, &init(&graph), Format::Onnx, &meta()).unwrap();
    let model = onnx::proto::ModelProto::decode(&*file.bytes).unwrap();
    let onnx = model.graph.unwrap();
    let ops: Vec<&str> = onnx.node.iter().map(|n| &*n.op_type).collect();
    let expected = "Conv Relu Conv Clip HardSigmoid Mul GlobalAveragePool Conv Sigmoid Mul Add \
                    AveragePool MaxPool Concat GlobalAveragePool Flatten Gemm";
    assert_eq!(ops.join(" "), expected);
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 13));
    assert_eq!(onnx.input[0].float_shape(), Some(vec![1, 2, 7, 5]));
    assert_eq!(onnx.output[0].float_shape(), Some(vec![1, 3]));
    assert_eq!(
        (&*onnx.input[0].name, &*onnx.output[0].name),
        ("input", "logits")
    );
    // Every name that is read is made before, once.
    let mut known: Vec<&str> = onnx.initializer.iter().map(|t| &*t.name).collect();
    known.push("input");
    for node in &onnx.node {
        assert!(node.input.iter().all(|i| known.contains(&&**i)), "{node:?}");
        for output in &node.output {
            assert!(!known.contains(&&**output), "{output} is made twice");
            known.push(output);
        }
    }
    // The first convolution at stride 2: 7 rows pad (1, 1), 5 columns pad (1, 1).
    let pads = onnx.node[0].attribute.iter().find(|a| a.name == "pads");
    assert_eq!(pads.unwrap().ints, [1, 1, 1, 1]);
}

#[test]
fn onnx_padding_is_asymmetric_where_the_odd_zero_goes_after() {
    let mut b = GraphBuilder::new(Shape::new(8, 7, 1)).unwrap();
    let (kernel, stride) = (3, 2);
    let image = b.input();
    let y = add(&mut b, "pool", Op::MaxPool { kernel, stride }, &[image]);
    let graph = b.finish(y);
    let file = export(
        &graph,
        &Weights::default(),
        Format::Onnx,
        &ModelMeta::default(),
    )
    .unwrap();
    let model = onnx::proto::ModelProto::decode(&*file.bytes).unwrap();
    let node = &model.graph.unwrap().node[0];
    let pads = node.attribute.iter().find(|a| a.name == "pads").unwrap();
    assert_eq!(pads.ints, [0, 1, 1, 1]);
    assert_eq!(node.output, ["logits"]);
}

#[test]
fn tflite_operators_and_fusion() {
    let graph = every_op();
    let file = export(&graph, &init(&graph), Format::Tflite, &meta()).unwrap();
    let model = read::model(&file.bytes).unwrap();
    let codes: Vec<i32> = model
        .tables(field::model::OPERATOR_CODES)
        .unwrap()
        .iter()
        .map(|c| c.int(field::operator_code::CODE, 0).unwrap())
        .collect();
    let subgraph = model
        .tables(field::model::SUBGRAPHS)
        .unwrap()
        .table(0)
        .unwrap();
    let operators = subgraph.tables(field::subgraph::OPERATORS).unwrap();
    let ops: Vec<i32> = operators
        .iter()
        .map(|o| codes[o.int(field::operator::CODE_INDEX, 0).unwrap() as usize])
        .collect();
    // conv (relu inside), depthwise (relu6 inside), hard swish, mean, conv, logistic, mul, add,
    // average pool, max pool, concatenation, mean, fully connected
    assert_eq!(ops, [3, 4, 117, 40, 3, 14, 18, 0, 1, 17, 2, 40, 9]);
    let conv = operators
        .table(0)
        .unwrap()
        .table(field::operator::OPTIONS)
        .unwrap();
    assert_eq!(conv.byte(field::conv::ACTIVATION, 0), Some(1));
    let depthwise = operators
        .table(1)
        .unwrap()
        .table(field::operator::OPTIONS)
        .unwrap();
    assert_eq!(
        depthwise.byte(field::depthwise_conv::ACTIVATION, 0),
        Some(3)
    );
}

#[test]
fn tflite_weights_are_aligned_and_are_the_folded_ones() {
    let graph = every_op();
    let file = export(&graph, &init(&graph), Format::Tflite, &meta()).unwrap();
    assert_eq!(file.bytes.len() % 16, 0);
    let model = read::model(&file.bytes).unwrap();
    let buffers = model.tables(field::model::BUFFERS).unwrap();
    let start = file.bytes.as_ptr() as usize;
    let data: Vec<&[u8]> = buffers
        .iter()
        .filter_map(|b| b.data(field::buffer::DATA))
        .collect();
    assert!(
        data.iter()
            .all(|d| (d.as_ptr() as usize - start).is_multiple_of(16))
    );
    let (_, folded) = crate::fold_batch_norm(&graph, &init(&graph)).unwrap();
    for (name, tensor) in &folded.tensors {
        let bytes: Vec<u8> = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(data.contains(&&*bytes), "{name} is not in the file");
    }
}

#[test]
fn a_relu_whose_input_is_read_elsewhere_stays() {
    let mut b = GraphBuilder::new(Shape::new(2, 2, 1)).unwrap();
    let image = b.input();
    let x = add(&mut b, "sum", Op::Add, &[image, image]);
    let relu = add(&mut b, "relu", Op::Act(Activation::Relu), &[x]);
    let y = add(&mut b, "y", Op::Add, &[x, relu]);
    let graph = b.finish(y);
    let file = export(
        &graph,
        &Weights::default(),
        Format::Tflite,
        &ModelMeta::default(),
    )
    .unwrap();
    let model = read::model(&file.bytes).unwrap();
    let subgraph = model
        .tables(field::model::SUBGRAPHS)
        .unwrap()
        .table(0)
        .unwrap();
    assert_eq!(subgraph.tables(field::subgraph::OPERATORS).unwrap().len, 3);
}

#[test]
fn metadata_round_trip() {
    let graph = every_op();
    for format in Format::ALL {
        for meta in [meta(), ModelMeta::default()] {
            let file = export(&graph, &init(&graph), format, &meta).unwrap();
            assert_eq!(read_model(file.bytes.clone()).unwrap(), (file, meta));
        }
    }
}

#[test]
fn damaged_files_are_refused() {
    let graph = every_op();
    for format in Format::ALL {
        let file = export(&graph, &init(&graph), format, &meta()).unwrap();
        // Whatever is cut off or changed, reading neither panics nor takes another shape for it.
        for cut in (0..file.bytes.len()).step_by(13) {
            if let Ok((read, _)) = read_model(file.bytes[..cut].to_vec()) {
                assert_eq!((read.format, read.input), (format, file.input));
            }
        }
        let mut noise = stream(1, 0, Purpose::Sample);
        for _ in 0..2000 {
            let mut bytes = file.bytes.clone();
            let at = noise.below(bytes.len());
            bytes[at] = noise.bits() as u8;
            // Only that it returns; a changed byte may be a changed weight.
            let _ = read_model(bytes);
        }
    }
    let message = read_model(b"junk".to_vec()).unwrap_err().to_string();
    assert!(
        message.starts_with("neither an ONNX nor a TFLite file"),
        "{message}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let graph = every_op();
    let check = |edit: &dyn Fn(&mut Weights, &mut ModelMeta), message: &str| {
        let (mut weights, mut meta) = (init(&graph), meta());
        edit(&mut weights, &mut meta);
        for format in Format::ALL {
            let error = export(&graph, &weights, format, &meta).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    };
    check(
        &|_, m| drop(m.classes.pop()),
        "metadata has 2 classes; the network has 3",
    );
    check(
        &|_, m| m.normalize_std.clear(),
        "metadata has 0 channel deviations; the network has 2",
    );
    check(
        &|_, m| drop(m.extra.insert("classes".into(), String::new())),
        "metadata key \"classes\" is reserved",
    );
    check(
        &|w, _| w.tensors.get_mut("classifier.weight").unwrap().data[4] = f32::NAN,
        "tensor classifier.weight holds NaN at 4 after batch-norm folding",
    );
    check(
        &|w, _| drop(w.tensors.remove("conv.weight")),
        "tensor conv.weight [4, 3, 3, 2] is missing",
    );
    let mut b = GraphBuilder::new(Shape::new(2, 2, 1)).unwrap();
    let (kernel, stride) = (1, 1 << 40);
    let image = b.input();
    let y = add(&mut b, "pool", Op::AvgPool { kernel, stride }, &[image]);
    let (graph, meta) = (b.finish(y), ModelMeta::default());
    let error = export(&graph, &Weights::default(), Format::Onnx, &meta).unwrap_err();
    assert!(
        matches!(error, ExportError::TooLarge { what: "stride", .. }),
        "{error}"
    );
}

#[test]
fn format_names() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert!("pb".parse::<Format>().is_err());
}
