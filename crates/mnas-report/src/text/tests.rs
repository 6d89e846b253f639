use super::*;
use crate::sample::Sample;

const SAMPLE: Sample = Sample {
    trials: 120,
    mishaps: true,
    finals: true,
    seed: 7,
};

fn summary(sample: Sample) -> String {
    let text = text(&View::of(&sample.study()));
    for line in text.lines() {
        assert!(
            line.chars().count() <= COLUMNS,
            "{} columns: {line}",
            line.chars().count()
        );
        assert!(!line.chars().any(char::is_control));
    }
    text
}

#[test]
fn a_finished_study() {
    insta::assert_snapshot!(summary(SAMPLE));
}

#[test]
fn a_study_without_finals() {
    insta::assert_snapshot!(summary(Sample {
        trials: 24,
        finals: false,
        ..SAMPLE
    }));
}

#[test]
fn an_empty_study() {
    insta::assert_snapshot!(summary(Sample {
        trials: 0,
        finals: false,
        ..SAMPLE
    }));
}

#[test]
fn names_cannot_move_the_cursor() {
    let mut out = String::new();
    paragraph(&mut out, "", "a\u{1b}[2Jb\rc\nd");
    assert_eq!(out, "a [2Jb c d\n");
    let mut out = String::new();
    row(&mut out, ["name\u{1b}[0m", "1", "", "", "", "", ""]);
    assert!(!out.contains('\u{1b}'));
}
