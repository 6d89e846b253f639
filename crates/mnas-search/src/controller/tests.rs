use super::*;
use crate::{Objective, ObjectiveKind};

/// Settings by name.
type Overrides<'a> = &'a [(&'a str, f64)];

fn setup() -> Setup {
    over(vec![3, 1, 2])
}

fn over(choices: Vec<usize>) -> Setup {
    let objective = Objective {
        kind: ObjectiveKind::SOFT,
        target_ms: 10.0,
    };
    Setup::new(choices, objective).seed(1).planned(100, 6)
}

fn try_build(algorithm: &str, settings: Overrides) -> Result<Box<dyn Controller>, BuildError> {
    let spec = ControllerSpec {
        algorithm: algorithm.into(),
        settings: settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), *v))
            .collect(),
    };
    build(&spec, &setup())
}

#[test]
fn defaults_are_in_range_and_explained() {
    for algorithm in ALGORITHMS {
        for setting in algorithm.settings {
            let same = [(setting.name, setting.default)];
            assert!(try_build(algorithm.name, &same).is_ok(), "{}", setting.name);
            assert!(!setting.source.is_empty(), "{}", setting.name);
        }
    }
}

#[test]
fn what_is_unknown_or_out_of_range_is_refused() {
    let cases: &[(&str, Overrides, &str)] = &[
        (
            "pso",
            &[],
            "unknown algorithm \"pso\"; known: surrogate, surrogate-front, ppo, ppo-paper, reinforce, evolution, nsga2, random",
        ),
        (
            "evolution",
            &[("populaton", 3.0)],
            "algorithm evolution has no setting \"populaton\"; known: population, tournament",
        ),
        (
            "evolution",
            &[("population", 2.5)],
            "setting population of evolution is 2.5, allowed: whole numbers from 0 to 10000",
        ),
        (
            "ppo",
            &[("clip", -1.0)],
            "setting clip of ppo is -1, allowed: numbers from 0 to 10",
        ),
        (
            "ppo",
            &[("clip", f64::NAN)],
            "setting clip of ppo is NaN, allowed: numbers from 0 to 10",
        ),
    ];
    for (algorithm, settings, message) in cases {
        let error = try_build(algorithm, settings).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), *message);
    }
}

#[test]
fn settings_reach_the_algorithm() {
    let snapshot = |units: f64| try_build("ppo", &[("units", units)]).unwrap().snapshot();
    assert!(snapshot(8.0).len() < snapshot(64.0).len());
    let mut small = try_build("ppo", &[("units", 8.0)]).unwrap();
    assert!(matches!(
        small.restore(&snapshot(64.0)),
        Err(RestoreError::Size {
            field: "weights",
            ..
        })
    ));
}

#[test]
fn a_space_without_choices_is_no_trouble() {
    for algorithm in ALGORITHMS {
        for choices in [vec![], vec![1, 1]] {
            let spec = ControllerSpec {
                algorithm: algorithm.name.into(),
                settings: BTreeMap::new(),
            };
            let setup = over(choices.clone());
            let mut controller = build(&spec, &setup).unwrap();
            for trial in 0..30 {
                let tokens = controller.propose(trial);
                assert_eq!(tokens, vec![0; choices.len()]);
                controller.observe(&[Observation {
                    trial,
                    tokens,
                    reward: Some(trial as f64),
                    accuracy: None,
                    latency_ms: None,
                }]);
            }
        }
    }
}

#[test]
#[should_panic(expected = "trial 4 isn't a sample of this space")]
fn foreign_tokens_are_refused() {
    try_build("random", &[]).unwrap().observe(&[Observation {
        trial: 4,
        tokens: vec![0, 1, 0],
        reward: None,
        accuracy: None,
        latency_ms: None,
    }]);
}

/// One decision, one good choice: the mutation must reach every other choice, and no other.
#[test]
fn evolution_mutates_one_decision_of_a_good_parent() {
    let spec = ControllerSpec {
        algorithm: "evolution".into(),
        settings: [
            ("population".to_owned(), 8.0),
            ("tournament".to_owned(), 64.0),
        ]
        .into(),
    };
    let setup = over(vec![4; 5]);
    let mut controller = build(&spec, &setup).unwrap();
    let best = vec![1u16; 5];
    let member = |trial: u64| Observation {
        trial,
        tokens: if trial == 5 { best.clone() } else { vec![3; 5] },
        reward: Some(if trial == 5 { 1.0 } else { 0.5 }),
        accuracy: None,
        latency_ms: None,
    };
    controller.observe(&(0..8).map(member).collect::<Vec<_>>());
    let mut seen = std::collections::BTreeSet::new();
    for trial in 8..508 {
        let child = controller.propose(trial);
        let changed: Vec<_> = (0..5).filter(|d| child[*d] != best[*d]).collect();
        assert_eq!(changed.len(), 1, "{child:?}");
        seen.insert((changed[0], child[changed[0]]));
    }
    assert_eq!(seen.len(), 5 * 3);
    // Six more members push the best one out, however good it is.
    controller.observe(
        &(8..14)
            .map(|t| Observation {
                tokens: vec![3; 5],
                ..member(t)
            })
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        controller.propose(600).iter().filter(|t| **t == 3).count(),
        4
    );
}
