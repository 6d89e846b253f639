use std::fs;
use std::path::Path;

use mnas_net::{Activation, GraphBuilder, Op};

use super::*;
use crate::evaluate::evaluate;
use crate::fake::{Fake, TOY, toy_graph, toy_meta, toy_split};
use crate::{Augment, Optimizer, PadFill, Schedule, Storage, cpu};

fn recipe() -> Recipe {
    Recipe {
        epochs: 3.0,
        batch: 8,
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            nesterov: false,
        },
        learning_rate: 0.1,
        schedule: Schedule::OneCycle { warmup: 0.3 },
        weight_decay: 0.0,
        label_smoothing: 0.0,
        bn_momentum: 0.9,
        ema_decay: None,
        storage: Storage::F32,
        augment: Augment {
            pad_crop: 1,
            pad_fill: PadFill::Reflect,
            flip: true,
            ..Augment::NONE
        },
        train_images: None,
        eval_every: None,
    }
}

/// Trains the toy network on 50 toy images; `stop_at` stops after that step.
fn run(
    engine: &dyn Engine,
    edit: impl Fn(&mut Recipe),
    checkpoint: Option<&Path>,
    stop_at: Option<u64>,
) -> Result<Trained, TrainError> {
    let (graph, meta) = (toy_graph(TOY, 3), toy_meta());
    let (train_split, validation) = (toy_split(50, 1), toy_split(30, 2));
    let mut recipe = recipe();
    edit(&mut recipe);
    let job = TrainJob {
        graph: &graph,
        train: &train_split,
        validation: Some(&validation),
        meta: &meta,
        recipe: &recipe,
        seed: 7,
        trial: 3,
        threads: 1,
        cut: None,
        start: None,
        checkpoint,
    };
    let mut last = 0;
    train(engine, &job, &mut |p| {
        assert_eq!(p.step, last.max(p.step - 1) + 1, "progress skips no step");
        assert!(p.loss.is_finite() && p.eta_seconds >= 0.0 && p.images_per_second > 0.0);
        last = p.step;
        if stop_at == Some(p.step) {
            Control::Stop
        } else {
            Control::Continue
        }
    })
}

fn engines() -> Vec<Box<dyn Engine>> {
    vec![Box::new(Fake::default()), Box::new(cpu())]
}

#[test]
fn learns_and_reports() {
    for engine in engines() {
        let name = engine.name();
        let done = run(&*engine, |r| r.epochs = 10.0, None, None).unwrap();
        let evaluation = done.evaluation.unwrap();
        assert!(evaluation.top1 > 0.95, "{name}: {evaluation:?}");
        assert_eq!(evaluation.images, 30);
        let (first, last) = (&done.curve[0], done.curve.last().unwrap());
        assert!(last.loss < 0.7 * first.loss, "{name}: {:?}", done.curve);
        assert_eq!(last.accuracy, Some(evaluation.top1));
        assert_eq!(last.epoch, 10.0);
        assert_eq!(done.curve.len(), 10);
        assert!(!done.stopped && done.seconds > 0.0 && done.memory_bytes > 0);
        let facts = crate::TrainedFacts::read(&done.weights).unwrap();
        assert_eq!(facts.classes, ["red", "green", "blue"]);
    }
}

#[test]
fn the_same_job_gives_the_same_bits_and_another_trial_others() {
    for engine in engines() {
        let one = run(&*engine, |_| (), None, None).unwrap();
        let two = run(&*engine, |_| (), None, None).unwrap();
        assert_eq!(one.weights, two.weights);
        assert_eq!(one.curve, two.curve);
        let other = run(&*engine, |r| r.learning_rate = 0.05, None, None).unwrap();
        assert_ne!(one.weights, other.weights);
    }
}

#[test]
fn a_stopped_run_continues_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    // 6 steps per epoch: within the first epoch, at its end, within the last, at the very end.
    for engine in engines() {
        let whole = run(&*engine, |r| r.eval_every = Some(0.5), None, None).unwrap();
        for stop_at in [1, 4, 6, 7, 17, 18] {
            let path = folder.path().join(format!("{}-{stop_at}", engine.name()));
            let go = |stop_at| run(&*engine, |r| r.eval_every = Some(0.5), Some(&path), stop_at);
            let part = go(Some(stop_at)).unwrap();
            assert!(part.stopped && part.evaluation.is_none());
            let saved = Weights::from_safetensors(&fs::read(&path).unwrap()).unwrap();
            let ledger: Ledger = serde_json::from_str(&saved.metadata["ledger"]).unwrap();
            assert_eq!(ledger.step, stop_at);
            let before = ledger.seconds;
            let rest = go(None).unwrap();
            assert_eq!(rest.weights, whole.weights, "stopped at {stop_at}");
            assert_eq!(rest.curve, whole.curve, "stopped at {stop_at}");
            assert_eq!(rest.evaluation, whole.evaluation);
            assert!(rest.seconds > before, "time before the stop counts");
        }
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 12, "no temporary files stay");
}

/// A network with everything that keeps state: running statistics, dropout, three kinds of kernel.
fn stateful_graph() -> Graph {
    let mut b = GraphBuilder::new(TOY).unwrap();
    let conv = Op::Conv {
        kernel: 3,
        stride: 2,
        filters: 8,
        bias: false,
    };
    let depthwise = Op::DepthwiseConv {
        kernel: 3,
        stride: 1,
        bias: false,
    };
    let mut at = b.input();
    for (name, op) in [
        ("conv", conv),
        ("conv.bn", Op::BATCH_NORM),
        ("conv.act", Op::Act(Activation::Relu)),
        ("depthwise", depthwise),
        ("depthwise.bn", Op::BATCH_NORM),
        ("pool", Op::GlobalAvgPool),
        ("dropout", Op::Dropout { rate: 0.2 }),
        ("classifier", Op::Linear { features: 3 }),
    ] {
        at = b.add(name, op, &[at]).unwrap();
    }
    b.finish(at)
}

#[test]
fn averages_statistics_and_dropout_continue_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (graph, meta) = (stateful_graph(), toy_meta());
    let (split, validation) = (toy_split(50, 1), toy_split(30, 2));
    let recipe = Recipe {
        optimizer: Recipe::mnasnet().optimizer,
        learning_rate: 0.01,
        weight_decay: 1e-3,
        label_smoothing: 0.1,
        ema_decay: Some(0.9),
        ..recipe()
    };
    let go = |checkpoint, stop_at| {
        let job = TrainJob {
            graph: &graph,
            train: &split,
            validation: Some(&validation),
            meta: &meta,
            recipe: &recipe,
            seed: 7,
            trial: 3,
            threads: 2,
            cut: None,
            start: None,
            checkpoint,
        };
        let stop = |p: &Progress| match stop_at {
            Some(step) if p.step == step => Control::Stop,
            _ => Control::Continue,
        };
        train(&cpu(), &job, &mut |p| stop(p)).unwrap()
    };
    let whole = go(None, None);
    for stop_at in [2, 9, 13] {
        assert!(go(Some(&path), Some(stop_at)).stopped);
    }
    let rest = go(Some(&path), None);
    assert_eq!(rest.weights, whole.weights);
    assert_eq!(rest.curve, whole.curve);
    assert_eq!(rest.evaluation, whole.evaluation);
    // The weights handed back are those that were evaluated.
    let e = evaluate(&cpu(), &graph, &rest.weights, &validation, &meta, 2).unwrap();
    assert_eq!(e.confusion, rest.evaluation.unwrap().confusion);
}

/// A run ends at the point whose loss is too high, also where it was stopped just there and goes on.
#[test]
fn a_run_is_cut_short_by_its_curve() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (graph, meta, recipe) = (toy_graph(TOY, 3), toy_meta(), recipe());
    let (split, validation) = (toy_split(50, 1), toy_split(30, 2));
    let go = |cut, checkpoint, stop_at| {
        let job = TrainJob {
            graph: &graph,
            train: &split,
            validation: Some(&validation),
            meta: &meta,
            recipe: &recipe,
            seed: 7,
            trial: 3,
            threads: 1,
            cut,
            start: None,
            checkpoint,
        };
        let stop = |p: &Progress| match stop_at {
            Some(step) if p.step == step => Control::Stop,
            _ => Control::Continue,
        };
        train(&Fake::default(), &job, &mut |p| stop(p)).unwrap()
    };
    let whole = go(None, None, None);
    assert!(!whole.cut_short);
    let point = 3;
    let loss = whole.curve[point - 1].loss;
    let cut = |loss_max| Some(Cut { point, loss_max });
    let same = go(cut(loss), None, None);
    assert_eq!((same.cut_short, same.curve), (false, whole.curve.clone()));
    let short = go(cut(loss - 1e-9), None, None);
    assert!(short.cut_short && !short.stopped && short.evaluation.is_none());
    assert_eq!(short.curve, whole.curve[..point]);
    for stop_at in 1..8 {
        let _ = std::fs::remove_file(&path);
        go(cut(loss - 1e-9), Some(&path), Some(stop_at));
        let rest = go(cut(loss - 1e-9), Some(&path), None);
        assert!(rest.cut_short, "stopped at {stop_at}");
        assert_eq!(rest.curve, short.curve, "stopped at {stop_at}");
    }
}

#[test]
fn a_killed_run_continues_from_the_last_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let whole = run(&Fake::default(), |_| (), None, None).unwrap();
    let killer = Fake {
        diverge_at: Some(9),
    };
    run(&killer, |_| (), Some(&path), None).unwrap_err();
    let key_and_state = fs::read(&path).unwrap();
    let rest = run(&Fake::default(), |_| (), Some(&path), None).unwrap();
    assert_eq!(rest.weights, whole.weights);
    assert_ne!(fs::read(&path).unwrap(), key_and_state);
}

#[test]
fn curves_have_points_where_asked() {
    let epochs = |edit: fn(&mut Recipe)| {
        let done = run(&Fake::default(), edit, None, None).unwrap();
        let point = |p: &Point| ((p.epoch * 100.0).round() / 100.0, p.accuracy.is_some());
        done.curve.iter().map(point).collect::<Vec<_>>()
    };
    // Half an epoch of 6 steps: 3 steps, a point each.
    let half = [(0.17, false), (0.33, false), (0.5, true)];
    assert_eq!(epochs(|r| r.epochs = 0.5), half);
    // Less than a step still trains one.
    assert_eq!(epochs(|r| r.epochs = 0.01), [(0.17, true)]);
    let evaluated = |points: Vec<(f64, bool)>| -> Vec<f64> {
        let points = points.into_iter().filter(|p| p.1);
        points.map(|p| p.0).collect()
    };
    let every_half = evaluated(epochs(|r| r.eval_every = Some(1.5)));
    assert_eq!(every_half, [1.5, 3.0]);
    let subset = evaluated(epochs(|r| r.train_images = Some(16)));
    assert_eq!(subset, [3.0]);
}

#[test]
fn failures_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let message = |r: Result<Trained, TrainError>| r.unwrap_err().to_string();
    let fake = Fake::default();
    let diverges = Fake {
        diverge_at: Some(8),
    };
    assert_eq!(
        message(run(&diverges, |_| (), None, None)),
        "training diverged at step 8 (epoch 1.17): the loss is not finite; a lower learning rate may help"
    );
    assert_eq!(
        message(run(&fake, |r| r.batch = 0, None, None)),
        "recipe: batch = 0: expected 1 to 65536"
    );
    run(&fake, |_| (), Some(&path), Some(4)).unwrap();
    let shown = path.display();
    let other: [fn(&mut Recipe); 2] = [|r| r.learning_rate = 0.2, |r| r.storage = Storage::Bf16];
    for edit in other {
        assert_eq!(
            message(run(&fake, edit, Some(&path), None)),
            format!(
                "{shown}: the checkpoint belongs to another run (network, data, recipe, seed or trial differ); delete it to start afresh"
            )
        );
    }
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let text = message(run(&fake, |_| (), Some(&path), None));
    assert!(
        text.starts_with(&format!(
            "{shown}: no valid checkpoint (no valid safetensors file"
        )),
        "{text}"
    );
    let nowhere = folder.path().join("absent").join("state");
    let text = message(run(&fake, |_| (), Some(&nowhere), None));
    assert!(
        text.starts_with(&format!(
            "{}: can't write the checkpoint",
            nowhere.display()
        )),
        "{text}"
    );
}

#[test]
fn networks_that_don_t_fit_the_data_are_refused() {
    let meta = toy_meta();
    let split = toy_split(6, 0);
    let check = |shape: Shape, classes: usize, split: &Split, expected: &str| {
        let graph = toy_graph(shape, classes);
        let error = check_fit(&graph, &meta, split).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        Shape::new(8, 8, 3),
        3,
        &split,
        "the network takes 8x8x3 images, the data set toy has 6x6x3",
    );
    check(
        TOY,
        4,
        &split,
        "the network has 4 outputs, the data set toy has 3 classes",
    );
    check(
        TOY,
        3,
        &split.subset(0, 0),
        "no images to work on: the split is empty",
    );
}
