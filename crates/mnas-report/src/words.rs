//! What the study found, in sentences.

use crate::format::{count, duration, ms, percent, significant, thousands};
use crate::view::{FinalView, View, Winner};

/// The winner in a line: `trial 57: 91.20 % at 0.812 ms`.
pub(crate) fn headline(view: &View) -> String {
    let Some(w) = &view.winner else {
        return match view.totals.proposals {
            0 => "No network proposed yet".into(),
            _ => "No network trained yet".into(),
        };
    };
    let name = capital(&w.name);
    match (w.test_accuracy.or(w.accuracy), w.latency_ms) {
        (Some(a), Some(l)) if w.fully_trained => format!("{name}: {} in {}", percent(a), ms(l)),
        (Some(a), Some(l)) => format!("Best so far, {}: {} in {}", w.name, percent(a), ms(l)),
        _ => name,
    }
}

/// What the winner's numbers mean: accuracy, target, and one sentence per reference.
pub(crate) fn findings(view: &View) -> Vec<String> {
    let Some(w) = &view.winner else {
        return vec![];
    };
    let mut sentences = vec![accuracy(w)];
    sentences.extend(target(view, w));
    if let Some(winner) = view.winning_final() {
        let references = view.finals.iter().filter(|f| !f.is_finalist());
        sentences.extend(references.filter_map(|r| comparison(winner, r)));
    }
    sentences
}

fn accuracy(w: &Winner) -> String {
    let on_validation = w.accuracy.map(percent);
    match (w.fully_trained, w.test_accuracy.map(percent), on_validation) {
        (true, Some(test), Some(validation)) => format!(
            "Trained in full it classifies {test} of the test images correctly \
             ({validation} of the validation images, on which it was chosen)."
        ),
        (true, Some(test), None) => {
            format!("Trained in full it classifies {test} of the test images correctly.")
        }
        (true, None, Some(validation)) => format!(
            "Trained in full it classifies {validation} of the validation images correctly; \
             on these it was chosen, and no test accuracy is stored."
        ),
        (false, _, Some(validation)) => format!(
            "After the search's short training it classifies {validation} of the validation \
             images correctly. No finalist has been trained in full yet."
        ),
        (_, _, None) => "Its accuracy isn't known.".into(),
    }
}

/// How the winner's latency stands to the target.
pub(crate) fn target(view: &View, w: &Winner) -> Option<String> {
    let (target, latency) = (view.facts.target_ms?, w.latency_ms?);
    let apart = 100.0 * (latency / target - 1.0);
    let how_far = if apart.abs() < 0.05 {
        "right at".into()
    } else {
        let side = if apart < 0.0 { "under" } else { "over" };
        format!("{} % {side}", significant(apart.abs()))
    };
    let source = w.latency_source.as_deref().unwrap_or("of unknown source");
    Some(format!(
        "An image takes {}, {how_far} the target of {} ({source}).",
        ms(latency),
        ms(target)
    ))
}

/// The winner beside a reference, on the test split where both have it.
pub(crate) fn comparison(winner: &FinalView, reference: &FinalView) -> Option<String> {
    let (ours, theirs, split) = match (winner.test_accuracy, reference.test_accuracy) {
        (Some(a), Some(b)) => (a, b, "test"),
        _ => (winner.accuracy?, reference.accuracy?, "validation"),
    };
    let points = 100.0 * (ours - theirs);
    let accuracy = match points {
        p if p.abs() < 0.005 => format!("equally accurate on the {split} images"),
        p if p > 0.0 => format!("{p:.2} points more accurate on the {split} images"),
        p => format!("{:.2} points less accurate on the {split} images", -p),
    };
    let ratio = reference.latency_ms? / winner.latency_ms?;
    let speed = match ratio {
        r if (0.995..1.005).contains(&r) => "equally fast".into(),
        r if r > 1.0 => format!("{r:.2} times as fast"),
        r => format!("{:.2} times as slow", 1.0 / r),
    };
    Some(format!(
        "Beside {}, which had the same training, it is {accuracy} and {speed}.",
        reference.name
    ))
}

/// How many networks became what, in a sentence or two.
pub(crate) fn counts(view: &View) -> String {
    let t = &view.totals;
    if t.proposals == 0 {
        return "No network was proposed yet.".into();
    }
    let parts: Vec<String> = [
        (t.trained, "trained"),
        (t.too_slow, "too slow to train"),
        (t.stopped, "cut short"),
        (t.infeasible, "over a limit"),
        (t.failed, "failed"),
        (t.lost, "lost"),
        (t.pending, "without a result yet"),
    ]
    .iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, what)| format!("{} {what}", thousands(*n)))
    .collect();
    let mut text = format!(
        "{}, {} distinct: {}.",
        count(t.proposals, "proposal"),
        thousands(t.distinct),
        parts.join(", ")
    );
    if t.duplicates > 0 {
        let verb = if t.duplicates == 1 {
            "repeats"
        } else {
            "repeat"
        };
        text += &format!(
            " {} {verb} an earlier network and reuse its result.",
            thousands(t.duplicates)
        );
    }
    if t.train_seconds + t.measure_seconds > 0.0 {
        text += &format!(
            " Training took {}, measuring {}.",
            duration(t.train_seconds),
            duration(t.measure_seconds)
        );
    }
    text
}

/// What was searched for, where.
pub(crate) fn subject(view: &View) -> String {
    let f = &view.facts;
    match (&f.data, &f.device) {
        (Some(data), Some(device)) => format!("{data} on {device}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => "a study".into(),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn a_comparison_says_what_the_numbers_say() {
        let sample = Sample {
            trials: 40,
            mishaps: false,
            finals: true,
            seed: 2,
        };
        let view = View::of(&sample.study());
        let winner = view.winning_final().unwrap();
        let with = |points: f64, ratio: f64| {
            let mut other = winner.clone();
            other.name = "other".into();
            other.test_accuracy = winner.test_accuracy.map(|a| a - points / 100.0);
            other.latency_ms = winner.latency_ms.map(|l| l * ratio);
            comparison(winner, &other).unwrap()
        };
        let cases = [
            (
                1.5,
                1.25,
                "1.50 points more accurate on the test images and 1.25 times as fast",
            ),
            (
                -0.4,
                0.5,
                "0.40 points less accurate on the test images and 2.00 times as slow",
            ),
            (
                0.0,
                1.0,
                "equally accurate on the test images and equally fast",
            ),
        ];
        for (points, ratio, words) in cases {
            let said = with(points, ratio);
            assert!(said.contains(words), "{said}");
        }
        let mut untested = winner.clone();
        untested.test_accuracy = None;
        let said = comparison(winner, &untested).unwrap();
        assert!(
            said.contains("equally accurate on the validation images"),
            "{said}"
        );
    }

    #[test]
    fn the_target_is_met_or_missed() {
        let sample = Sample {
            trials: 40,
            mishaps: false,
            finals: true,
            seed: 2,
        };
        let mut view = View::of(&sample.study());
        let mut winner = view.winner.clone().unwrap();
        winner.latency_ms = Some(0.8);
        let cases = [
            (
                1.0,
                "0.800 ms, 20.0 % under the target of 1.00 ms (measured on host",
            ),
            (0.64, "0.800 ms, 25.0 % over the target of 0.640 ms"),
            (0.8, "0.800 ms, right at the target of 0.800 ms"),
        ];
        for (target_ms, words) in cases {
            view.facts.target_ms = Some(target_ms);
            let said = target(&view, &winner).unwrap();
            assert!(said.contains(words), "{said}");
        }
    }
}
