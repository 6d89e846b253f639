use super::*;

#[test]
fn statistics_of_hand_made_samples() {
    let samples = Samples::measured(vec![10.0, 1.0, 3.0, 2.0, 4.0], 3);
    let close =
        |got: f64, expected: f64| assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    close(samples.median_ms(), 3.0);
    close(samples.p25_ms(), 2.0);
    // Position 0.9 * 4 = 3.6: 4 + 0.6 * (10 - 4).
    close(samples.p90_ms(), 7.6);
    close(samples.iqr_ms(), 2.0);
    // Mean 4; squares 36 + 9 + 1 + 4 + 0 over n - 1 = 4.
    close(samples.cv(), 12.5f64.sqrt() / 4.0);
    close(samples.dropped_share(), 3.0 / 8.0);
    // The order taken is kept.
    assert_eq!(samples.times_ms[0], 10.0);
}

#[test]
fn even_counts_interpolate_and_one_value_is_its_own_statistic() {
    assert_eq!(
        Samples::measured(vec![1.0, 2.0, 4.0, 8.0], 0).median_ms(),
        3.0
    );
    let one = Samples::predicted(2.5, Some(0.1));
    assert_eq!(
        (one.median_ms(), one.p25_ms(), one.p90_ms()),
        (2.5, 2.5, 2.5)
    );
    assert_eq!((one.iqr_ms(), one.cv()), (0.0, 0.0));
    assert!(one.predicted && one.stated_error == Some(0.1));
}

#[test]
fn samples_and_plans_survive_json() {
    let mut samples = Samples::measured(vec![0.1, 0.30000000000000004], 1);
    samples.notes.push("note".into());
    let text = serde_json::to_string(&samples).unwrap();
    assert_eq!(serde_json::from_str::<Samples>(&text).unwrap(), samples);
    let plan = MeasurePlan::thorough();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<MeasurePlan>(&text).unwrap(), plan);
    assert!(serde_json::from_str::<MeasurePlan>(&text.replace("runs", "rums")).is_err());
}

#[test]
fn plans_out_of_range_are_refused() {
    MeasurePlan::search().check().unwrap();
    MeasurePlan::thorough().check().unwrap();
    let check = |edit: fn(&mut MeasurePlan), message: &str| {
        let mut plan = MeasurePlan::search();
        edit(&mut plan);
        assert_eq!(plan.check().unwrap_err().to_string(), message);
    };
    check(|p| p.runs = 49, "runs is 49; at least 50 is needed");
    check(|p| p.warmup = 4, "warmup is 4; at least 5 is needed");
    check(|p| p.rounds = 0, "rounds is 0; at least 1 is needed");
    let seconds = "a positive number of seconds is needed";
    check(
        |p| p.seconds_max = 0.0,
        &format!("seconds_max is 0; {seconds}"),
    );
    check(
        |p| p.seconds_max = f64::NAN,
        &format!("seconds_max is NaN; {seconds}"),
    );
    check(
        |p| p.seconds_max = f64::INFINITY,
        &format!("seconds_max is inf; {seconds}"),
    );
}
