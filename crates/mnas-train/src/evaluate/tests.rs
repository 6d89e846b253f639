use mnas_net::{Purpose, Shape, Weights, stream};

use super::*;
use crate::Normalize;
use crate::fake::{Fake, TOY, toy_graph, toy_meta, toy_split};

#[test]
fn counts_are_right() {
    let row = [3.0, 1.0, 3.0, 2.0, 0.0, -1.0];
    assert_eq!(largest(&row), 0);
    let ranks: Vec<usize> = (0..6).map(|l| rank(&row, l)).collect();
    assert_eq!(ranks, [0, 3, 1, 2, 4, 5]);
    let sum: f64 = row.iter().map(|v| f64::from(*v).exp()).sum();
    let shares: f64 = (0..6).map(|l| (-cross_entropy(&row, l)).exp()).sum();
    assert!((shares - 1.0).abs() < 1e-12);
    assert!((cross_entropy(&row, 1) - (sum.ln() - 1.0)).abs() < 1e-12);
}

#[test]
fn a_known_network_on_known_images() {
    // One gray pixel; class 0 answers dark, class 1 bright, class 2 never.
    let shape = Shape::new(1, 1, 1);
    let graph = toy_graph(shape, 3);
    let mut weights = Weights::init(&graph, &mut stream(0, 0, Purpose::Init));
    let mut set = |name: &str, data: &[f32]| {
        weights.tensors.get_mut(name).unwrap().data = data.to_vec();
    };
    set("classifier.weight", &[-1.0, 1.0, 0.0]);
    set("classifier.bias", &[0.0, 0.0, -9.0]);
    let mut meta = toy_meta();
    meta.normalize = Normalize {
        mean: vec![0.5],
        std: vec![0.5],
    };
    let split = Split::from_bytes(shape, vec![0, 255, 255, 0, 255], vec![0, 0, 1, 1, 2]);
    let check = |weights: &Weights, top1: f64| {
        let e = evaluate(&Fake::default(), &graph, weights, &split, &meta, 1).unwrap();
        assert_eq!(e.top1, top1);
        e
    };
    let e = check(&weights, 0.4);
    assert_eq!(e.confusion, [[1, 1, 0], [1, 1, 0], [0, 1, 0]]);
    assert_eq!(e.per_class, [0.5, 0.5, 0.0]);
    assert_eq!((e.images, e.top5), (5, 1.0));
    // Normalisation that the weights bring along counts more than the data set's.
    let normalize = Normalize {
        mean: vec![2.0],
        std: vec![0.5],
    };
    let brought = Meta {
        normalize,
        ..meta.clone()
    };
    crate::TrainedFacts::of(&brought).write(&mut weights);
    assert_eq!(check(&weights, 0.4).confusion[1], [2, 0, 0]);
    weights.tensors.get_mut("classifier.bias").unwrap().data[2] = f32::NAN;
    let error = evaluate(&Fake::default(), &graph, &weights, &split, &meta, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network's answer to image 0 is not finite: its weights are unusable"
    );
}

#[test]
fn a_partial_last_batch_counts() {
    let graph = toy_graph(TOY, 3);
    let weights = Weights::init(&graph, &mut stream(1, 0, Purpose::Init));
    let split = toy_split(BATCH + 7, 0);
    let e = evaluate(&Fake::default(), &graph, &weights, &split, &toy_meta(), 1).unwrap();
    let all: u32 = e.confusion.iter().flatten().sum();
    assert_eq!((e.images, all), (71, 71));
}

#[test]
fn whatever_answers_is_evaluated_alike() {
    let shape = Shape::new(1, 1, 1);
    let split = Split::from_bytes(shape, vec![0, 255, 255, 0], vec![0, 0, 1, 1]);
    let mut bright = |image: &[u8]| -> Result<Vec<f32>, AnswerError> {
        let x = f32::from(image[0]) / 255.0;
        Ok(vec![-x, x - 0.5, -9.0])
    };
    let e = evaluate_with(&split, 3, &mut bright).unwrap();
    assert_eq!((e.images, e.top1, e.top5), (4, 0.5, 1.0));
    assert_eq!(e.confusion[..2], [[1, 1, 0], [1, 1, 0]]);
    let (image, classes) = (0, 2);
    let error = evaluate_with(&split, classes, &mut bright).unwrap_err();
    assert_eq!(error, AnswerError { image, classes });
    let mut broken = |_: &[u8]| -> Result<Vec<f32>, AnswerError> { Ok(vec![f32::NAN; 3]) };
    assert!(evaluate_with(&split, 3, &mut broken).is_err());
}
