use super::*;
use crate::sample::Sample;
use crate::view::View;

fn view(trials: u64) -> View {
    View::of(
        &Sample {
            trials,
            mishaps: true,
            finals: trials >= 20,
            seed: 3,
        }
        .study(),
    )
}

#[test]
fn figures_are_well_formed_files_of_their_own() {
    let figures = crate::figures(&view(60));
    let names: Vec<&str> = figures.iter().map(|f| &*f.0).collect();
    for wanted in [
        "accuracy-latency.svg",
        "latency-histogram.svg",
        "reward.svg",
        "entropy.svg",
        "winner.svg",
        "winner-layer-1.svg",
    ] {
        assert!(names.contains(&wanted), "{wanted} is missing: {names:?}");
    }
    for (name, svg) in figures {
        let tags =
            crate::html::check::well_formed(&svg, true).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(tags > 10, "{name} is empty");
        assert!(svg.starts_with("<svg") && svg.contains("xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(
            !svg.contains("var("),
            "{name} has a colour that only the page defines"
        );
    }
}

#[test]
fn every_trained_network_is_a_point_and_every_front_trial_too() {
    let view = view(60);
    let chart = scatter::scatter(&view, (760.0, 460.0)).unwrap().0;
    for t in &view.trials {
        let trained = t.accuracy.is_some() && t.params.is_some() && t.duplicate_of.is_none();
        let marks = chart.matches(&format!("data-t=\"{}\"", t.trial)).count();
        assert_eq!(marks, usize::from(trained), "trial {}", t.trial);
    }
    let front = chart.matches("class=\"front\" data-t").count();
    assert_eq!(front, view.front.len());
}

#[test]
fn histogram_bars_hold_every_measured_network() {
    let view = view(60);
    let chart = latency::histogram(&view, (560.0, 360.0)).unwrap().0;
    let counted: usize = chart
        .split("<title>")
        .skip(1)
        .map(|t| {
            let words = t.split(": ").nth(1).unwrap();
            words.split(' ').next().unwrap().parse::<usize>().unwrap()
        })
        .sum();
    let measured = |t: &&crate::TrialView| t.latency_ms.is_some() && t.duplicate_of.is_none();
    assert_eq!(counted, view.trials.iter().filter(measured).count());
}

#[test]
fn a_point_lies_where_its_values_say() {
    let mut view = view(60);
    view.finals.clear();
    view.facts.target_ms = None;
    let chart = scatter::scatter(&view, (760.0, 460.0)).unwrap().0;
    let place = |trial: u64| {
        let at = chart
            .find(&format!("class=\"front\" data-t=\"{trial}\""))
            .unwrap();
        let number = |key: &str| {
            let from = at + chart[at..].find(key).unwrap() + key.len();
            chart[from..]
                .split('"')
                .next()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        (number("cx=\""), number("cy=\""))
    };
    for pair in view.front.windows(2) {
        let (a, b) = (place(pair[0].trial), place(pair[1].trial));
        assert!(
            a.0 <= b.0 && a.1 >= b.1,
            "slower and more accurate lies right and up"
        );
    }
    let [first, middle, last] =
        [0, view.front.len() / 2, view.front.len() - 1].map(|i| &view.front[i]);
    let share = |t: &crate::TrialView| {
        let value = |t: &crate::TrialView| t.latency_ms.unwrap();
        (value(t) - value(first)) / (value(last) - value(first))
    };
    let (from, to) = (place(first.trial).0, place(last.trial).0);
    let drawn = (place(middle.trial).0 - from) / (to - from);
    assert!(
        (drawn - share(middle)).abs() < 1e-3,
        "{drawn} {}",
        share(middle)
    );
}

#[test]
fn labels_keep_apart_and_inside() {
    let mut labels = legend::Labels::default();
    let bounds = [0.0, 0.0, 200.0, 100.0];
    let drawn: Vec<String> = (0..12)
        .map(|_| labels.place(100.0, 50.0, "mobilenet", bounds).0)
        .collect();
    let shown = drawn.iter().filter(|d| !d.is_empty()).count();
    assert!((4..12).contains(&shown), "{shown} labels around one point");
    let mut places = drawn.clone();
    places.retain(|d| !d.is_empty());
    places.sort();
    places.dedup();
    assert_eq!(places.len(), shown, "no two at the same place");
}

#[test]
fn paths_of_lines_stairs_and_dots() {
    let points = [(0.0, 10.0), (5.04, 2.55), (8.0, 0.0)];
    assert_eq!(line(&points), "M0 10L5 2.5L8 0");
    assert_eq!(stair(&points), "M0 10L5 10L5 2.5L8 2.5L8 0");
    assert_eq!(dots(&points[..2]), "M0 10h0M5 2.5h0");
}

#[test]
fn a_crowd_deepens_where_dots_lie_on_dots_and_stays_small() {
    let sparse = crowd(&[(0.0, 0.0), (20.0, 20.0)]).0;
    assert_eq!(sparse.matches("<path").count(), 1);
    assert!(sparse.contains("M0 0h0M20 20h0"), "{sparse}");
    let dense: Vec<(f64, f64)> = (0..16).map(|_| (4.0, 4.0)).chain([(8.0, 8.0)]).collect();
    let dense = crowd(&dense).0;
    assert_eq!(dense.matches("M4 4h0").count(), 3, "1, 4 and 16 dots");
    assert_eq!(dense.matches("M8 8h0").count(), 1);
    let many: Vec<(f64, f64)> = (0..100_000u32)
        .map(|i| (f64::from(i % 900), f64::from(i * 7 % 400)))
        .collect();
    let size = crowd(&many).0.len();
    assert!(size < 2_000_000, "{size} bytes");
    assert_eq!(thinned(&[1, 2, 3, 4, 5], 3), [1, 3, 5]);
}

#[test]
fn every_sample_of_a_strip_is_a_dot_and_the_median_lies_among_them() {
    let view = view(60);
    let timed = view.finals.iter().filter(|f| f.latency.is_some()).take(4);
    let samples: usize = timed.map(|f| f.samples_ms.len()).sum();
    assert!(samples > 100);
    let chart = crate::html::tables::final_strips(&view, 500.0).unwrap().0;
    assert_eq!(chart.matches("h0").count(), samples);
    let medians = chart.matches("class=\"median\"").count();
    assert_eq!(chart.matches(" sample\"").count(), medians);
    assert!(strip::strips(&[], Some(1.0), 500.0).is_none());
}

#[test]
fn areas_of_a_belief_fill_the_height_at_every_moment() {
    let history = &view(60).belief_history[0];
    assert!(history.moments.len() >= 2);
    for (_, p) in &history.moments {
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
    let picture = belief::belief(history).0;
    let areas = picture.matches("<path class=\"choice-").count();
    assert_eq!(areas, history.choices.len());
    // The first area starts on the ground, the last reaches the top.
    assert!(
        picture.contains("L298 84") && picture.contains("L298 2"),
        "{picture}"
    );
}

#[test]
fn curves_without_an_accuracy_are_no_chart() {
    let none = mnas_search::CurvePoint {
        epoch: 1.0,
        loss: 0.5,
        accuracy: None,
    };
    assert!(curve::curves(&[("a".into(), &[none])], (500.0, 300.0)).is_none());
}
