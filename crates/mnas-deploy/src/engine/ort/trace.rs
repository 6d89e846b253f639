//! ONNX Runtime's profile: a JSON list of trace events, one of which is each run of an operator.

use std::collections::HashMap;

use serde::Deserialize;

use crate::engine::profile::{OperatorTime, Times};

/// An event; those of operators have category `Node`, a name that ends in `_kernel_time` and say
/// which operator they ran.
#[derive(Deserialize)]
struct TraceEvent {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    /// Microseconds.
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: Arguments,
}

#[derive(Deserialize, Default)]
struct Arguments {
    #[serde(default)]
    op_name: String,
}

/// Operators' times without their first `warmup` runs.
pub(super) fn times(text: &str, warmup: usize) -> Result<Vec<OperatorTime>, serde_json::Error> {
    let events: Vec<TraceEvent> = serde_json::from_str(text)?;
    let (mut times, mut seen) = (Times::default(), HashMap::<&str, usize>::new());
    for event in events.iter().filter(|e| e.cat == "Node") {
        let Some(name) = event.name.strip_suffix("_kernel_time") else {
            continue;
        };
        let runs = seen.entry(name).or_default();
        *runs += 1;
        if *runs > warmup {
            times.add(name, &event.args.op_name, event.dur / 1e3);
        }
    }
    Ok(times.medians())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_operators_are_read_in_order() {
        let node = |name: &str, op: &str, us: u32| {
            format!(
                r#"{{"cat":"Node","name":"{name}_kernel_time","dur":{us},"args":{{"op_name":"{op}","node_index":"1"}},"ph":"X"}}"#
            )
        };
        let run = |a: u32, b: u32| [node("stem.conv", "Conv", a), node("add", "Add", b)].join(",");
        let text = format!(
            r#"[{{"cat":"Session","name":"model_run","dur":99,"args":{{}}}},{},{},{},{}]"#,
            run(900, 900),
            run(10, 1),
            run(30, 3),
            run(20, 2)
        );
        let got = times(&text, 1).unwrap();
        let got: Vec<_> = got.iter().map(|t| (&*t.name, &*t.kind, t.ms)).collect();
        assert_eq!(got, [("stem.conv", "Conv", 0.02), ("add", "Add", 0.002)]);
        assert!(times("{", 0).is_err());
    }
}
