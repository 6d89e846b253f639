use super::{Comparison, Published, compare_html, compare_text};
use crate::html::check::well_formed;
use crate::sample::Sample;
use crate::view::View;

fn view(seed: u64, trials: u64) -> View {
    let sample = Sample {
        trials,
        mishaps: true,
        finals: true,
        seed,
    };
    let mut view = View::of(&sample.study());
    view.facts.plan["seed"] = seed.into();
    view
}

fn published() -> Published {
    Published {
        title: "A paper, Table 1".into(),
        carries_over: "The order carries over; the milliseconds are another device's.".into(),
        rows: vec![super::PublishedRow {
            name: "MnasNet-A1".into(),
            accuracy: Some(0.752),
            latency_ms: Some(78.0),
            source: "Table 1, ImageNet, Pixel 1".into(),
        }],
    }
}

fn named(views: Vec<(&str, View)>) -> Vec<(String, View)> {
    let named = views.into_iter();
    named.map(|(name, view)| (name.to_string(), view)).collect()
}

fn check(c: &Comparison) -> String {
    let page = compare_html(c);
    well_formed(&page, false).unwrap_or_else(|e| panic!("{e}"));
    let text = compare_text(c);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    text
}

#[test]
fn studies_of_one_device_are_ranked_by_hypervolume() {
    let views = named(vec![("small", view(7, 40)), ("large", view(8, 240))]);
    let c = Comparison::of(&views, Some(published()));
    assert_eq!((c.groups.len(), c.notes.len()), (1, 0));
    let volume = |i: usize| c.studies[i].hypervolume.unwrap();
    let ranking = &c.groups[0].ranking;
    assert!(volume(ranking[0]) >= volume(ranking[1]));
    assert!((0..2).all(|i| volume(i) > 0.0 && volume(i) < 1.0));
    let differ: Vec<&str> = c.differences.iter().map(|d| &*d.setting).collect();
    assert_eq!(differ, ["seed", "trials"]);
    insta::assert_snapshot!(check(&c));
    let page = compare_html(&c);
    for part in [
        "class=\"chart fronts\"",
        "class=\"chart latencies\"",
        "class=\"chart rewards\"",
        "MnasNet-A1",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn latencies_of_different_devices_are_never_in_one_order() {
    let mut other = view(8, 60);
    other.facts.latency_sources = vec!["measured on another phone with LiteRT".into()];
    let c = Comparison::of(&named(vec![("a", view(7, 60)), ("b", other)]), None);
    assert_eq!(c.groups.len(), 2);
    assert!(c.groups.iter().all(|g| g.ranking.len() == 1));
    let text = check(&c);
    assert!(
        text.contains("Latencies come from different devices"),
        "{text}"
    );
    assert!(compare_html(&c).contains("Latencies come from different devices"));
}

#[test]
fn other_images_and_other_targets_are_said() {
    let mut images = view(8, 60);
    images.facts.data = Some("other-garments".into());
    let mut target = view(9, 60);
    target.facts.target_ms = Some(0.5);
    let views = named(vec![("a", view(7, 60)), ("b", images), ("c", target)]);
    let c = Comparison::of(&views, None);
    assert_eq!(c.groups.len(), 2);
    let text = check(&c);
    for words in [
        "Accuracies are of different images",
        "rewards aren't put on one axis",
    ] {
        assert!(text.replace('\n', " ").contains(words), "{text}");
    }
    let page = compare_html(&c);
    assert_eq!(
        page.matches("class=\"chart rewards\"").count(),
        2,
        "of the comparable group only, wide and narrow"
    );
}

#[test]
fn names_are_distinct_and_cannot_break_out() {
    let evil = "x<script>alert(1)</script>";
    let views = named(vec![(evil, view(7, 40)), (evil, view(8, 40))]);
    let c = Comparison::of(&views, None);
    assert_eq!(c.studies[1].name, format!("{evil} (2)"));
    check(&c);
    assert!(!compare_html(&c).contains("<script>alert"));
}

#[test]
fn intervals_hold_what_they_are_of() {
    let c = Comparison::of(&named(vec![("a", view(7, 60))]), None);
    assert!(!c.studies[0].finals.is_empty());
    for f in &c.studies[0].finals {
        if let Some((low, high)) = f.accuracy_interval {
            assert!(low <= f.accuracy && f.accuracy <= high, "{f:?}");
        }
        let (low, high) = f.latency_interval_ms.unwrap();
        assert!(low <= f.latency_ms && f.latency_ms <= high, "{f:?}");
    }
}

#[test]
fn mistakes_in_published_figures_are_found() {
    assert_eq!(published().mistake(), None);
    let mut percent = published();
    percent.rows[0].accuracy = Some(75.2);
    assert!(percent.mistake().unwrap().contains("as 0.752"));
    let mut negative = published();
    negative.rows[0].latency_ms = Some(-1.0);
    assert!(negative.mistake().is_some());
    let mut empty = published();
    empty.rows.clear();
    assert!(empty.mistake().is_some());
}
