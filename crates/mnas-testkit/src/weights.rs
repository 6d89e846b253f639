//! Weights to compare readers of a graph with.

use mnas_net::{Graph, ParamRole, ParamSpec, Stream, Tensor, Weights};

/// Weights as training might leave them: batch norm with statistics of its own, biases not zero.
pub fn random_weights(graph: &Graph, random: &mut Stream) -> Weights {
    let mut weights = Weights::default();
    for spec in graph.params() {
        let data = (0..spec.len())
            .map(|_| draw(&spec, random) as f32)
            .collect();
        let shape = spec.shape;
        weights.tensors.insert(spec.name, Tensor { shape, data });
    }
    weights
}

fn draw(spec: &ParamSpec, random: &mut Stream) -> f64 {
    let n = random.normal();
    let inputs = match spec.role {
        ParamRole::DepthwiseKernel => spec.shape[0] * spec.shape[1],
        _ => spec.shape[1..].iter().product(),
    };
    match spec.role {
        ParamRole::ConvKernel | ParamRole::DepthwiseKernel | ParamRole::LinearKernel => {
            n * (1.5 / inputs as f64).sqrt()
        }
        ParamRole::Bias => 0.2 * n,
        ParamRole::BnScale => 1.0 + 0.3 * n,
        ParamRole::BnShift | ParamRole::BnMean => 0.3 * n,
        ParamRole::BnVar => (0.5 * n).exp(),
    }
}
