//! The policy: one LSTM layer that writes a network token by token.
//!
//! At each decision it reads the embedding of the token before (a learnt start vector at the first)
//! and answers with a softmax over that decision's choices; each decision has its own embeddings and
//! its own head. Zoph et al. 2018 ("NASNet"), appendix A.2: 100 units, weights uniform in +-0.1.
//!
//! Weights lie in one vector, in the order start, embeddings, input-to-gates, hidden-to-gates, gate
//! biases, then head weights and head biases per decision. Matrices are stored input-major, so that
//! inner loops run over outputs and every sum has one fixed order.

use mnas_net::Stream;

use super::super::numbers::{draw, entropy, round_f32, softmax};

/// A policy over networks.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) weights: Vec<f64>,
    layout: Layout,
}

/// Where each part lies in the vector of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    choices: Vec<usize>,
    units: usize,
    /// Offset of the first embedding of each decision's tokens.
    embeddings: Vec<usize>,
    input: usize,
    hidden: usize,
    bias: usize,
    /// Offset of each head's weights; its biases follow.
    heads: Vec<usize>,
    len: usize,
}

impl Layout {
    fn new(choices: &[usize], units: usize) -> Layout {
        let mut at = units; // after the start vector
        let mut embeddings = Vec::with_capacity(choices.len());
        for n in choices {
            embeddings.push(at);
            at += n * units;
        }
        let input = at;
        let hidden = input + 4 * units * units;
        let bias = hidden + 4 * units * units;
        at = bias + 4 * units;
        let mut heads = Vec::with_capacity(choices.len());
        for n in choices {
            heads.push(at);
            at += (units + 1) * n;
        }
        Layout {
            choices: choices.to_vec(),
            units,
            embeddings,
            input,
            hidden,
            bias,
            heads,
            len: at,
        }
    }

    /// Offset of what the LSTM reads at `decision`, after `previous`.
    fn read(&self, decision: usize, previous: Option<u16>) -> usize {
        match previous {
            None => 0,
            Some(token) => self.embeddings[decision - 1] + usize::from(token) * self.units,
        }
    }

    fn head_bias(&self, decision: usize) -> usize {
        self.heads[decision] + self.units * self.choices[decision]
    }
}

/// What one step computes and its backward pass needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    read: usize,
    /// Input, forget, candidate and output gates after their nonlinearity, `4 x units`.
    gates: Vec<f64>,
    cell: Vec<f64>,
    cell_tanh: Vec<f64>,
    hidden: Vec<f64>,
    pub(super) probabilities: Vec<f64>,
}

/// How a sample pulls at the policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighting {
    /// How much better than expected the network was.
    pub(super) advantage: f64,
    /// Probability ratios beyond `1 +- clip` pull no further.
    pub(super) clip: f64,
    /// Weight of the entropy bonus.
    pub(super) entropy: f64,
    /// Factor of the whole loss, 1 / minibatch.
    pub(super) scale: f64,
}

impl Policy {
    /// A policy with weights uniform in `+-init`, but for head biases of 0.
    pub(super) fn new(choices: &[usize], units: usize, init: f64, draws: &mut Stream) -> Policy {
        let layout = Layout::new(choices, units);
        let mut weights: Vec<f64> = (0..layout.len)
            .map(|_| round_f32((2.0 * draws.uniform() - 1.0) * init))
            .collect();
        for (decision, n) in choices.iter().enumerate() {
            let bias = layout.head_bias(decision);
            weights[bias..bias + n].fill(0.0);
        }
        Policy { weights, layout }
    }

    /// Draws tokens; also gives the probabilities of each decision's choices, given the tokens
    /// before it.
    pub(super) fn sample(&self, draws: &mut Stream) -> (Vec<u16>, Vec<Vec<f64>>) {
        let mut tokens = Vec::with_capacity(self.layout.choices.len());
        let mut probabilities = Vec::with_capacity(tokens.capacity());
        let mut last = None;
        for decision in 0..self.layout.choices.len() {
            let step = self.step(decision, last.as_ref(), tokens.last().copied());
            tokens.push(draw(&step.probabilities, draws.uniform()));
            probabilities.push(step.probabilities.clone());
            last = Some(step);
        }
        (tokens, probabilities)
    }

    /// Log-probability of each token, given the tokens before it.
    pub(super) fn log_probs(&self, tokens: &[u16]) -> Vec<f64> {
        let picked = |(step, token): (&Step, &u16)| step.probabilities[usize::from(*token)];
        self.forward(tokens)
            .iter()
            .zip(tokens)
            .map(|pair| libm::log(picked(pair)))
            .collect()
    }

    pub(super) fn forward(&self, tokens: &[u16]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::with_capacity(tokens.len());
        for decision in 0..tokens.len() {
            let previous = decision.checked_sub(1).map(|d| tokens[d]);
            let step = self.step(decision, steps.last(), previous);
            steps.push(step);
        }
        steps
    }

    fn step(&self, decision: usize, last: Option<&Step>, previous: Option<u16>) -> Step {
        let (layout, w) = (&self.layout, &self.weights);
        let units = layout.units;
        let read = layout.read(decision, previous);
        let mut gates = w[layout.bias..layout.bias + 4 * units].to_vec();
        add_product(&mut gates, &w[read..read + units], &w[layout.input..]);
        if let Some(last) = last {
            add_product(&mut gates, &last.hidden, &w[layout.hidden..]);
        }
        for (i, gate) in gates.iter_mut().enumerate() {
            let candidate = (2 * units..3 * units).contains(&i);
            *gate = if candidate {
                libm::tanh(*gate)
            } else {
                sigmoid(*gate)
            };
        }
        let cell: Vec<f64> = (0..units)
            .map(|u| {
                let kept = last.map_or(0.0, |l| gates[units + u] * l.cell[u]);
                kept + gates[u] * gates[2 * units + u]
            })
            .collect();
        let cell_tanh: Vec<f64> = cell.iter().map(|c| libm::tanh(*c)).collect();
        let hidden: Vec<f64> = (0..units)
            .map(|u| gates[3 * units + u] * cell_tanh[u])
            .collect();
        let bias = layout.head_bias(decision);
        let mut logits = w[bias..bias + layout.choices[decision]].to_vec();
        add_product(&mut logits, &hidden, &w[layout.heads[decision]..]);
        Step {
            read,
            gates,
            cell,
            cell_tanh,
            hidden,
            probabilities: softmax(&logits),
        }
    }

    /// Adds the gradient of a sample's loss to `gradient`. The loss is, over tokens, minus the clipped
    /// surrogate of the ratio of the token's probability now and when it was proposed, minus the
    /// entropy bonus.
    pub(super) fn accumulate(
        &self,
        tokens: &[u16],
        old_log_probs: &[f64],
        weighting: &Weighting,
        gradient: &mut [f64],
    ) {
        let units = self.layout.units;
        let steps = self.forward(tokens);
        let mut hidden_gradient = vec![0.0; units];
        let mut cell_gradient = vec![0.0; units];
        for t in (0..steps.len()).rev() {
            let step = &steps[t];
            let logits = logit_gradient(step, tokens[t], old_log_probs[t], weighting);
            self.head_backward(t, step, &logits, &mut hidden_gradient, gradient);
            let last = t.checked_sub(1).map(|l| &steps[l]);
            let gates = cell_backward(step, last, &hidden_gradient, &mut cell_gradient);
            hidden_gradient = self.gates_backward(step, last, &gates, gradient);
        }
    }

    fn head_backward(
        &self,
        decision: usize,
        step: &Step,
        logits: &[f64],
        hidden_gradient: &mut [f64],
        gradient: &mut [f64],
    ) {
        let (head, bias) = (self.layout.heads[decision], self.layout.head_bias(decision));
        add(&mut gradient[bias..bias + logits.len()], logits, 1.0);
        for (u, hidden) in step.hidden.iter().enumerate() {
            let row = head + u * logits.len();
            add(&mut gradient[row..row + logits.len()], logits, *hidden);
            hidden_gradient[u] += dot(&self.weights[row..row + logits.len()], logits);
        }
    }

    /// Gradients of what the gates read; gives that of the last step's hidden state.
    fn gates_backward(
        &self,
        step: &Step,
        last: Option<&Step>,
        gates: &[f64],
        gradient: &mut [f64],
    ) -> Vec<f64> {
        let (layout, units) = (&self.layout, self.layout.units);
        let width = 4 * units;
        add(&mut gradient[layout.bias..layout.bias + width], gates, 1.0);
        let mut hidden = vec![0.0; units];
        for u in 0..units {
            let row = layout.input + u * width;
            add(
                &mut gradient[row..row + width],
                gates,
                self.weights[step.read + u],
            );
            gradient[step.read + u] += dot(&self.weights[row..row + width], gates);
            let Some(last) = last else { continue };
            let row = layout.hidden + u * width;
            add(&mut gradient[row..row + width], gates, last.hidden[u]);
            hidden[u] = dot(&self.weights[row..row + width], gates);
        }
        hidden
    }

    /// Learning rate of each weight. Head biases are preferences for a choice whatever came before:
    /// few, and seen by every sample, so they may learn `factor` times as fast as the rest.
    pub(super) fn rates(&self, rate: f64, factor: f64) -> Vec<f64> {
        let mut rates = vec![rate; self.weights.len()];
        for (decision, n) in self.layout.choices.iter().enumerate() {
            let bias = self.layout.head_bias(decision);
            rates[bias..bias + n].fill(rate * factor);
        }
        rates
    }
}

/// Gradient of a step's loss with respect to its logits.
fn logit_gradient(step: &Step, token: u16, old_log_prob: f64, weighting: &Weighting) -> Vec<f64> {
    let p = &step.probabilities;
    let ratio = libm::exp(libm::log(p[usize::from(token)]) - old_log_prob);
    let advantage = weighting.advantage;
    // The surrogate is flat where the ratio has already moved past the clip in the advantage's way.
    let flat = (advantage > 0.0 && ratio > 1.0 + weighting.clip)
        || (advantage < 0.0 && ratio < 1.0 - weighting.clip);
    let pull = if flat { 0.0 } else { ratio * advantage };
    let entropy = entropy(p);
    p.iter()
        .enumerate()
        .map(|(i, p)| {
            let picked = if i == usize::from(token) { 1.0 } else { 0.0 };
            let log_p = if *p > 0.0 { libm::log(*p) } else { 0.0 };
            weighting.scale * (pull * (p - picked) + weighting.entropy * p * (log_p + entropy))
        })
        .collect()
}

/// Gradient of the gates before their nonlinearity. `cell_gradient` becomes that of the last
/// step's cell.
fn cell_backward(
    step: &Step,
    last: Option<&Step>,
    hidden_gradient: &[f64],
    cell_gradient: &mut [f64],
) -> Vec<f64> {
    let units = cell_gradient.len();
    let mut gates = vec![0.0; 4 * units];
    for u in 0..units {
        let [i, f, g, o] = [0, 1, 2, 3].map(|k| step.gates[k * units + u]);
        let tanh = step.cell_tanh[u];
        let cell = cell_gradient[u] + hidden_gradient[u] * o * (1.0 - tanh * tanh);
        let last_cell = last.map_or(0.0, |l| l.cell[u]);
        gates[u] = cell * g * i * (1.0 - i);
        gates[units + u] = cell * last_cell * f * (1.0 - f);
        gates[2 * units + u] = cell * i * (1.0 - g * g);
        gates[3 * units + u] = hidden_gradient[u] * tanh * o * (1.0 - o);
        cell_gradient[u] = cell * f;
    }
    gates
}

/// `out += inputs x matrix`, the matrix input-major.
fn add_product(out: &mut [f64], inputs: &[f64], matrix: &[f64]) {
    let width = out.len();
    for (input, row) in inputs.iter().zip(matrix.chunks_exact(width)) {
        add(out, row, *input);
    }
}

fn add(out: &mut [f64], values: &[f64], factor: f64) {
    for (o, v) in out.iter_mut().zip(values) {
        *o += factor * v;
    }
}

/// Eight running sums, added up in order: fast, and the same on every machine.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}
