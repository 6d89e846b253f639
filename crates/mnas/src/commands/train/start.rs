//! Weights that a training starts from.

use std::path::Path;

use mnas_net::{Decimal, Graph, NetSpec, Purpose, Weights, WeightsError, stream};
use mnas_train::{Data, TrainedFacts, keys};
use serde_json::{Value, json};

use crate::cli::TrainArgs;
use crate::exit::{Blame, Blamed, CommandError};
use crate::net::Net;

/// Weights to start from.
pub(super) struct Start {
    /// They fit the network.
    pub(super) weights: Weights,
    /// Where they are from.
    from: String,
    /// Classes that they told apart, where those are others than the data's: the classifier is fresh.
    other_classes: Option<usize>,
}

impl Start {
    /// What the command's answer says of it.
    pub(super) fn json(&self) -> Value {
        let fresh = self.other_classes.map(|_| "classifier");
        json!({ "from": self.from, "fresh": fresh, "classes_before": self.other_classes })
    }
}

/// The weights of `--from`, or those that the network came with; none where there are neither.
/// Where they tell apart another number of classes, the classifier is drawn anew, and standard error
/// says so. Images are then normalised as the weights are used to.
pub(super) fn of(
    args: &TrainArgs,
    net: &Net,
    graph: &Graph,
    data: &mut Data,
) -> Result<Option<Start>, CommandError> {
    let (weights, from) = match (&args.from, &net.weights) {
        (Some(path), _) => (read(path, &net.spec)?, path.display().to_string()),
        (None, Some(weights)) => (weights.clone(), net.name.clone()),
        (None, None) => return Ok(None),
    };
    let (weights, other_classes) = fitted(weights, graph, args.seed).map_err(|e| {
        CommandError::new(Blame::Data, anyhow::anyhow!("{from}: {e}"))
            .hint("is it the same network? `mnas import` reads weights of other programs")
    })?;
    if let Some(before) = other_classes {
        let classes = data.meta.classes.len();
        eprintln!(
            "note: {from} tells {before} classes apart and {} has {classes}: the classifier starts from \
             random weights, all other layers from the file",
            data.meta.name
        );
    }
    if let Ok(facts) = TrainedFacts::read(&weights)
        && facts.normalize.mean.len() == data.meta.shape.c
    {
        data.meta.normalize = facts.normalize;
    }
    Ok(Some(Start {
        weights,
        from,
        other_classes,
    }))
}

/// Reads a file of weights, which must be of this network where it says of which it is.
fn read(path: &Path, spec: &NetSpec) -> Result<Weights, CommandError> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|e| anyhow::anyhow!("{shown}: {e}"))
        .blame(Blame::Data)?;
    let weights = Weights::from_safetensors(&bytes)
        .map_err(|e| anyhow::anyhow!("{shown}: {e}"))
        .blame(Blame::Data)
        .map_err(|e| e.hint("`mnas import` reads weights of other programs"))?;
    let theirs = weights
        .metadata
        .get(keys::SPEC)
        .and_then(|s| s.parse::<NetSpec>().ok());
    // Shapes alone would let weights pass that compute something else here: another activation,
    // skip or padding.
    let without_dropout = |spec: &NetSpec| {
        let mut spec = spec.canonical();
        spec.head.dropout = Decimal::ZERO;
        spec
    };
    match theirs {
        Some(theirs) if without_dropout(&theirs) != without_dropout(spec) => {
            let message = format!("{shown} holds weights of another network: {theirs:#}");
            Err(
                CommandError::new(Blame::Data, anyhow::anyhow!(message)).hint(format!(
                    "`mnas train {shown} --data D` trains the network of the file"
                )),
            )
        }
        _ => Ok(weights),
    }
}

/// The weights with a fresh classifier where only the number of classes differs, and that number.
fn fitted(
    mut weights: Weights,
    graph: &Graph,
    seed: u64,
) -> Result<(Weights, Option<usize>), WeightsError> {
    let name = |suffix: &str| format!("{}.{suffix}", graph.node(graph.output()).name);
    let (kernel, bias) = (name("weight"), name("bias"));
    let before = weights.tensors.get(&kernel).map(|t| t.shape.clone());
    let needed = graph.params().into_iter().find(|p| p.name == kernel);
    let other = match (before.as_deref(), needed.map(|p| p.shape).as_deref()) {
        (Some(&[theirs, features]), Some(&[ours, same])) if features == same && theirs != ours => {
            let mut fresh = Weights::init(graph, &mut stream(seed, 0, Purpose::Init)).tensors;
            for name in [kernel, bias] {
                let tensor = fresh.remove(&name);
                weights.tensors.extend(tensor.map(|t| (name, t)));
            }
            Some(theirs)
        }
        _ => None,
    };
    weights.check(graph)?;
    Ok((weights, other))
}

#[cfg(test)]
mod tests {
    use mnas_net::Shape;

    use super::*;

    fn graph(text: &str, classes: usize) -> Graph {
        let spec: NetSpec = text.parse().unwrap();
        spec.graph(Shape::new(16, 16, 3), classes).unwrap()
    }

    const NET: &str = "stem_k3_s2_c8; ds_r1_k3_s1_c16; head_c24";

    #[test]
    fn another_number_of_classes_gets_a_fresh_classifier_and_nothing_else() {
        let theirs = Weights::init(&graph(NET, 1000), &mut stream(7, 0, Purpose::Init));
        let (ours, before) = fitted(theirs.clone(), &graph(NET, 5), 0).unwrap();
        assert_eq!(before, Some(1000));
        for (name, tensor) in &ours.tensors {
            let same = theirs.tensors[name] == *tensor;
            assert_eq!(same, !name.starts_with("classifier"), "{name}");
        }
        let (kept, before) = fitted(theirs.clone(), &graph(NET, 1000), 0).unwrap();
        assert_eq!((kept, before), (theirs, None));
    }

    #[test]
    fn any_other_difference_is_refused_by_its_tensor() {
        let theirs = Weights::init(&graph(NET, 10), &mut stream(7, 0, Purpose::Init));
        let check = |net: &str, edit: fn(&mut Weights), message: &str| {
            let mut theirs = theirs.clone();
            edit(&mut theirs);
            let error = fitted(theirs, &graph(net, 5), 0).unwrap_err();
            assert_eq!(error.to_string(), message);
        };
        check(
            &NET.replace("c24", "c32"),
            |_| {},
            "tensor head.conv.weight is [24, 1, 1, 16]; the network needs [32, 1, 1, 16]",
        );
        check(
            NET,
            |w| drop(w.tensors.remove("classifier.weight")),
            "tensor classifier.weight [5, 24] is missing",
        );
    }

    #[test]
    fn weights_of_a_network_that_computes_something_else_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let mut theirs = Weights::init(&graph(NET, 10), &mut stream(7, 0, Purpose::Init));
        theirs.metadata.insert(keys::SPEC.into(), NET.into());
        std::fs::write(&path, theirs.to_safetensors()).unwrap();
        let read_as = |net: &str| read(&path, &net.parse().unwrap());
        read_as(NET).unwrap();
        // Dropout acts in training only.
        read_as(&format!("{NET}_drop0.2")).unwrap();
        for other in [
            NET.replace("s2_c8", "s2_c8_padsymmetric"),
            NET.replace("c24", "c24_acthswish"),
        ] {
            let error = read_as(&other).unwrap_err();
            assert!(
                error.message.contains("another network"),
                "{}",
                error.message
            );
        }
    }
}
