//! The session's tensors: parameters, gradients, optimiser slots and averages, each kind in one
//! flat array with the same places.

use std::ops::Range;

use mnas_kernels::{Floats, Muon, Rule, Workers};
use mnas_net::{Graph, Op, ParamSpec, Tensor, Weights, WeightsError};

use super::plan::Param;
use crate::{Optimizer, SessionSpec};

/// Values of the step counter's tensor: high and low 24 bits, exact in single precision.
const STEP: &str = "step";
const LOW_BITS: u32 = 24;

/// How tensors move that [`Optimizer::Muon`] isn't for.
const BESIDE_MUON: Rule = Rule::Sgd {
    momentum: 0.9,
    nesterov: true,
};

/// All tensors of a session.
pub(super) struct Tensors {
    specs: Vec<ParamSpec>,
    places: Vec<Range<usize>>,
    /// Whether only a batch norm reads what the tensor multiplies, so that its norm doesn't matter.
    normed: Vec<bool>,
    pub(super) values: Floats,
    pub(super) gradients: Floats,
    momentum: Floats,
    /// RMSProp's mean squares; empty for other rules.
    square: Floats,
    /// Moving averages; empty where there are none.
    average: Floats,
    /// Steps taken.
    pub(super) step: u64,
}

impl Tensors {
    pub(super) fn new(graph: &Graph, spec: &SessionSpec) -> Self {
        let specs = graph.params();
        let mut end = 0;
        let places = specs.iter().map(|p| {
            let start = end;
            // Each tensor starts at a cache line.
            end = (start + p.len()).next_multiple_of(16);
            start..start + p.len()
        });
        let places: Vec<Range<usize>> = places.collect();
        let some = |wanted: bool| Floats::zeros(if wanted { end } else { 0 });
        let square = matches!(spec.optimizer, Optimizer::RmsProp { .. });
        let normed = normed_kernels(graph);
        Self {
            normed: specs.iter().map(|p| normed.contains(&p.name)).collect(),
            specs,
            places,
            values: some(true),
            gradients: some(true),
            momentum: some(true),
            square: some(square),
            average: some(spec.ema_decay.is_some()),
            step: 0,
        }
    }

    /// Floats that a session's tensors take.
    pub(super) fn floats(graph: &Graph, spec: &SessionSpec) -> u64 {
        let one: u64 = graph
            .params()
            .iter()
            .map(|p| p.len().next_multiple_of(16) as u64)
            .sum();
        let square = u64::from(matches!(spec.optimizer, Optimizer::RmsProp { .. }));
        one * (3 + square + u64::from(spec.ema_decay.is_some()))
    }

    pub(super) fn bytes(&self) -> u64 {
        [
            &self.values,
            &self.gradients,
            &self.momentum,
            &self.square,
            &self.average,
        ]
        .map(Floats::bytes)
        .iter()
        .sum()
    }

    pub(super) fn place(&self, p: Param) -> Range<usize> {
        self.places[p.0].clone()
    }

    /// What evaluation uses: averages where there are any.
    pub(super) fn evaluated(&self) -> &Floats {
        if self.average.is_empty() {
            &self.values
        } else {
            &self.average
        }
    }

    /// Applies the gradients, moves the averages and counts the step.
    pub(super) fn update(&mut self, workers: &mut Workers, spec: &SessionSpec, rate: f32) {
        self.step += 1;
        let rule = match spec.optimizer {
            Optimizer::Sgd { momentum, nesterov } => Rule::Sgd { momentum, nesterov },
            Optimizer::RmsProp {
                decay,
                momentum,
                epsilon,
            } => Rule::RmsProp {
                decay,
                momentum,
                epsilon,
            },
            Optimizer::Muon { .. } => BESIDE_MUON,
        };
        // Computed in double precision: near 1 the ramp's steps are finer than single's.
        let t = self.step as f64;
        let keep = spec
            .ema_decay
            .map_or(1.0, |d| f64::from(d).min((1.0 + t) / (10.0 + t)));
        let share = (1.0 - keep) as f32;
        for ((p, place), normed) in self.specs.iter().zip(&self.places).zip(&self.normed) {
            let part = |f: &Floats| if f.is_empty() { 0..0 } else { place.clone() };
            let average = part(&self.average);
            if let (Optimizer::Muon { momentum, kernels }, true) = (spec.optimizer, normed) {
                let update = Muon {
                    weights: &mut self.values[place.clone()],
                    rows: p.shape[0],
                    gradient: &self.gradients[place.clone()],
                    momentum: &mut self.momentum[place.clone()],
                    keep: momentum,
                    average: &mut self.average[average],
                    share,
                };
                mnas_kernels::muon(workers, rate * kernels, update);
            } else if p.role.trainable() {
                let square = part(&self.square);
                let update = mnas_kernels::Update {
                    weights: &mut self.values[place.clone()],
                    gradient: &self.gradients[place.clone()],
                    momentum: &mut self.momentum[place.clone()],
                    square: &mut self.square[square],
                    average: &mut self.average[average],
                    weight_decay: if p.role.decays() {
                        spec.weight_decay
                    } else {
                        0.0
                    },
                    share,
                };
                mnas_kernels::update(workers, rule, rate, update);
            } else if !average.is_empty() {
                mnas_kernels::average(
                    &self.values[place.clone()],
                    &mut self.average[average],
                    share,
                );
            }
        }
    }

    /// Tensors of one kind under `prefix`, all of them or the trained ones.
    fn write(&self, data: &Floats, prefix: &str, all: bool, out: &mut Weights) {
        for (p, place) in self.specs.iter().zip(&self.places) {
            if data.is_empty() || !(all || p.role.trainable()) {
                continue;
            }
            let tensor = Tensor {
                shape: p.shape.clone(),
                data: data[place.clone()].to_vec(),
            };
            out.tensors.insert(format!("{prefix}{}", p.name), tensor);
        }
    }

    /// What evaluation uses.
    pub(super) fn weights(&self) -> Weights {
        let mut out = Weights::default();
        self.write(self.evaluated(), "", true, &mut out);
        out
    }

    /// Starts afresh from checked weights.
    pub(super) fn load(&mut self, weights: &Weights) {
        for (p, place) in self.specs.iter().zip(&self.places) {
            self.values[place.clone()].copy_from_slice(&weights.get(&p.name).data);
        }
        if !self.average.is_empty() {
            self.average.copy_from_slice(&self.values);
        }
        self.momentum.fill(0.0);
        self.square.fill(1.0);
        self.step = 0;
    }

    /// Kinds of tensors in a state: prefix, and whether tensors that aren't trained are included.
    fn kinds(&self) -> [(&'static str, bool, &Floats); 4] {
        [
            ("", true, &self.values),
            ("ema/", true, &self.average),
            ("optimizer/momentum/", false, &self.momentum),
            ("optimizer/square/", false, &self.square),
        ]
    }

    pub(super) fn state(&self) -> Weights {
        let mut out = Weights::default();
        for (prefix, all, data) in self.kinds() {
            self.write(data, prefix, all, &mut out);
        }
        let halves = [self.step >> LOW_BITS, self.step & ((1 << LOW_BITS) - 1)];
        let data = halves.map(|h| h as f32).to_vec();
        out.tensors.insert(
            STEP.into(),
            Tensor {
                shape: vec![2],
                data,
            },
        );
        out
    }

    /// Continues from a state; nothing changes where it doesn't fit.
    pub(super) fn load_state(&mut self, state: &Weights) -> Result<(), WeightsError> {
        let mut expected = vec![(STEP.to_string(), vec![2])];
        for (prefix, all, data) in self.kinds() {
            let kept = self.specs.iter().filter(|p| all || p.role.trainable());
            if !data.is_empty() {
                expected.extend(kept.map(|p| (format!("{prefix}{}", p.name), p.shape.clone())));
            }
        }
        for (name, shape) in &expected {
            let Some(t) = state.tensors.get(name) else {
                return Err(WeightsError::Missing {
                    name: name.clone(),
                    expected: shape.clone(),
                });
            };
            if t.shape != *shape || t.data.len() != shape.iter().product::<usize>() {
                let (got, expected) = (t.shape.clone(), shape.clone());
                return Err(WeightsError::Shape {
                    name: name.clone(),
                    got,
                    expected,
                });
            }
        }
        let known: std::collections::BTreeSet<&String> = expected.iter().map(|e| &e.0).collect();
        if let Some(name) = state.tensors.keys().find(|n| !known.contains(n)) {
            return Err(WeightsError::Extra { name: name.clone() });
        }
        for (p, place) in self.specs.iter().zip(&self.places) {
            let read = |prefix: &str, to: &mut Floats| {
                let tensor = state.tensors.get(&format!("{prefix}{}", p.name));
                if let (Some(t), false) = (tensor, to.is_empty()) {
                    to[place.clone()].copy_from_slice(&t.data);
                }
            };
            read("", &mut self.values);
            read("ema/", &mut self.average);
            read("optimizer/momentum/", &mut self.momentum);
            read("optimizer/square/", &mut self.square);
        }
        let halves = &state.tensors[STEP].data;
        self.step = ((halves[0] as u64) << LOW_BITS) + halves[1] as u64;
        Ok(())
    }
}

/// Names of the kernels of convolutions of all channels, without bias, that a batch norm alone reads.
fn normed_kernels(graph: &Graph) -> Vec<String> {
    let mut readers = vec![0; graph.nodes().len()];
    for input in graph.nodes().iter().flat_map(|n| &n.inputs) {
        readers[input.index()] += 1;
    }
    let nodes = graph.nodes().iter();
    nodes
        .filter(|n| matches!(n.op, Op::BatchNorm { .. }) && readers[n.inputs[0].index()] == 1)
        .map(|norm| graph.node(norm.inputs[0]))
        .filter(|node| matches!(node.op, Op::Conv { bias: false, .. }))
        .map(|node| format!("{}.weight", node.name))
        .collect()
}
