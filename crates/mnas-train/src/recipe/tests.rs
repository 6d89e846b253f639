use super::*;
use crate::fake::toy_meta;

#[test]
fn schedules_at_known_points() {
    let check = |schedule: Schedule, epochs: f64, points: &[(f64, f64)]| {
        for (epoch, expected) in points {
            let factor = schedule.factor(*epoch, epochs);
            assert!(
                (factor - expected).abs() < 1e-12,
                "{schedule:?} at {epoch}: {factor}, expected {expected}"
            );
        }
    };
    let cycle = Schedule::OneCycle { warmup: 0.25 };
    check(
        cycle,
        8.0,
        &[
            (0.0, 0.04),
            (1.0, 0.52),
            (2.0, 1.0),
            (5.0, 0.5005),
            (8.0, 0.001),
        ],
    );
    check(Schedule::OneCycle { warmup: 0.0 }, 1.0, &[(0.0, 1.0)]);
    let cosine = Schedule::Cosine { warmup_epochs: 2.0 };
    check(
        cosine,
        12.0,
        &[(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (7.0, 0.5), (12.0, 0.0)],
    );
    // MnasNet's: exponents are counted from the start of the run, not of the decay.
    let Schedule::StepDecay { .. } = Recipe::mnasnet().schedule else {
        panic!("the paper's schedule is step decay")
    };
    let step = Recipe::mnasnet().schedule;
    check(
        step,
        350.0,
        &[
            (0.0, 0.0),
            (2.5, 0.5),
            (5.0, 0.97f64.powi(2)),
            (7.19, 0.97f64.powi(2)),
            (7.21, 0.97f64.powi(3)),
        ],
    );
    check(Schedule::Constant, 1.0, &[(0.0, 1.0), (1.0, 1.0)]);
}

#[test]
fn recipes_are_valid_and_survive_json() {
    let mut photo = toy_meta();
    photo.shape = mnas_net::Shape::new(96, 96, 3);
    let recipes = [
        Recipe::proxy(&toy_meta()),
        Recipe::full(&toy_meta(), 30.0),
        Recipe::proxy(&photo),
        Recipe::full(&photo, 30.0),
        Recipe::muon(&photo, 30.0),
        Recipe::mnasnet(),
    ];
    for recipe in recipes {
        let halved = Recipe {
            storage: Storage::Bf16,
            ..recipe.clone()
        };
        for recipe in [&recipe, &halved] {
            recipe.check().unwrap();
            let text = serde_json::to_string(recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), *recipe);
            // Recipes that were written before there was a choice stay what they are.
            assert_eq!(text.contains("storage"), !recipe.storage.is_f32());
        }
    }
}

#[test]
fn small_images_shift_in_proportion_to_the_training() {
    let mut meta = toy_meta();
    let mut shift = |side, epochs| {
        meta.shape = mnas_net::Shape::new(side, side, 1);
        Recipe::full(&meta, epochs).augment.pad_crop
    };
    assert_eq!(
        [3.0, 6.0, 10.0, 30.0, 90.0].map(|e| shift(28, e)),
        [1, 1, 2, 4, 4]
    );
    // Random crops take their place.
    assert_eq!(shift(96, 6.0), 0);
    assert_eq!(Recipe::proxy(&toy_meta()).augment.pad_crop, 0);
}

#[test]
fn settings_out_of_range_are_named() {
    let check = |edit: fn(&mut Recipe), expected: &str| {
        let mut recipe = Recipe::full(&toy_meta(), 30.0);
        edit(&mut recipe);
        assert_eq!(recipe.check().unwrap_err().to_string(), expected);
    };
    check(
        |r| r.epochs = f64::NAN,
        "recipe: epochs = NaN: expected more than 0, at most 100000",
    );
    check(|r| r.batch = 0, "recipe: batch = 0: expected 1 to 65536");
    check(
        |r| r.learning_rate = 0.0,
        "recipe: learning_rate = 0: expected more than 0, at most 1000",
    );
    check(
        |r| r.label_smoothing = 1.0,
        "recipe: label_smoothing = 1: expected 0 to below 1",
    );
    check(
        |r| r.ema_decay = Some(-0.5),
        "recipe: ema_decay = -0.5: expected 0 to below 1",
    );
    check(
        |r| r.train_images = Some(0),
        "recipe: train_images = 0: expected 1 or more",
    );
    check(
        |r| r.augment.random_resized_crop = true,
        "recipe: augment.pad_crop = 1: expected 0 beside random_resized_crop",
    );
    check(
        |r| {
            r.epochs = 2.0;
            r.schedule = Schedule::Cosine { warmup_epochs: 2.0 };
        },
        "recipe: warmup_epochs = 2: expected 0 to less than the run's epochs",
    );
    check(
        |r| r.eval_every = Some(0.0),
        "recipe: eval_every = 0: expected more than 0 epochs",
    );
}
