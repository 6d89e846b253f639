//! The images that a space's networks are for, by which their costs are known.

use mnas_net::{NetSpec, Shape, macs_and_params};

/// The images that a space's networks are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    /// Shape of an image.
    pub input: Shape,
    /// Number of classes.
    pub classes: usize,
}

impl Images {
    /// Logarithms of a network's multiply-accumulates and parameters. One that can't be built will fail
    /// as a trial; here it costs nothing.
    pub(crate) fn log_costs(self, spec: &NetSpec) -> Vec<f64> {
        let graph = spec.graph(self.input, self.classes).ok();
        let (macs, params) = graph.map_or((1, 1), |graph| macs_and_params(&graph));
        let log = |n: u64| libm::log(n.max(1) as f64);
        vec![log(macs), log(params)]
    }
}
