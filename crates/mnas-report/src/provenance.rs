//! Where each number came from, in words, from the plan and the stored results.

use serde_json::Value;

use crate::format::{count, ms, thousands};
use crate::view::{LatencyView, State, View};

/// A kind of number and where it came from.
pub(crate) struct Origin {
    /// The number.
    pub(crate) what: &'static str,
    /// Where it came from, a sentence each.
    pub(crate) from: Vec<String>,
}

/// The origin of every kind of number that the report shows.
pub(crate) fn origins(view: &View) -> Vec<Origin> {
    [
        ("Images", images(view)),
        ("Accuracy in the search", search_accuracy(view)),
        ("Accuracy in the final round", final_accuracy(view)),
        ("Latency", latency(view)),
        ("Target", target(view)),
        ("Parameters and MACs", cost()),
        ("Reward", reward(view)),
        ("Proposals", proposals(view)),
    ]
    .into_iter()
    .filter(|(_, from)| !from.is_empty())
    .map(|(what, from)| Origin { what, from })
    .collect()
}

/// A number of the plan.
fn number(view: &View, key: &str) -> Option<f64> {
    view.facts.plan.pointer(key).and_then(Value::as_f64)
}

fn words<'a>(view: &'a View, key: &str) -> Option<&'a str> {
    view.facts.plan.pointer(key).and_then(Value::as_str)
}

fn images(view: &View) -> Vec<String> {
    let f = &view.facts;
    let mut from = vec![];
    if let Some(data) = &f.data {
        let shape = f
            .input
            .as_ref()
            .map(|s| format!(", {}", s.replace('x', "×")));
        let classes = f
            .classes
            .map(|n| format!(", {}", count(n, "class").replace("classs", "classes")));
        from.push(format!(
            "{data}{}{}.",
            shape.unwrap_or_default(),
            classes.unwrap_or_default()
        ));
    }
    if let Some(hash) = words(view, "/data/fingerprint").filter(|h| !h.is_empty()) {
        from.push(format!("Fingerprint of images and labels: {hash}."));
    }
    from
}

fn search_accuracy(view: &View) -> Vec<String> {
    let mut from = vec![];
    let epochs = training(view, "/proxy");
    if let Some(share) = number(view, "/data/validation_fraction") {
        from.push(format!(
            "Top-1 on the validation split: {:.0} % of the training images, held out{}.",
            100.0 * share,
            epochs.map_or(String::new(), |e| format!(", after {e}"))
        ));
    } else if let Some(epochs) = epochs {
        from.push(format!("Top-1 on the validation split after {epochs}."));
    }
    if view.trials.iter().any(|t| t.state == State::TooSlow) {
        from.push(
            "A network too slow to train counts with chance accuracy and is in no chart of accuracy."
                .into(),
        );
    }
    if view.trials.iter().any(|t| t.state == State::Stopped) {
        from.push(
            "A network whose training was cut short counts with the accuracy that its loss promised and is in no chart of accuracy."
                .into(),
        );
    }
    from
}

fn final_accuracy(view: &View) -> Vec<String> {
    if view.finals.is_empty() {
        return vec![];
    }
    let mut from = vec![];
    if let Some(training) = training(view, "/full") {
        from.push(format!(
            "Finalists and references alike were trained for {training}."
        ));
    }
    from.push("The winner is chosen on the validation split.".into());
    if view.finals.iter().any(|f| f.test_accuracy.is_some()) {
        from.push("The test split was looked at once, at the end, and chose nothing.".into());
    }
    from
}

/// Epochs and images of a recipe.
fn training(view: &View, recipe: &str) -> Option<String> {
    let epochs = number(view, &format!("{recipe}/epochs"))?;
    let plural = if epochs == 1.0 { "" } else { "s" };
    let images = number(view, &format!("{recipe}/train_images"));
    Some(match images {
        Some(n) => format!("{epochs} epoch{plural} of {} images", thousands(n as u64)),
        None => format!("{epochs} epoch{plural} of all training images"),
    })
}

fn latency(view: &View) -> Vec<String> {
    let mut from: Vec<String> = view
        .facts
        .latency_sources
        .iter()
        .map(|s| sentence(s))
        .collect();
    let trials = view.trials.iter().filter(|t| t.duplicate_of.is_none());
    let trials: Vec<&LatencyView> = trials.filter_map(|t| t.latency.as_ref()).collect();
    let finals: Vec<&LatencyView> = view
        .finals
        .iter()
        .filter_map(|f| f.latency.as_ref())
        .collect();
    from.extend(samples("In the search", &trials));
    from.extend(samples("In the final round, networks in turn", &finals));
    if let Some(core) = number(view, "/measure/core") {
        from.push(format!("The measuring thread was pinned to core {core}."));
    }
    if let Some(hash) = words(view, "/device/library_hash") {
        from.push(format!("Hash of the engine's library: {hash}."));
    }
    from
}

fn samples(where_: &str, records: &[&LatencyView]) -> Option<String> {
    let measured = || records.iter().filter(|l| !l.predicted);
    let least = measured().map(|l| l.samples).min()?;
    let most = measured().map(|l| l.samples).max()?;
    let dropped: u64 = measured().map(|l| u64::from(l.dropped)).sum();
    let noisy = measured().filter(|l| l.noisy).count() as u64;
    let kept = if least == most {
        thousands(least)
    } else {
        format!("{} to {}", thousands(least), thousands(most))
    };
    Some(format!(
        "{where_}: the median of {kept} kept samples per network; {} dropped in all, {} marked noisy.",
        thousands(dropped),
        count(noisy, "network")
    ))
}

fn target(view: &View) -> Vec<String> {
    let f = &view.facts;
    let from = f.target_ms.zip(f.target_from.as_ref());
    from.map(|(t, from)| format!("{}, {from}.", ms(t)))
        .into_iter()
        .collect()
}

fn cost() -> Vec<String> {
    vec![
        "Counted on the graph that is trained and exported, for one image: trainable values, and \
         multiply-accumulates of convolutions and linear layers."
            .into(),
    ]
}

fn reward(view: &View) -> Vec<String> {
    let formula = view.facts.objective.as_ref();
    formula.map(|f| sentence(f)).into_iter().collect()
}

fn proposals(view: &View) -> Vec<String> {
    let f = &view.facts;
    let mut from = vec![];
    if let Some(space) = &f.space {
        let size = f.space_size_log10.map(|d| format!(", 10^{d:.1} samples"));
        let decisions = f.decisions.map(|n| format!(", {}", count(n, "decision")));
        from.push(format!(
            "Space {space}{}{}.",
            decisions.unwrap_or_default(),
            size.unwrap_or_default()
        ));
    }
    let seed = format!("seed {}", f.seed);
    from.push(match (&f.algorithm, number(view, "/batch")) {
        (Some(a), Some(b)) => format!("Algorithm {a}, {seed}, batches of {b}."),
        (Some(a), None) => format!("Algorithm {a}, {seed}."),
        (None, _) => sentence(&seed),
    });
    let t = &view.totals;
    if t.retries + t.stale > 0 {
        from.push(format!(
            "{} after a worker or device was lost; {} came too late and didn't count.",
            count(t.retries, "repeated attempt"),
            count(t.stale, "result")
        ));
    }
    from
}

/// A text with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
