//! `mnas import FILE --as NET --out W`.

use mnas_net::import::{ImportError, Imported, Source, import};
use mnas_net::{Shape, cost};
use mnas_train::{Normalize, TrainedFacts, keys};
use serde_json::json;

use crate::cli::ImportArgs;
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::files::write_atomically;
use crate::net::Net;
use crate::output::Output;

/// Reads weights of another program and writes ours.
pub(crate) fn run(args: &ImportArgs, out: Output) -> CommandResult {
    let net = Net::resolve(&args.net)?;
    let shown = args.file.display();
    let bytes = std::fs::read(&args.file)
        .map_err(|e| anyhow::anyhow!("{shown}: {e}"))
        .blame(Blame::Data)?;
    let side = args.image_size.or(net.image_size).unwrap_or(224);
    let input = Shape::new(side, side, 3);
    let mut imported = import(&bytes, &net.spec, input).map_err(|e| refused(args, &net, &e))?;
    let facts = TrainedFacts {
        input,
        classes: class_names(args, imported.classes)?,
        normalize: normalize(imported.source),
    };
    facts.write(&mut imported.weights);
    let notes = [
        (keys::SPEC, imported.spec.to_string()),
        (keys::IMPORTED_FROM, imported.source.to_string()),
    ];
    let notes = notes.map(|(key, value)| (key.to_string(), value));
    imported.weights.metadata.extend(notes);
    write_atomically(&args.out, &imported.weights.to_safetensors())?;
    report(args, &net, &imported, &facts, out)
}

fn refused(args: &ImportArgs, net: &Net, error: &ImportError) -> CommandError {
    let message = anyhow::anyhow!("{} is not {}: {error}", args.file.display(), net.name);
    let hint = match error {
        ImportError::File(_) => "a .safetensors file of float32 tensors is needed",
        ImportError::UnknownNames { .. } => {
            "weights that mnas wrote need no import: give the file where a NET is asked for"
        }
        ImportError::Missing { .. } => "is the file whole, and of this network and width?",
        ImportError::Block { .. }
        | ImportError::Shape { .. }
        | ImportError::Extra { .. }
        | ImportError::Graph(_) => "give the network that the file holds with --as; see `mnas zoo`",
    };
    CommandError::new(Blame::Data, message).hint(hint)
}

/// The names of the classes: a line each of the file, or their numbers.
fn class_names(args: &ImportArgs, count: usize) -> Result<Vec<String>, CommandError> {
    let Some(path) = &args.class_names else {
        return Ok((0..count).map(|i| i.to_string()).collect());
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| anyhow::anyhow!("{shown}: {e}"))
        .blame(Blame::Data)?;
    let names: Vec<String> = text.lines().map(String::from).collect();
    if names.len() == count {
        return Ok(names);
    }
    let message = format!(
        "{shown} has {} names; the network has {count} classes",
        names.len()
    );
    Err(CommandError::new(Blame::Data, anyhow::anyhow!(message)))
}

/// How the source's networks expect their images.
fn normalize(source: Source) -> Normalize {
    let (mean, std) = match source {
        // ImageNet's statistics, as all three programs write them.
        Source::Timm
        | Source::TorchvisionMnasNet
        | Source::TorchvisionMobileNet
        | Source::TensorFlowMnasNet => (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]),
        // `inception_preprocessing`: -1 to 1.
        Source::TensorFlowMobileNet => (vec![0.5; 3], vec![0.5; 3]),
    };
    Normalize { mean, std }
}

fn report(
    args: &ImportArgs,
    net: &Net,
    imported: &Imported,
    facts: &TrainedFacts,
    out: Output,
) -> CommandResult {
    let graph = net_graph(imported, facts.input)?;
    let cost = cost(&graph);
    let (spec, source) = (imported.spec.to_string(), imported.source.to_string());
    let value = json!({
        "name": net.name, "source": source, "params": cost.params, "macs": cost.macs,
        "classes": imported.classes, "tensors": imported.weights.tensors.len(),
        "input": facts.input.to_string(), "spec": spec, "out": args.out });
    out.print(&value, || {
        let shown = args.out.display();
        format!(
            "{}: {} of {source}, {} tensors, {} parameters, {} classes, images of {}\n\n{spec}\n\n\
             next: mnas train {shown} --data D",
            shown,
            net.name,
            imported.weights.tensors.len(),
            cost.params,
            imported.classes,
            facts.input
        )
    });
    Ok(())
}

fn net_graph(imported: &Imported, input: Shape) -> Result<mnas_net::Graph, CommandError> {
    imported
        .spec
        .graph(input, imported.classes)
        .blame(Blame::Data)
}
