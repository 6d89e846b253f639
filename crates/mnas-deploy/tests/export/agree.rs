//! Agreement that needs nothing but this build: folded against unfolded, and the embedded engine
//! on the ONNX file against the interpreter.

use mnas_deploy::{Format, ModelMeta, export, fold_batch_norm, interpret, read_model};
use proptest::prelude::*;

use super::networks::{Case, blocks, random_graph, random_network};
use super::relative_difference;

/// Folding rounds each scaled weight once. The graphs are always the same ones: a sum that cancels
/// loses more than this, and among enough random graphs there is one.
const FOLD_TOLERANCE: f64 = 1e-5;

fn fold_difference(case: &Case) -> f64 {
    let (graph, weights) = fold_batch_norm(&case.graph, &case.weights).unwrap();
    weights.check(&graph).unwrap();
    let expected = interpret(&case.graph, &case.weights, &case.input);
    relative_difference(&interpret(&graph, &weights, &case.input), &expected)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_valid_graph_exports_and_reads_back(seed: u64) {
        let case = random_graph(seed);
        for format in Format::ALL {
            let file = export(&case.graph, &case.weights, format, &ModelMeta::default()).unwrap();
            prop_assert_eq!(file.input, case.graph.input_shape());
            prop_assert_eq!(file.outputs, case.graph.output_shape().len());
            let (read, _) = read_model(file.bytes.clone()).unwrap();
            prop_assert_eq!(read, file);
        }
    }
}

#[test]
fn folding_keeps_values_on_random_graphs() {
    for case in (0..500).map(random_graph) {
        let difference = fold_difference(&case);
        assert!(
            difference <= FOLD_TOLERANCE,
            "{}: {difference:e}\n{}",
            case.name,
            case.graph
        );
    }
}

#[test]
fn folding_keeps_values_on_networks() {
    let networks = (0..10).map(random_network).chain(blocks());
    for case in networks {
        let difference = fold_difference(&case);
        assert!(
            difference <= FOLD_TOLERANCE,
            "{}: {difference:e}",
            case.name
        );
    }
}

#[cfg(feature = "rten")]
mod embedded_engine {
    use rten::Model;
    use rten_tensor::prelude::*;
    use rten_tensor::{NdTensor, Tensor};

    use super::*;
    use crate::networks::{shared_inputs, single_ops, zoo};

    const TOLERANCE: f64 = 1e-4;

    /// The ONNX file's answer by rten, channels last.
    fn run(case: &Case) -> Vec<f32> {
        let meta = ModelMeta::default();
        let file = export(&case.graph, &case.weights, Format::Onnx, &meta).unwrap();
        let model = Model::load(file.bytes).unwrap();
        let s = case.graph.input_shape();
        let image = NdTensor::from_data([1, s.h, s.w, s.c], case.input.clone());
        let image = image.permuted([0, 3, 1, 2]).to_tensor();
        let output = model.run_one(image.view().into(), None).unwrap();
        let output: Tensor<f32> = output.try_into().unwrap();
        if output.ndim() == 4 {
            output.permuted(&[0, 2, 3, 1]).to_vec()
        } else {
            output.to_vec()
        }
    }

    fn check(cases: impl IntoIterator<Item = Case>) {
        let mut worst = (0.0, String::new());
        for case in cases {
            let expected = interpret(&case.graph, &case.weights, &case.input);
            let difference = relative_difference(&run(&case), &expected);
            let name = &case.name;
            assert!(
                difference <= TOLERANCE,
                "{name}: {difference:e}\n{}",
                case.graph
            );
            if difference > worst.0 {
                worst = (difference, case.name);
            }
        }
        println!("largest relative difference {:e} ({})", worst.0, worst.1);
    }

    #[test]
    fn agrees_on_single_operations() {
        check(single_ops().into_iter().chain(shared_inputs()));
    }

    #[test]
    fn agrees_on_random_graphs() {
        check((0..150).map(random_graph));
    }

    #[test]
    fn agrees_on_networks() {
        check((0..20).map(random_network).chain(blocks()));
    }

    #[test]
    fn agrees_on_the_zoo() {
        check(zoo());
    }
}
