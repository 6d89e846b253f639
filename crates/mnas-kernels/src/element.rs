//! Work value by value: images from bytes, and activations that stand alone.

use crate::workers::{Shared, Workers, share};

#[cfg(test)]
mod tests;

/// Floats per task.
const CHUNK: usize = 16 * 1024;

/// Turns bytes into network inputs by table: `out = tables[channel][byte]`, channels innermost.
///
/// # Panics
/// If lengths differ or there is no channel.
pub fn from_bytes(workers: &Workers, bytes: &[u8], tables: &[[f32; 256]], out: &mut [f32]) {
    assert_eq!(bytes.len(), out.len(), "from_bytes: lengths");
    let c = tables.len();
    assert!(
        c > 0 && bytes.len().is_multiple_of(c),
        "from_bytes: channels"
    );
    let target = Shared::new(out);
    let tasks = bytes.len().div_ceil(CHUNK).clamp(1, 16);
    workers.run(tasks, |task, _| {
        let mine = share(bytes.len() / c, 1, task, tasks);
        let mine = mine.start * c..mine.end * c;
        // SAFETY: tasks own disjoint ranges.
        let out = unsafe { target.part(mine.clone()) };
        for (o, b) in out.chunks_exact_mut(c).zip(bytes[mine].chunks_exact(c)) {
            for ((o, b), table) in o.iter_mut().zip(b).zip(tables) {
                *o = table[usize::from(*b)];
            }
        }
    });
}

/// An activation that stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Element {
    /// The function's value; NaN for NaN.
    fn apply(self, x: f32) -> f32 {
        match self {
            Element::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Element::Relu6 => x.clamp(0.0, 6.0),
            Element::HSwish => x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0),
            Element::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    /// The slope at `x`, where the function's value is `y`.
    fn slope(self, x: f32, y: f32) -> f32 {
        match self {
            Element::Relu => f32::from(x > 0.0),
            Element::Relu6 => f32::from(x > 0.0 && x < 6.0),
            Element::HSwish if x >= 3.0 => 1.0,
            Element::HSwish if x <= -3.0 => 0.0,
            Element::HSwish => x * (1.0 / 3.0) + 0.5,
            Element::Sigmoid => y * (1.0 - y),
        }
    }
}

/// `out = f(x)`.
///
/// # Panics
/// If lengths differ.
pub fn element_forward(workers: &Workers, f: Element, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "element_forward: lengths");
    let target = Shared::new(out);
    let tasks = x.len().div_ceil(CHUNK).clamp(1, 16);
    workers.run(tasks, |task, _| {
        let mine = share(x.len(), 16, task, tasks);
        // SAFETY: tasks own disjoint ranges.
        let out = unsafe { target.part(mine.clone()) };
        out.iter_mut()
            .zip(&x[mine])
            .for_each(|(o, x)| *o = f.apply(*x));
    });
}

/// `out (+)= g · f'(x)`, where `y = f(x)`.
///
/// # Panics
/// If lengths differ.
pub fn element_backward(
    workers: &Workers,
    f: Element,
    (x, y): (&[f32], &[f32]),
    g: &[f32],
    out: &mut [f32],
    accumulate: bool,
) {
    let n = out.len();
    assert_eq!(
        (x.len(), y.len(), g.len()),
        (n, n, n),
        "element_backward: lengths"
    );
    let target = Shared::new(out);
    let tasks = n.div_ceil(CHUNK).clamp(1, 16);
    workers.run(tasks, |task, _| {
        let mine = share(n, 16, task, tasks);
        // SAFETY: tasks own disjoint ranges.
        let out = unsafe { target.part(mine.clone()) };
        let values = x[mine.clone()].iter().zip(&y[mine.clone()]).zip(&g[mine]);
        for (o, ((x, y), g)) in out.iter_mut().zip(values) {
            let d = g * f.slope(*x, *y);
            *o = if accumulate { *o + d } else { d };
        }
    });
}
