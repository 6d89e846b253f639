//! Where to look for the best proposal: around what was good, anywhere, and uphill from there.

use std::collections::BTreeMap;

use mnas_net::Stream;

/// What a candidate is worth: the expected gain, and, where gains vanish, the believed reward.
pub(super) type Worth = (f64, f64);

/// Candidates at random, of which the most promising are improved.
const RANDOM: usize = 48;
/// Candidates near what was good.
const NEAR: usize = 144;
/// Candidates from which the search goes uphill.
const CLIMBERS: usize = 3;
/// Steps of each climb.
const STEPS: usize = 10;
/// Neighbours that a step looks at.
const LOOKED_AT: usize = 24;

/// Candidates with their worth, best first; equal ones in the order of their tokens.
pub(super) fn ranked(
    choices: &[usize],
    parents: &[Vec<u16>],
    draws: &mut Stream,
    worth: &mut dyn FnMut(&[u16]) -> Worth,
) -> Vec<Vec<u16>> {
    let mut seen: BTreeMap<Vec<u16>, Worth> = BTreeMap::new();
    let mut rate = |tokens: Vec<u16>, seen: &mut BTreeMap<Vec<u16>, Worth>| -> Worth {
        *seen.entry(tokens).or_insert_with_key(|t| worth(t))
    };
    for _ in 0..RANDOM {
        let tokens = choices.iter().map(|n| draws.below(*n) as u16).collect();
        rate(tokens, &mut seen);
    }
    for i in 0..NEAR {
        if let Some(tokens) = near(choices, parents, i, draws) {
            rate(tokens, &mut seen);
        }
    }
    for start in best_first(&seen).into_iter().take(CLIMBERS) {
        let (mut at, mut height) = (start.clone(), seen[&start]);
        for _ in 0..STEPS {
            let mut best = (height, None);
            let mut all: Vec<Vec<u16>> = neighbours(choices, &at).collect();
            if all.len() > LOOKED_AT {
                draws.shuffle(&mut all);
                all.truncate(LOOKED_AT);
            }
            for next in all {
                let found = rate(next.clone(), &mut seen);
                if order(&found, &best.0).is_gt() {
                    best = (found, Some(next));
                }
            }
            let (higher, Some(next)) = best else {
                break;
            };
            (at, height) = (next, higher);
        }
    }
    best_first(&seen)
}

fn order(a: &Worth, b: &Worth) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
}

fn best_first(seen: &BTreeMap<Vec<u16>, Worth>) -> Vec<Vec<u16>> {
    let mut all: Vec<(&Vec<u16>, &Worth)> = seen.iter().collect();
    // Stable, so that equal ones stay in the order of their tokens.
    all.sort_by(|a, b| order(b.1, a.1));
    all.into_iter().map(|(tokens, _)| tokens.clone()).collect()
}

/// A parent with some decisions drawn again, or a mixture of two parents.
fn near(choices: &[usize], parents: &[Vec<u16>], i: usize, draws: &mut Stream) -> Option<Vec<u16>> {
    if parents.is_empty() {
        return None;
    }
    let mut tokens = parents[i % parents.len()].clone();
    if i % 3 == 2 {
        let other = &parents[draws.below(parents.len())];
        for (token, theirs) in tokens.iter_mut().zip(other) {
            if draws.below(2) == 1 {
                *token = *theirs;
            }
        }
    } else {
        for _ in 0..1 + draws.below(4) {
            let at = draws.below(choices.len().max(1));
            if let Some(token) = tokens.get_mut(at) {
                *token = draws.below(choices[at]) as u16;
            }
        }
    }
    Some(tokens)
}

/// Every sample that differs in one decision.
pub(super) fn neighbours<'a>(
    choices: &'a [usize],
    tokens: &'a [u16],
) -> impl Iterator<Item = Vec<u16>> + 'a {
    choices.iter().enumerate().flat_map(move |(d, n)| {
        (0..*n as u16)
            .filter(move |t| *t != tokens[d])
            .map(move |t| {
                let mut next = tokens.to_vec();
                next[d] = t;
                next
            })
    })
}
