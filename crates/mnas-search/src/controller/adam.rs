//! Adam (Kingma and Ba 2015) with its published beta1 0.9, beta2 0.999 and epsilon 1e-8.

use super::numbers::round_f32;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Moments of the gradients so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adam {
    pub(super) steps: u64,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

impl Adam {
    /// For that many weights.
    pub(super) fn new(len: usize) -> Adam {
        Adam {
            steps: 0,
            first: vec![0.0; len],
            second: vec![0.0; len],
        }
    }

    /// One step down the gradient, with a learning rate for each weight.
    pub(super) fn step(&mut self, weights: &mut [f64], gradient: &[f64], rates: &[f64]) {
        self.steps += 1;
        let steps = self.steps as f64;
        let first_scale = 1.0 / (1.0 - libm::pow(BETA1, steps));
        let second_scale = 1.0 / (1.0 - libm::pow(BETA2, steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for (i, ((weight, g), (m, v))) in weights.iter_mut().zip(gradient).zip(moments).enumerate()
        {
            *m = round_f32(BETA1 * *m + (1.0 - BETA1) * g);
            *v = round_f32(BETA2 * *v + (1.0 - BETA2) * g * g);
            let step = *m * first_scale / (libm::sqrt(*v * second_scale) + EPSILON);
            *weight = round_f32(*weight - rates[i] * step);
        }
    }
}
