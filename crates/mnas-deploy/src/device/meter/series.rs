//! The samples of one network as rounds come in.

use std::borrow::Cow;

use super::conditions::{self, Conditions};
use super::protocol::{Times, sha256};
use super::route::Delivered;
use crate::export::ModelFile;
use crate::measure::statistics::{quantile, range};
use crate::measure::{MeasurePlan, Samples};

/// Spread of the rounds' medians above which a measurement is called noisy.
const ROUND_SPREAD_MAX: f64 = 0.05;

pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) spec: &'a str,
    pub(super) file: Cow<'a, ModelFile>,
    pub(super) sha256: String,
    /// Where the device has it.
    pub(super) delivered: Option<Delivered>,
    times_ms: Vec<f64>,
    /// Runs asked for so far, or given where that is more.
    taken: usize,
    dropped: u32,
    runs_per_sample: u32,
    noisy: bool,
    notes: Vec<String>,
    medians: Vec<f64>,
    conditions: Vec<Conditions>,
}

impl<'a> Series<'a> {
    pub(super) fn new(name: &'a str, spec: &'a str, file: Cow<'a, ModelFile>) -> Self {
        Self {
            name,
            spec,
            sha256: sha256(&file.bytes),
            file,
            delivered: None,
            times_ms: vec![],
            taken: 0,
            dropped: 0,
            runs_per_sample: 1,
            noisy: false,
            notes: vec![],
            medians: vec![],
            conditions: vec![],
        }
    }

    /// Runs to ask for in a round, so that all of them come together in the last.
    pub(super) fn quota(&self, round: usize, rounds: usize, plan: &MeasurePlan) -> usize {
        let wanted = (plan.runs * (round + 1)).div_ceil(rounds);
        wanted.saturating_sub(self.taken)
    }

    pub(super) fn add(&mut self, asked: usize, times: Times) {
        self.taken += asked.max(times.times_ms.len());
        self.medians.push(quantile(&times.times_ms, 0.5));
        self.times_ms.extend(times.times_ms);
        self.dropped = self.dropped.saturating_add(times.dropped);
        self.runs_per_sample = self.runs_per_sample.max(times.runs_per_sample);
        self.noisy |= times.noisy;
        // The same of another round, with another figure, says nothing new.
        let words = |note: &str| note.replace(|c: char| c.is_ascii_digit(), "");
        for note in times.notes {
            if !self.notes.iter().any(|known| words(known) == words(&note)) {
                self.notes.push(note);
            }
        }
        self.conditions.extend(times.conditions);
    }

    pub(super) fn finish(self) -> Samples {
        let mut samples = Samples::measured(self.times_ms, self.dropped);
        samples.runs_per_sample = self.runs_per_sample;
        let (notes, doubtful) = conditions::judge(&self.conditions);
        samples.noisy = self.noisy || doubtful;
        samples.notes = notes;
        samples.notes.extend(self.notes);
        let drift = range(&self.medians);
        if drift > ROUND_SPREAD_MAX {
            samples.noisy = true;
            let note = format!("medians of the rounds differ by {:.0} %", 100.0 * drift);
            samples.notes.push(note);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::meter::tests::{model, plan};

    fn series(name: &str) -> Series<'_> {
        Series::new(name, "", Cow::Owned(model()))
    }

    fn times(times_ms: Vec<f64>, dropped: u32) -> Times {
        Times {
            times_ms,
            dropped,
            runs_per_sample: 1,
            noisy: false,
            notes: vec![],
            conditions: None,
        }
    }

    #[test]
    fn rounds_that_differ_are_noise() {
        let mut differing = series("n");
        differing.add(25, times(vec![1.0; 25], 0));
        differing.add(25, times(vec![1.2; 25], 1));
        let samples = differing.finish();
        assert!(samples.noisy && samples.dropped == 1);
        assert_eq!(samples.notes, ["medians of the rounds differ by 18 %"]);
        let mut alike = series("n");
        alike.add(25, times(vec![1.0; 25], 0));
        alike.add(25, times(vec![1.02; 25], 0));
        assert!(!alike.finish().noisy);
    }

    #[test]
    fn rounds_ask_for_all_runs_together() {
        let mut series = series("n");
        let mut asked = vec![];
        for round in 0..4 {
            let quota = series.quota(round, 4, &plan());
            asked.push(quota);
            series.add(quota, times(vec![1.0; quota], 0));
        }
        assert_eq!(asked, [13, 12, 13, 12]);
    }

    #[test]
    fn a_note_of_every_round_is_told_once() {
        let mut series = series("n");
        for round in 1..4 {
            series.add(
                20,
                Times {
                    noisy: true,
                    notes: vec![format!("busy {round} % of the time")],
                    ..times(vec![1.0; 20], 0)
                },
            );
        }
        let samples = series.finish();
        assert!(samples.noisy);
        assert_eq!(samples.notes, ["busy 1 % of the time"]);
    }
}
