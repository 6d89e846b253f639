//! `mnas train NET --data D`.

use mnas_net::{NetSpec, cost};
use mnas_train::{Control, Data, Recipe, Storage, TrainJob, Trained, keys};
use serde_json::json;

use crate::cli::{RecipeName, TrainArgs};
use crate::exit::{Blame, Blamed, CommandError, CommandResult};
use crate::files::write_atomically;
use crate::images;
use crate::net::Net;
use crate::output::{Output, Progress, clock};
use crate::stop::stop_flag;

mod start;

/// Trains one network and writes its weights.
pub(crate) fn run(args: &TrainArgs, out: Output) -> CommandResult {
    let net = Net::resolve(&args.net)?;
    let mut progress = Progress::new();
    let mut data = images::open(
        &args.data,
        args.image_size.or(net.image_size),
        &mut progress,
    )?;
    let recipe = recipe(args, &data)?;
    let graph = net.graph(data.meta.shape, data.meta.classes.len())?;
    let start = start::of(args, &net, &graph, &mut data)?;
    let (train, validation) = if args.with_validation {
        (data.train.union(&data.validation), None)
    } else {
        (data.train.clone(), Some(&data.validation))
    };
    let checkpoint = args.out.with_extension("checkpoint");
    let job = TrainJob {
        graph: &graph,
        train: &train,
        validation,
        meta: &data.meta,
        recipe: &recipe,
        seed: args.seed,
        trial: 0,
        threads: args.threads.unwrap_or_else(images::cores),
        cut: None,
        start: start.as_ref().map(|s| &s.weights),
        checkpoint: Some(&checkpoint),
    };
    let stop = stop_flag();
    let trained = mnas_train::train(&mnas_train::cpu(), &job, &mut |p| {
        let message = format!(
            "epoch {:.2} loss {:.4}  {:.0} images/s",
            p.epoch, p.loss, p.images_per_second
        );
        progress.show("training", p.step, p.steps, &message, Some(p.eta_seconds));
        if stop.requested() {
            Control::Stop
        } else {
            Control::Continue
        }
    });
    progress.finish();
    let trained = trained.blame(Blame::Data)?;
    if trained.stopped {
        eprintln!(
            "stopped; the same command continues from {}",
            checkpoint.display()
        );
        return Ok(());
    }
    let mut weights = trained.weights.clone();
    weights
        .metadata
        .insert(keys::SPEC.into(), net.spec.to_string());
    write_atomically(&args.out, &weights.to_safetensors())?;
    // The run is complete, so its checkpoint has served; one that stays does no harm.
    let _ = std::fs::remove_file(&checkpoint);
    let start = start.map_or(serde_json::Value::Null, |s| s.json());
    report(
        args,
        out,
        &net,
        (&data, train.len()),
        &cost(&graph),
        (&trained, start),
    );
    Ok(())
}

fn recipe(args: &TrainArgs, data: &Data) -> Result<Recipe, CommandError> {
    let epochs = args.epochs.unwrap_or(Recipe::FULL_EPOCHS);
    let mut recipe = match args.recipe {
        RecipeName::Proxy => Recipe::proxy(&data.meta),
        RecipeName::Full => Recipe::full(&data.meta, epochs),
        RecipeName::Muon => Recipe::muon(&data.meta, epochs),
        RecipeName::Mnasnet => Recipe::mnasnet(),
    };
    recipe.epochs = args.epochs.unwrap_or(recipe.epochs);
    recipe.batch = args.batch.unwrap_or(recipe.batch);
    recipe.learning_rate = args.learning_rate.unwrap_or(recipe.learning_rate);
    recipe.weight_decay = args.weight_decay.unwrap_or(recipe.weight_decay);
    recipe.augment.flip = args.mirror.unwrap_or(recipe.augment.flip);
    if let Some(pixels) = args.shift {
        recipe.augment.random_resized_crop = false;
        recipe.augment.pad_crop = pixels;
    }
    recipe.augment.cutout = args.cutout.unwrap_or(recipe.augment.cutout);
    recipe.storage = Storage::bf16_if(args.bf16);
    recipe.check().blame(Blame::Usage)?;
    Ok(recipe)
}

fn report(
    args: &TrainArgs,
    out: Output,
    net: &Net,
    (data, images): (&Data, usize),
    cost: &mnas_net::Cost,
    (trained, start): (&Trained, serde_json::Value),
) {
    let spec: &NetSpec = &net.spec;
    let evaluation = trained.evaluation.as_ref();
    let value = json!({
        "name": net.name, "spec": spec.to_string(), "data": data.meta.name, "out": args.out,
        "params": cost.params, "macs": cost.macs, "start": start, "train_images": images,
        "validation_accuracy": evaluation.map(|e| e.top1), "validation_images": evaluation.map(|e| e.images),
        "seconds": trained.seconds, "images_per_second": trained.images_per_second,
        "memory_bytes": trained.memory_bytes, "skipped_images": data.meta.skipped, "curve": trained.curve });
    out.print(&value, || {
        let accuracy = evaluation.map_or("not validated".into(), |e| {
            format!("validation top-1 {:.2} % ({} images)", 100.0 * e.top1, e.images)
        });
        format!(
            "{}: {accuracy}\ntrained in {} at {:.0} images/s, {:.0} MB of training memory\nweights: {}\n\
             next: mnas eval {} --data {}",
            net.name,
            clock(trained.seconds),
            trained.images_per_second,
            trained.memory_bytes as f64 / 1e6,
            args.out.display(),
            args.out.display(),
            args.data
        )
    });
}
