//! `mnas export NET --format F --out FILE`.

use std::collections::BTreeMap;

use mnas_deploy::{Format, ModelMeta, export};
use mnas_train::keys;
use serde_json::json;

use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::files::write_atomically;
use crate::net::{Instance, Net};
use crate::output::Output;

/// Writes a network as ONNX or TFLite.
pub(crate) fn run(args: &ExportArgs, out: Output) -> CommandResult {
    if args.int8 {
        return Err(
            CommandError::usage("this version exports float32 only").hint("leave --int8 out")
        );
    }
    let net = Net::resolve(&args.net)?;
    let instance = net.instance(args.image_size, args.classes)?;
    let format = match args.format {
        ExportFormat::Onnx => Format::Onnx,
        ExportFormat::Tflite => Format::Tflite,
    };
    let meta = model_meta(&net, &instance);
    let file = export(&instance.graph, &instance.weights, format, &meta).blame(Blame::Data)?;
    write_atomically(&args.out, &file.bytes)?;
    let trained = instance.facts.is_some();
    let value = json!({
        "name": net.name, "format": format.extension(), "out": args.out, "bytes": file.bytes.len(),
        "input": file.input.to_string(), "outputs": file.outputs, "trained": trained });
    out.print(&value, || {
        let note = if trained {
            ""
        } else {
            "\nnote: the weights are random; train the network first to use it"
        };
        format!(
            "{}: {} of {:.2} MB, input {}, {} classes{note}",
            args.out.display(),
            format,
            file.bytes.len() as f64 / 1e6,
            file.input,
            file.outputs
        )
    });
    Ok(())
}

/// What the file says about the network beside its layers.
pub(crate) fn model_meta(net: &Net, instance: &Instance) -> ModelMeta {
    let mut extra: BTreeMap<String, String> = instance.weights.metadata.clone();
    extra.insert(keys::SPEC.into(), net.spec.to_string());
    // These stand in fields of their own.
    for key in [keys::CLASSES, keys::NORMALIZE, keys::INPUT] {
        extra.remove(key);
    }
    let facts = instance.facts.as_ref();
    ModelMeta {
        name: net.name.clone(),
        classes: facts.map(|f| f.classes.clone()).unwrap_or_default(),
        normalize_mean: facts.map(|f| f.normalize.mean.clone()).unwrap_or_default(),
        normalize_std: facts.map(|f| f.normalize.std.clone()).unwrap_or_default(),
        extra,
    }
}
