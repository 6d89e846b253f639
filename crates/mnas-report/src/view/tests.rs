use mnas_net::{NetSpec, Shape, cost, zoo};

use super::*;
use crate::sample::Sample;

const SAMPLE: Sample = Sample {
    trials: 120,
    mishaps: true,
    finals: true,
    seed: 7,
};

#[test]
fn totals_add_up() {
    let view = View::of(&SAMPLE.study());
    let t = &view.totals;
    assert_eq!(t.proposals, 120);
    assert_eq!(t.proposals, t.distinct + t.duplicates);
    let outcomes =
        t.trained + t.too_slow + t.stopped + t.infeasible + t.failed + t.lost + t.pending;
    assert_eq!(t.distinct, outcomes);
    assert_eq!(t.failed, t.failures.values().sum::<u64>());
    for n in [
        t.duplicates,
        t.trained,
        t.too_slow,
        t.infeasible,
        t.failed,
        t.lost,
    ] {
        assert!(n > 0, "the sample has all kinds: {t:?}");
    }
    let trained = view.trials.iter().filter(|t| t.duplicate_of.is_none());
    let seconds: f64 = trained.filter_map(|t| t.train_seconds).sum();
    assert_eq!(t.train_seconds, seconds, "duplicates take no time");
}

#[test]
fn duplicates_show_their_original_s_result() {
    let view = View::of(&SAMPLE.study());
    for t in &view.trials {
        let Some(original) = t.duplicate_of else {
            continue;
        };
        let original = &view.trials[original as usize];
        assert_eq!(
            (&t.hash, t.state, t.accuracy, t.reward),
            (
                &original.hash,
                original.state,
                original.accuracy,
                original.reward
            )
        );
    }
}

#[test]
fn best_and_winner_keep_the_target() {
    let view = View::of(&SAMPLE.study());
    let target = view.facts.target_ms.unwrap();
    let best = view.best.as_ref().unwrap();
    assert!(best.latency_ms.unwrap() <= target);
    for t in view.trials.iter().filter(|t| t.state == State::Done) {
        if t.latency_ms.unwrap() <= target {
            assert!(t.reward <= best.reward, "trial {}", t.trial);
        }
    }
    let winner = view.winner.as_ref().unwrap();
    assert!(winner.fully_trained && winner.latency_ms.unwrap() <= target);
    for f in view
        .finals
        .iter()
        .filter(|f| f.is_finalist() && f.within_target == Some(true))
    {
        assert!(f.accuracy <= winner.accuracy, "{}", f.name);
    }
    assert_eq!(
        view.winning_final().map(|f| f.trial),
        Some(Some(winner.trial))
    );
}

#[test]
fn without_a_finalist_in_time_the_best_reward_wins() {
    let mut events = SAMPLE.events();
    for event in &mut events {
        if let mnas_search::Event::FinalDone { result } = event
            && let mnas_search::FinalOutcome::Done { latency, .. } = &mut result.outcome
        {
            latency.median_ms *= 3.0;
        }
    }
    let study = Study::fold(&events).unwrap();
    let view = View::of(&study);
    let objective = study.objective().unwrap();
    let reward = |f: &FinalView| objective.reward(f.accuracy.unwrap(), f.latency_ms.unwrap());
    let winner = view.winning_final().unwrap();
    assert_eq!(winner.within_target, Some(false));
    for f in view
        .finals
        .iter()
        .filter(|f| f.is_finalist() && f.accuracy.is_some())
    {
        assert!(reward(f) <= reward(winner), "{}", f.name);
    }
}

#[test]
fn beliefs_have_the_names_of_the_decisions_they_fit() {
    let study = SAMPLE.study();
    let last = study.batches().last().unwrap();
    let rows = &last.diagnostics.as_ref().unwrap().probabilities;
    let decision = |i: usize| mnas_search::Decision {
        name: format!("block{}.{}", i / 5 + 1, i % 5),
        choices: (0..rows[i].len()).map(|c| format!("choice {c}")).collect(),
    };
    let mut decisions: Vec<mnas_search::Decision> = (0..rows.len()).map(decision).collect();
    let beliefs = beliefs::beliefs(&study, &decisions);
    assert_eq!(beliefs.len(), rows.len());
    for (belief, row) in beliefs.iter().zip(rows) {
        let told: Vec<f64> = belief.choices.iter().map(|c| c.1).collect();
        assert_eq!(&told, row, "{}", belief.decision);
    }
    assert_eq!(beliefs[7].decision, "block2.2");
    assert_eq!(beliefs[7].choices[1].0, "choice 1");

    let view = View::of(&study);
    assert_eq!(view.beliefs.len(), 15);
    assert_eq!(
        view.beliefs[2].decision,
        facts::space(&study).unwrap().decisions()[2].name
    );
    let page = crate::html(&view);
    assert!(page.contains("What the controller would choose now (15 decisions)"));

    decisions[3].choices.push("one too many".into());
    assert!(beliefs::beliefs(&study, &decisions).is_empty());
    assert!(beliefs::beliefs(&study, &decisions[1..]).is_empty());
}

#[test]
fn json_keeps_its_names_and_reads_back() {
    let view = View::of(
        &Sample {
            trials: 3,
            mishaps: false,
            finals: false,
            seed: 1,
        }
        .study(),
    );
    let json = serde_json::to_string_pretty(&view).unwrap();
    assert_eq!(serde_json::from_str::<View>(&json).unwrap(), view);
    // One of each list shows the shape.
    let mut shown = view.clone();
    shown.facts.plan = serde_json::Value::Null;
    shown.trials.truncate(1);
    shown.front.truncate(1);
    shown.beliefs.truncate(1);
    let winner = shown.winner.as_mut().unwrap();
    winner.architecture.as_mut().unwrap().stages.truncate(1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&shown).unwrap());
    let keys: Vec<usize> = ["\"totals\"", "\"trials\"", "\"front\"", "\"best\""]
        .iter()
        .map(|k| json.find(k).unwrap())
        .collect();
    assert!(keys.is_sorted(), "totals before details");
}

#[test]
fn the_architecture_of_a1_is_the_paper_s_figure_7() {
    let a1 = zoo::find("mnasnet-a1").unwrap().spec;
    let shape = Shape::new(224, 224, 3);
    let net = Architecture::of(&a1.to_string(), shape, 1000).unwrap();
    let costs = cost(&a1.graph(shape, 1000).unwrap());
    assert_eq!((net.params, net.macs), (costs.params, costs.macs));
    assert_eq!(
        net.stages.iter().map(|s| s.params).sum::<u64>(),
        costs.params,
        "no layer is left out"
    );
    assert_eq!(net.stages.iter().map(|s| s.macs).sum::<u64>(), costs.macs);
    let drawn: Vec<(String, u64, bool, String)> = net
        .stages
        .iter()
        .map(|s| (s.title.clone(), s.repeats, s.squeeze, s.output.clone()))
        .collect();
    let figure = [
        ("Conv 3×3", 1, false, "112x112x32"),
        ("SepConv 3×3", 1, false, "112x112x16"),
        ("MBConv6 3×3", 2, false, "56x56x24"),
        ("MBConv3 5×5", 3, true, "28x28x40"),
        ("MBConv6 3×3", 4, false, "14x14x80"),
        ("MBConv6 3×3", 2, true, "14x14x112"),
        ("MBConv6 5×5", 3, true, "7x7x160"),
        ("MBConv6 3×3", 1, false, "7x7x320"),
        ("Conv 1×1, pool, FC", 1, false, "1x1x1000"),
    ];
    let figure = figure.map(|(t, r, s, o)| (t.to_string(), r, s, o.to_string()));
    assert_eq!(drawn, figure);
    let with_squeeze: Vec<(String, String, StepRole)> = net.stages[3]
        .layer
        .iter()
        .map(|s| (s.name.clone(), s.then.clone(), s.role))
        .collect();
    let steps = [
        ("conv 1×1", "BN, relu", StepRole::Main),
        ("depthwise 5×5", "BN, relu", StepRole::Main),
        ("SE", "FC 10, FC 120", StepRole::Gate),
        ("conv 1×1", "BN", StepRole::Main),
        ("identity", "", StepRole::Skip),
    ];
    assert_eq!(
        with_squeeze,
        steps.map(|(n, t, r)| (n.to_string(), t.to_string(), r))
    );
}

#[test]
fn a_pooled_skip_is_drawn_as_one() {
    let text = "stem_k3_s1_c8\nir_r1_k3_s1_e3_c8_skippool\nhead_c0";
    let spec: NetSpec = text.parse().unwrap();
    let net = Architecture::of(&spec.to_string(), Shape::new(8, 8, 3), 4).unwrap();
    let block = &net.stages[1];
    assert_eq!(block.skip.as_deref(), Some("pool"));
    let skip = block
        .layer
        .iter()
        .find(|s| s.role == StepRole::Skip)
        .unwrap();
    assert_eq!(skip.name, "average pool 3×3");
    assert_eq!(net.stages[2].title, "Pool, FC");
}

#[test]
fn a_text_that_is_no_network_has_no_architecture() {
    for text in ["", "<script>", "stem_k3_s1_c8"] {
        assert!(
            Architecture::of(text, Shape::new(8, 8, 3), 4).is_none(),
            "{text}"
        );
    }
}
