//! Runs calibration images through the interpreter and counts the values of every node.

use mnas_net::{Graph, Weights};

use super::QuantizeError;
use super::range::Histogram;
use crate::interpret::interpret_all;

/// A histogram of each node's values over all images.
pub(super) fn histograms(
    graph: &Graph,
    weights: &Weights,
    images: &[Vec<f32>],
    threads: usize,
) -> Result<Vec<Histogram>, QuantizeError> {
    let expected = graph.input_shape().len();
    if images.is_empty() {
        return Err(QuantizeError::NoImages);
    }
    if let Some(image) = images.iter().position(|i| i.len() != expected) {
        let got = images[image].len();
        return Err(QuantizeError::ImageLength {
            image,
            got,
            expected,
        });
    }
    let share = images.len().div_ceil(threads.max(1));
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = images
            .chunks(share)
            .map(|part| scope.spawn(|| part_histograms(graph, weights, part)))
            .collect();
        let join = |w: std::thread::ScopedJoinHandle<'_, _>| {
            w.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
        };
        workers.into_iter().map(join).collect::<Result<Vec<_>, _>>()
    })?;
    let mut parts = parts.into_iter();
    let mut whole: Vec<Histogram> = parts.next().ok_or(QuantizeError::NoImages)?;
    for part in parts {
        for (sum, one) in whole.iter_mut().zip(&part) {
            sum.merge(one);
        }
    }
    Ok(whole)
}

fn part_histograms(
    graph: &Graph,
    weights: &Weights,
    images: &[Vec<f32>],
) -> Result<Vec<Histogram>, QuantizeError> {
    let mut histograms = vec![Histogram::new(); graph.nodes().len()];
    for image in images {
        let values = interpret_all(graph, weights, image);
        for ((histogram, values), node) in histograms.iter_mut().zip(&values).zip(graph.nodes()) {
            if !histogram.add(values) {
                let node = node.name.clone();
                return Err(QuantizeError::NotFinite { node });
            }
        }
    }
    Ok(histograms)
}
