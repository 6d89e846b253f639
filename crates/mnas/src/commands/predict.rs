//! `mnas predict NET IMAGE...`: through our weights or an exported file, with the same answer.

use std::path::Path;

use mnas_deploy::{InferenceEngine, interpret};
use mnas_net::{Graph, Shape, Weights};
use mnas_train::Normalize;
use serde_json::json;

use crate::cli::PredictArgs;
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::net::{Exported, Net, is_model};
use crate::output::Output;

/// What answers.
enum Model {
    Ours { graph: Graph, weights: Weights },
    File(Box<dyn InferenceEngine>),
}

struct Predictor {
    model: Model,
    input: Shape,
    classes: Vec<String>,
    normalize: Normalize,
}

/// Classifies image files.
pub(crate) fn run(args: &PredictArgs, out: Output) -> CommandResult {
    let mut predictor = Predictor::open(&args.net)?;
    let mut answers = vec![];
    for path in &args.images {
        let pixels = mnas_train::load_image(path, predictor.input).blame(Blame::Data)?;
        let probabilities = softmax(&predictor.logits(&pixels)?);
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
        let top: Vec<_> = order
            .into_iter()
            .take(args.top)
            .map(|i| json!({ "class": predictor.class(i), "probability": probabilities[i] }))
            .collect();
        answers.push(json!({ "image": path, "top": top }));
    }
    out.print(&json!({ "net": args.net, "predictions": answers }), || {
        let line = |a: &serde_json::Value| {
            let top: Vec<String> = a["top"]
                .as_array()
                .into_iter()
                .flatten()
                .map(show)
                .collect();
            format!(
                "{}  {}",
                a["image"].as_str().unwrap_or_default(),
                top.join(", ")
            )
        };
        answers.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn show(answer: &serde_json::Value) -> String {
    let probability = 100.0 * answer["probability"].as_f64().unwrap_or_default();
    format!(
        "{} {probability:.1} %",
        answer["class"].as_str().unwrap_or_default()
    )
}

impl Predictor {
    fn open(net: &str) -> Result<Self, CommandError> {
        let path = Path::new(net);
        if is_model(path) {
            Self::open_file(path)
        } else {
            Self::open_net(net)
        }
    }

    fn open_net(net: &str) -> Result<Self, CommandError> {
        let resolved = Net::resolve(net)?;
        let instance = resolved.instance(None, 1)?;
        let Some(facts) = instance.facts else {
            return Err(
                CommandError::usage(format!("{} is not trained", resolved.name))
                    .hint("train it with `mnas train`, or give DIR:best of a finished study"),
            );
        };
        Ok(Self {
            model: Model::Ours {
                graph: instance.graph,
                weights: instance.weights,
            },
            input: facts.input,
            classes: facts.classes,
            normalize: facts.normalize,
        })
    }

    fn open_file(path: &Path) -> Result<Self, CommandError> {
        let exported = Exported::open(path)?;
        let engine = crate::engines::for_file(&exported.file).blame(Blame::Device)?;
        Ok(Self {
            model: Model::File(engine),
            input: exported.file.input,
            classes: exported.classes,
            normalize: exported.normalize,
        })
    }

    fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>, CommandError> {
        let normalised = self.normalize.apply(pixels);
        match &mut self.model {
            Model::Ours { graph, weights } => Ok(interpret(graph, weights, &normalised)),
            Model::File(engine) => engine.run(&normalised).blame(Blame::Device),
        }
    }

    fn class(&self, index: usize) -> String {
        self.classes
            .get(index)
            .cloned()
            .unwrap_or_else(|| format!("class {index}"))
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = logits.iter().map(|l| f64::from(l - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}
