//! A tiny engine and tiny data for tests: softmax regression on the mean colour.

use mnas_net::{Graph, GraphBuilder, Op, Purpose, Shape, Tensor, Weights, stream};

use crate::{
    Engine, EngineError, Meta, Normalize, Optimizer, Session, SessionSpec, Split, StepStats,
};

/// Shape of the toy images.
pub(crate) const TOY: Shape = Shape::new(6, 6, 3);

/// A network of a pool and a classifier.
pub(crate) fn toy_graph(input: Shape, classes: usize) -> Graph {
    let mut b = GraphBuilder::new(input).unwrap();
    let pool = b.add("pool", Op::GlobalAvgPool, &[b.input()]).unwrap();
    let linear = Op::Linear { features: classes };
    let answer = b.add("classifier", linear, &[pool]).unwrap();
    b.finish(answer)
}

/// `n` noisy images of three colours; image `i` is of class `i % 3`.
pub(crate) fn toy_split(n: usize, seed: u64) -> Split {
    let mut random = stream(seed, 0, Purpose::Sample);
    let labels: Vec<u16> = (0..n).map(|i| (i % 3) as u16).collect();
    let mut images = vec![];
    for label in &labels {
        for _ in 0..TOY.pixels() {
            for c in 0..3 {
                let base = if c == *label { 150 } else { 90 };
                images.push(base + random.below(60) as u8);
            }
        }
    }
    Split::from_bytes(TOY, images, labels)
}

/// Facts of the toy data.
pub(crate) fn toy_meta() -> Meta {
    Meta {
        name: "toy".into(),
        classes: ["red", "green", "blue"].map(String::from).to_vec(),
        shape: TOY,
        normalize: Normalize {
            mean: vec![0.5; 3],
            std: vec![0.1; 3],
        },
        source: "toy".into(),
        fingerprint: "0123456789abcdef".into(),
        skipped: 0,
        validation_fraction: 0.1,
    }
}

/// The engine. `diverge_at` makes the loss of that step infinite.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) diverge_at: Option<u64>,
}

struct FakeSession {
    spec: SessionSpec,
    input: Shape,
    classes: usize,
    diverge_at: Option<u64>,
    weights: Weights,
    momentum: Weights,
    step: u64,
}

impl Engine for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn compile(&self, graph: &Graph, spec: &SessionSpec) -> Result<Box<dyn Session>, EngineError> {
        let mut zero = Weights::init(graph, &mut stream(0, 0, Purpose::Init));
        zero.tensors.values_mut().for_each(|t| t.data.fill(0.0));
        Ok(Box::new(FakeSession {
            spec: spec.clone(),
            input: graph.input_shape(),
            classes: graph.output_shape().len(),
            diverge_at: self.diverge_at,
            weights: zero.clone(),
            momentum: zero,
            step: 0,
        }))
    }
}

impl FakeSession {
    fn features(&self, image: &[u8]) -> Vec<f32> {
        let n = self.input.pixels() as f32;
        let norm = &self.spec.normalize;
        let feature = |c: usize| {
            let values = image.iter().skip(c).step_by(self.input.c);
            let mean = values.map(|v| f32::from(*v) / 255.0).sum::<f32>() / n;
            (mean - norm.mean[c]) / norm.std[c]
        };
        (0..self.input.c).map(feature).collect()
    }

    fn answer(&self, features: &[f32]) -> Vec<f32> {
        let kernel = &self.weights.get("classifier.weight").data;
        let bias = &self.weights.get("classifier.bias").data;
        let row = |k: usize| {
            let kernel = &kernel[k * features.len()..][..features.len()];
            bias[k] + kernel.iter().zip(features).map(|(w, x)| w * x).sum::<f32>()
        };
        (0..self.classes).map(row).collect()
    }
}

impl Session for FakeSession {
    fn step(&mut self, images: &[u8], labels: &[u16], rate: f32) -> Result<StepStats, EngineError> {
        assert!(!labels.is_empty() && labels.len() <= self.spec.batch);
        assert_eq!(images.len(), labels.len() * self.input.len());
        if self.diverge_at == Some(self.step + 1) {
            return Err(EngineError::Diverged {
                step: self.step + 1,
            });
        }
        let share = 1.0 / labels.len() as f32;
        let mut gradient = self.momentum.clone();
        gradient.tensors.values_mut().for_each(|t| t.data.fill(0.0));
        let (mut loss, mut correct) = (0.0, 0);
        for (image, label) in images.chunks_exact(self.input.len()).zip(labels) {
            let x = self.features(image);
            let z = self.answer(&x);
            let top = z.iter().copied().fold(f32::MIN, f32::max);
            let sum: f32 = z.iter().map(|v| (v - top).exp()).sum();
            let label = usize::from(*label);
            loss += share * (sum.ln() + top - z[label]);
            correct += u32::from(z[label] == top);
            for (k, v) in z.iter().enumerate() {
                let g = share * ((v - top).exp() / sum - f32::from(u8::from(k == label)));
                gradient.tensors.get_mut("classifier.bias").unwrap().data[k] += g;
                let kernel = &mut gradient.tensors.get_mut("classifier.weight").unwrap().data;
                (0..x.len()).for_each(|c| kernel[k * x.len() + c] += g * x[c]);
            }
        }
        let Optimizer::Sgd { momentum, .. } = self.spec.optimizer else {
            panic!("the fake engine knows SGD only")
        };
        for (name, g) in &gradient.tensors {
            let m = &mut self.momentum.tensors.get_mut(name).unwrap().data;
            let w = &mut self.weights.tensors.get_mut(name).unwrap().data;
            for ((m, w), g) in m.iter_mut().zip(w).zip(&g.data) {
                *m = momentum * *m + g;
                *w -= rate * *m;
            }
        }
        self.step += 1;
        Ok(StepStats { loss, correct })
    }

    fn logits(&mut self, images: &[u8], out: &mut Vec<f32>) -> Result<(), EngineError> {
        assert!(images.len() <= self.spec.batch * self.input.len());
        out.clear();
        for image in images.chunks_exact(self.input.len()) {
            out.extend(self.answer(&self.features(image)));
        }
        Ok(())
    }

    fn weights(&self) -> Weights {
        self.weights.clone()
    }

    fn load(&mut self, weights: &Weights) -> Result<(), EngineError> {
        self.weights.tensors.clone_from(&weights.tensors);
        self.momentum
            .tensors
            .values_mut()
            .for_each(|t| t.data.fill(0.0));
        self.step = 0;
        Ok(())
    }

    fn state(&self) -> Weights {
        let mut state = self.weights.clone();
        let slots = self.momentum.tensors.iter();
        let slots = slots.map(|(n, t)| (format!("optimizer/m/{n}"), t.clone()));
        state.tensors.extend(slots);
        let step = Tensor {
            shape: vec![1],
            data: vec![self.step as f32],
        };
        state.tensors.insert("step".into(), step);
        state
    }

    fn load_state(&mut self, state: &Weights) -> Result<(), EngineError> {
        assert!(state.metadata.is_empty());
        for (name, t) in &mut self.weights.tensors {
            t.clone_from(&state.tensors[name]);
        }
        for (name, t) in &mut self.momentum.tensors {
            t.clone_from(&state.tensors[&format!("optimizer/m/{name}")]);
        }
        self.step = state.tensors["step"].data[0] as u64;
        Ok(())
    }

    fn memory_bytes(&self) -> u64 {
        64
    }
}
