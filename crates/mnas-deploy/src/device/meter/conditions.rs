//! What a device was like while it measured: core, clock, temperature.

use serde::{Deserialize, Serialize};

/// Spread of the clock between rounds above which a measurement is called noisy.
const CLOCK_SPREAD_MAX: f64 = 0.05;
/// Share of the core's highest clock below which a note is made.
const CLOCK_SHARE_NOTED: f64 = 0.95;

/// The conditions of one round. What the system doesn't tell is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Conditions {
    /// Core that the runs were pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) core: Option<usize>,
    /// What chooses the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) governor: Option<String>,
    /// Clock right after the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clock_mhz: Option<f64>,
    /// The core's highest clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clock_mhz_max: Option<f64>,
    /// Hottest processor zone before and after the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) celsius_before: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) celsius_after: Option<f64>,
    /// Seconds that the runs were put off for the device to cool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cooled_s: Option<f64>,
    /// Still too hot when the runs began.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hot: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) battery_percent: Option<u32>,
}

/// What people should know of the rounds, and whether they make the figure doubtful.
pub(super) fn judge(rounds: &[Conditions]) -> (Vec<String>, bool) {
    let (mut notes, mut noisy) = (vec![], false);
    let clocks: Vec<f64> = rounds.iter().filter_map(|c| c.clock_mhz).collect();
    let mut facts = vec![];
    if let Some(core) = rounds.iter().find_map(|c| c.core) {
        facts.push(format!("core {core}"));
    }
    facts.extend(range(&clocks, "MHz"));
    if let Some(governor) = rounds.iter().find_map(|c| c.governor.as_deref()) {
        facts.push(format!("governor {}", super::protocol::readable(governor)));
    }
    let temperatures = rounds
        .iter()
        .flat_map(|c| [c.celsius_before, c.celsius_after]);
    facts.extend(range(&temperatures.flatten().collect::<Vec<_>>(), "°C"));
    let battery = rounds
        .iter()
        .filter_map(|c| c.battery_percent.map(f64::from));
    facts.extend(range(&battery.collect::<Vec<_>>(), "% battery"));
    if !facts.is_empty() {
        notes.push(facts.join(", "));
    }
    let cooled: f64 = rounds.iter().filter_map(|c| c.cooled_s).sum();
    if cooled >= 1.0 {
        notes.push(format!("waited {cooled:.0} s for the device to cool"));
    }
    if rounds.iter().any(|c| c.hot) {
        noisy = true;
        notes.push("measured hot: the device didn't cool in time".into());
    }
    let spread = crate::measure::statistics::range(&clocks);
    let most = rounds
        .iter()
        .filter_map(|c| c.clock_mhz_max)
        .fold(0.0, f64::max);
    let least = clocks.iter().copied().fold(f64::INFINITY, f64::min);
    if spread > CLOCK_SPREAD_MAX {
        noisy = true;
        notes.push(format!(
            "the clock changed between rounds by {:.0} %",
            100.0 * spread
        ));
    } else if least.is_finite() && least < CLOCK_SHARE_NOTED * most {
        notes.push(format!("the clock stayed below the core's {most:.0} MHz"));
    }
    (notes, noisy)
}

/// `41 to 44 °C`, `2800 MHz`; none of no values.
fn range(values: &[f64], unit: &str) -> Option<String> {
    let least = values.iter().copied().reduce(f64::min)?;
    let most = values.iter().copied().reduce(f64::max)?;
    let (least, most) = (format!("{least:.0}"), format!("{most:.0}"));
    Some(if least == most {
        format!("{least} {unit}")
    } else {
        format!("{least} to {most} {unit}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_and_judged() {
        let round = |clock: f64, celsius: f64| Conditions {
            core: Some(7),
            governor: Some("schedutil\u{1b}[2J".into()),
            clock_mhz: Some(clock),
            clock_mhz_max: Some(2850.0),
            celsius_before: Some(celsius),
            celsius_after: Some(celsius + 2.0),
            battery_percent: Some(80),
            ..Conditions::default()
        };
        let check = |rounds: &[Conditions], expected: &[&str], noisy: bool| {
            let (notes, judged) = judge(rounds);
            assert_eq!(
                (notes, judged),
                (expected.iter().map(|s| s.to_string()).collect(), noisy)
            );
        };
        let facts = "core 7, 2850 MHz, governor schedutil[2J, 40 to 43 °C, 80 % battery";
        check(&[round(2850.0, 40.0), round(2850.0, 41.0)], &[facts], false);
        check(
            &[round(2850.0, 40.0), round(1900.0, 40.0)],
            &[
                "core 7, 1900 to 2850 MHz, governor schedutil[2J, 40 to 42 °C, 80 % battery",
                "the clock changed between rounds by 40 %",
            ],
            true,
        );
        check(
            &[round(1900.0, 40.0)],
            &[
                "core 7, 1900 MHz, governor schedutil[2J, 40 to 42 °C, 80 % battery",
                "the clock stayed below the core's 2850 MHz",
            ],
            false,
        );
        let hot = Conditions {
            cooled_s: Some(60.0),
            hot: true,
            ..Conditions::default()
        };
        check(
            &[hot],
            &[
                "waited 60 s for the device to cool",
                "measured hot: the device didn't cool in time",
            ],
            true,
        );
        check(&[Conditions::default()], &[], false);
        check(&[], &[], false);
    }
}
