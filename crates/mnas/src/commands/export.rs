//! `mnas export NET --format F --out FILE`.

use std::collections::BTreeMap;

use mnas_deploy::{Format, ModelFile, ModelMeta, QuantizeOptions, export, export_int8, quantize};
use mnas_net::{Purpose, stream};
use mnas_study::keys;
use mnas_train::Data;
use serde_json::json;

use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::files::write_atomically;
use crate::images;
use crate::net::{Instance, Net};
use crate::output::{Output, Progress};

mod check;

/// Writes a network as ONNX or TFLite.
pub(crate) fn run(args: &ExportArgs, out: Output) -> CommandResult {
    let net = Net::resolve(&args.net)?;
    let instance = net.instance(args.image_size, args.classes)?;
    let format = match args.format {
        ExportFormat::Onnx => Format::Onnx,
        ExportFormat::Tflite => Format::Tflite,
    };
    let mut meta = model_meta(&net, &instance);
    let data = match &args.data {
        Some(data) => {
            let size = Some(instance.graph.input_shape().h);
            Some(images::open(data, size, &mut Progress::new())?)
        }
        None => None,
    };
    let file = match &data {
        Some(data) if args.int8 => int8(args, &instance, data, format, &mut meta)?,
        _ => export(&instance.graph, &instance.weights, format, &meta).blame(Blame::Data)?,
    };
    write_atomically(&args.out, &file.bytes)?;
    let trained = instance.facts.is_some();
    let checks = if args.check {
        let samples = samples(&instance, data.as_ref());
        check::run(&instance, &file, &samples)
    } else {
        vec![]
    };
    let value = json!({
        "name": net.name, "format": format.extension(), "out": args.out, "bytes": file.bytes.len(),
        "input": file.input.to_string(), "outputs": file.outputs, "trained": trained,
        "precision": if args.int8 { "int8" } else { "float" },
        "calibration": meta.extra.get(keys::CALIBRATION), "checks": checks });
    out.print(&value, || {
        let note = if trained {
            ""
        } else {
            "\nnote: the weights are random; train the network first to use it"
        };
        format!(
            "{}: {}{} of {:.2} MB, input {}, {} classes{note}{}",
            args.out.display(),
            if args.int8 { "int8 " } else { "" },
            format,
            file.bytes.len() as f64 / 1e6,
            file.input,
            file.outputs,
            check::text(&checks)
        )
    });
    Ok(())
}

/// The network in 8 bits, calibrated on training images.
fn int8(
    args: &ExportArgs,
    instance: &Instance,
    data: &Data,
    format: Format,
    meta: &mut ModelMeta,
) -> Result<ModelFile, CommandError> {
    let images = normalised(instance, data, args.calibration_images);
    let options = QuantizeOptions {
        ranges: args.ranges,
        reduce_range: args.reduce_range,
        threads: images::cores(),
    };
    let (graph, weights) = (&instance.graph, &instance.weights);
    let quantized = quantize(graph, weights, &images, options).blame(Blame::Data)?;
    meta.extra.extend(mnas_study::int8_facts(&quantized));
    export_int8(&quantized, format, meta).blame(Blame::Data)
}

/// Training images as the network expects them.
fn normalised(instance: &Instance, data: &Data, count: usize) -> Vec<Vec<f32>> {
    let facts = instance.facts.as_ref();
    let normalize = facts.map_or(&data.meta.normalize, |f| &f.normalize);
    mnas_study::calibration_images(&data.train, normalize, count)
}

/// Images that engines are compared on.
const CHECK_IMAGES: usize = 16;

/// Images to check with: training images, or seeded noise where no data set is given.
fn samples(instance: &Instance, data: Option<&Data>) -> Vec<Vec<f32>> {
    if let Some(data) = data {
        return normalised(instance, data, CHECK_IMAGES);
    }
    let mut random = stream(0, 0, Purpose::Sample);
    let values = instance.graph.input_shape().len();
    let mut image = || (0..values).map(|_| random.normal() as f32).collect();
    (0..CHECK_IMAGES).map(|_| image()).collect()
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
