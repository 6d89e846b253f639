//! `mnas eval NET --data D`.

use std::path::Path;

use mnas_train::{Data, Evaluation};
use serde_json::json;

use crate::cli::EvalArgs;
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::images;
use crate::net::{Exported, Net, is_model};
use crate::output::{Output, Progress, table};

/// Tests a trained network on a data set's test split.
pub(crate) fn run(args: &EvalArgs, out: Output) -> CommandResult {
    let (name, data, e) = if is_model(Path::new(&args.net)) {
        file(args)?
    } else {
        trained(args)?
    };
    let per_class: Vec<_> = data
        .meta
        .classes
        .iter()
        .zip(&e.per_class)
        .zip(&e.confusion)
        .map(|((class, accuracy), row)| json!({ "class": class, "accuracy": accuracy, "images": row.iter().sum::<u32>() }))
        .collect();
    let value = json!({
        "name": name, "data": data.meta.name, "split": "test", "images": e.images,
        "top1": e.top1, "top5": e.top5, "loss": e.loss, "per_class": per_class, "confusion": e.confusion });
    out.print(&value, || {
        let rows: Vec<Vec<String>> = per_class
            .iter()
            .map(|c| {
                let accuracy = 100.0 * c["accuracy"].as_f64().unwrap_or_default();
                vec![
                    c["class"].as_str().unwrap_or_default().into(),
                    c["images"].to_string(),
                    format!("{accuracy:.1}"),
                ]
            })
            .collect();
        format!(
            "{} on {} test images of {}\n  top-1 {:.2} %   top-5 {:.2} %   loss {:.4}\n\n{}",
            name,
            e.images,
            data.meta.name,
            100.0 * e.top1,
            100.0 * e.top5,
            e.loss,
            table(&["class", "images", "top-1 %"], &rows)
        )
    });
    Ok(())
}

/// What answered, the images and how it did.
type Tested = (String, Data, Evaluation);

fn trained(args: &EvalArgs) -> Result<Tested, CommandError> {
    let net = Net::resolve(&args.net)?;
    let instance = net.instance(None, 1)?;
    let Some(facts) = &instance.facts else {
        return Err(CommandError::usage(format!("{} is not trained", net.name))
            .hint("train it with `mnas train`, or give DIR:best of a finished study"));
    };
    let mut data = images::open(&args.data, Some(facts.input.h), &mut Progress::new())?;
    same_classes(&net.name, &facts.classes, args, &data)?;
    // The network expects pixels normalised as in its training, whatever this data set's mean is.
    data.meta.normalize = facts.normalize.clone();
    let threads = args.threads.unwrap_or_else(images::cores);
    let engine = mnas_train::cpu();
    let (graph, weights) = (&instance.graph, &instance.weights);
    let e = mnas_train::evaluate(&engine, graph, weights, &data.test, &data.meta, threads);
    Ok((net.name, data, e.blame(Blame::Data)?))
}

/// Tests an exported file in an inference engine.
fn file(args: &EvalArgs) -> Result<Tested, CommandError> {
    let exported = Exported::open(Path::new(&args.net))?;
    let (file, normalize) = (&exported.file, &exported.normalize);
    let data = images::open(&args.data, Some(file.input.h), &mut Progress::new())?;
    same_classes(&args.net, &exported.classes, args, &data)?;
    let engine = match args.engine {
        Some(engine) => engine,
        None => crate::engines::for_file(file).blame(Blame::Device)?.id(),
    };
    let classes = data.meta.classes.len();
    let e = mnas_study::evaluate_file(file, engine, &data.test, classes, normalize);
    let e = e.blame(Blame::Device)?;
    Ok((format!("{} in {engine}", args.net), data, e))
}

fn same_classes(
    name: &str,
    classes: &[String],
    args: &EvalArgs,
    data: &Data,
) -> Result<(), CommandError> {
    if data.meta.classes == classes {
        return Ok(());
    }
    let list = |c: &[String]| c.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    Err(CommandError {
        blame: Blame::Data,
        message: format!(
            "{name} knows {} classes ({}, ...), {} has {} ({}, ...)",
            classes.len(),
            list(classes),
            args.data,
            data.meta.classes.len(),
            list(&data.meta.classes)
        ),
        hint: None,
    })
}
