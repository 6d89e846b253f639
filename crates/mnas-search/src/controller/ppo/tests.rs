use mnas_net::{Purpose, stream};

use super::super::numbers::entropy;
use super::policy::{Policy, Weighting};

const CHOICES: [usize; 4] = [3, 2, 1, 4];

/// What `Policy::accumulate` differentiates, by its definition.
fn loss(policy: &Policy, tokens: &[u16], old: &[f64], w: &Weighting) -> f64 {
    let mut loss = 0.0;
    for (t, step) in policy.forward(tokens).iter().enumerate() {
        let ratio = (step.probabilities[usize::from(tokens[t])].ln() - old[t]).exp();
        let clipped = ratio.clamp(1.0 - w.clip, 1.0 + w.clip);
        let surrogate = (ratio * w.advantage).min(clipped * w.advantage);
        loss -= surrogate + w.entropy * entropy(&step.probabilities);
    }
    loss * w.scale
}

fn check_gradient(advantage: f64, shift: f64, entropy: f64) {
    let mut draws = stream(3, 0, Purpose::Learn);
    let mut policy = Policy::new(&CHOICES, 5, 0.8, &mut draws);
    let tokens = [2, 0, 0, 3];
    // Old log-probabilities around the present ones, so that some tokens are clipped and some not.
    let old: Vec<f64> = policy
        .log_probs(&tokens)
        .iter()
        .enumerate()
        .map(|(t, l)| l + shift * (t as f64 - 1.5))
        .collect();
    let weighting = Weighting {
        advantage,
        clip: 0.2,
        entropy,
        scale: 0.7,
    };
    let mut gradient = vec![0.0; policy.weights.len()];
    policy.accumulate(&tokens, &old, &weighting, &mut gradient);
    assert!(gradient.iter().any(|g| g.abs() > 1e-3) || (advantage == 0.0 && entropy == 0.0));
    let step = 1e-5;
    for (i, exact) in gradient.iter().enumerate() {
        let kept = policy.weights[i];
        policy.weights[i] = kept + step;
        let above = loss(&policy, &tokens, &old, &weighting);
        policy.weights[i] = kept - step;
        let below = loss(&policy, &tokens, &old, &weighting);
        policy.weights[i] = kept;
        let numeric = (above - below) / (2.0 * step);
        assert!(
            (numeric - exact).abs() < 1e-8 + 1e-6 * numeric.abs(),
            "weight {i}: {exact} but numerically {numeric}"
        );
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for advantage in [1.3, -0.6, 0.0] {
        for shift in [0.0, 0.05, 0.35] {
            for entropy in [0.0, 0.4] {
                check_gradient(advantage, shift, entropy);
            }
        }
    }
}

#[test]
fn probabilities_are_those_that_tokens_are_drawn_with() {
    let policy = Policy::new(&[3, 2], 4, 1.0, &mut stream(5, 0, Purpose::Learn));
    let mut counts = [[0.0; 2]; 3];
    let n = 20_000;
    let mut draws = stream(5, 1, Purpose::Sample);
    for _ in 0..n {
        let (tokens, _) = policy.sample(&mut draws);
        counts[usize::from(tokens[0])][usize::from(tokens[1])] += 1.0 / f64::from(n);
    }
    let mut total = 0.0;
    for (a, row) in counts.iter().enumerate() {
        for (b, share) in row.iter().enumerate() {
            let log_probs = policy.log_probs(&[a as u16, b as u16]);
            let expected = log_probs.iter().sum::<f64>().exp();
            assert!(
                (share - expected).abs() < 0.015,
                "{a} {b}: {share} {expected}"
            );
            total += expected;
        }
    }
    assert!((total - 1.0).abs() < 1e-12);
}

#[test]
fn head_biases_learn_at_their_own_rate_and_start_at_zero() {
    let policy = Policy::new(&CHOICES, 5, 0.1, &mut stream(1, 0, Purpose::Learn));
    let rates = policy.rates(0.01, 10.0);
    let fast: Vec<usize> = (0..rates.len()).filter(|i| rates[*i] == 0.1).collect();
    assert_eq!(fast.len(), CHOICES.iter().sum::<usize>());
    assert!(fast.iter().all(|i| policy.weights[*i] == 0.0));
}
