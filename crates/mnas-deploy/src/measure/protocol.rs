//! How latency samples are taken.
//!
//! 1. Each network is warmed up until two blocks of runs agree.
//! 2. Networks take turns, round by round, in an order that rotates, after a small fixed *anchor*
//!    network, so that a drift of the machine falls on all alike and shows in the anchor.
//! 3. A sample during which the scheduler took the core away is dropped: the wall time of the
//!    others equals their CPU time, and neither a neighbour's work nor the clock's granularity is
//!    in it.
//! 4. A run shorter than [`SAMPLE_MS_MIN`] is repeated within a sample.

use std::time::{Duration, Instant};

use super::statistics::{quantile, spread};
use super::{MeasureError, MeasurePlan, Samples};
use crate::engine::{EngineError, InferenceEngine};
use crate::os;

/// Shortest sample in milliseconds: a thousand times the cost of reading clock and counters.
const SAMPLE_MS_MIN: f64 = 0.2;
/// Most runs per sample.
const REPETITIONS_MAX: u32 = 1000;
/// Two warm-up blocks agree when their medians differ by no more than this.
const WARM_AGREEMENT: f64 = 0.05;
/// Share of a network's time that warming up may take.
const WARM_SHARE: f64 = 0.2;
/// Samples of the anchor per round.
const ANCHOR_SAMPLES: usize = 11;
/// Samples tried per sample wanted in a round, before the next network has its turn.
const TRIES: usize = 3;

/// Thresholds above which a measurement is called noisy.
const ANCHOR_SPREAD_MAX: f64 = 0.05;
const DROPPED_SHARE_MAX: f64 = 0.3;
const IQR_SHARE_MAX: f64 = 0.15;
const STEAL_MAX: f64 = 0.02;
/// Pressure above which a note is made. It is no sign of noise by itself: it is the machine's, not
/// the core's, and what it does to the core is dropped (medians of clean samples repeated within
/// 2 % at a pressure of 50 to 75 %).
const PRESSURE_NOTED: f64 = 0.25;

/// Something that can be run and timed.
pub(crate) trait Subject {
    /// Runs once.
    fn invoke(&mut self) -> Result<(), EngineError>;
}

impl Subject for Box<dyn InferenceEngine> {
    fn invoke(&mut self) -> Result<(), EngineError> {
        (**self).invoke()
    }
}

/// Clock and counters, so that tests can make them up. `None` = the system can't tell.
pub(crate) trait Observer {
    /// Time since some fixed moment.
    fn now(&mut self) -> Duration;
    /// Times that the core was taken from the measuring thread.
    fn involuntary_switches(&mut self) -> Option<u64>;
    /// Time during which some process waited for a core.
    fn cpu_pressure(&mut self) -> Option<Duration>;
    /// Time that the hypervisor kept the measuring core.
    fn stolen_time(&mut self) -> Option<Duration>;
}

/// The real clock and counters of the calling thread.
pub(crate) struct System {
    start: Instant,
    core: Option<usize>,
}

impl System {
    /// `core` is the one that the calling thread is pinned to.
    pub(crate) fn new(core: Option<usize>) -> Self {
        let start = Instant::now();
        Self { start, core }
    }
}

impl Observer for System {
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }

    fn involuntary_switches(&mut self) -> Option<u64> {
        os::involuntary_switches()
    }

    fn cpu_pressure(&mut self) -> Option<Duration> {
        os::cpu_pressure()
    }

    fn stolen_time(&mut self) -> Option<Duration> {
        os::stolen_time(self.core?)
    }
}

/// Measures subjects interleaved; answers in their order.
pub(crate) fn measure<S: Subject>(
    subjects: &mut [S],
    anchor: Option<&mut S>,
    plan: &MeasurePlan,
    observer: &mut dyn Observer,
) -> Vec<Result<Samples, MeasureError>> {
    let before = Moment::take(observer);
    let mut series: Vec<Series> = subjects.iter().map(|_| Series::new()).collect();
    for (subject, series) in subjects.iter_mut().zip(&mut series) {
        series.warm_up(subject, plan, observer);
    }
    let mut anchor = anchor.map(|subject| {
        let mut series = Series::new();
        series.warm_up(subject, plan, observer);
        (subject, series, vec![])
    });
    let mut round = 0;
    while series.iter().any(|s| s.goes_on(plan)) {
        if let Some((subject, series, medians)) = &mut anchor {
            medians.extend(series.block_median(*subject, observer));
        }
        let wanted = (plan.runs * (round + 1))
            .div_ceil(plan.rounds)
            .min(plan.runs);
        for turn in 0..subjects.len() {
            let i = (round + turn) % subjects.len();
            series[i].take(&mut subjects[i], wanted, plan, observer);
        }
        round += 1;
    }
    let noise = Noise {
        anchor_spread: anchor.map_or(0.0, |(_, _, medians)| spread(&medians)),
        ..before.until(Moment::take(observer))
    };
    series.into_iter().map(|s| s.finish(plan, &noise)).collect()
}

/// One timed sample.
struct Sample {
    run_ms: f64,
    clean: bool,
}

fn sample<S: Subject>(
    subject: &mut S,
    repetitions: u32,
    observer: &mut dyn Observer,
) -> Result<Sample, EngineError> {
    let switches = observer.involuntary_switches();
    let start = observer.now();
    for _ in 0..repetitions {
        subject.invoke()?;
    }
    let elapsed = observer.now() - start;
    Ok(Sample {
        run_ms: 1e3 * elapsed.as_secs_f64() / f64::from(repetitions),
        clean: observer.involuntary_switches() == switches,
    })
}

/// The samples of one subject as they come in.
struct Series {
    times_ms: Vec<f64>,
    dropped: u32,
    repetitions: u32,
    /// Time of one run as last seen in warming up, in milliseconds.
    estimate_ms: f64,
    spent: Duration,
    failed: Option<EngineError>,
}

impl Series {
    fn new() -> Self {
        Self {
            times_ms: vec![],
            dropped: 0,
            repetitions: 1,
            estimate_ms: 0.0,
            spent: Duration::ZERO,
            failed: None,
        }
    }

    fn goes_on(&self, plan: &MeasurePlan) -> bool {
        self.failed.is_none() && self.times_ms.len() < plan.runs && !self.out_of_time(plan)
    }

    fn out_of_time(&self, plan: &MeasurePlan) -> bool {
        self.spent.as_secs_f64() >= plan.seconds_max
    }

    /// Runs blocks until two in a row agree or a share of the time is gone, then fixes how many
    /// runs make a sample.
    fn warm_up<S: Subject>(
        &mut self,
        subject: &mut S,
        plan: &MeasurePlan,
        observer: &mut dyn Observer,
    ) {
        let mut last: Option<f64> = None;
        loop {
            let mut block = vec![];
            for _ in 0..plan.warmup {
                match self.timed(subject, 1, observer) {
                    Some(sample) => block.push(sample.run_ms),
                    None => return,
                }
                if self.out_of_time(plan) {
                    break;
                }
            }
            self.estimate_ms = quantile(&block, 0.5);
            let agree = last
                .is_some_and(|l| (l - self.estimate_ms).abs() <= WARM_AGREEMENT * self.estimate_ms);
            if agree || self.spent.as_secs_f64() >= WARM_SHARE * plan.seconds_max {
                break;
            }
            last = Some(self.estimate_ms);
        }
        // The product saturates where a run takes no time at all.
        let wanted = (SAMPLE_MS_MIN / self.estimate_ms).ceil();
        self.repetitions = (wanted as u32).clamp(1, REPETITIONS_MAX);
    }

    /// Takes samples until `wanted` are kept, the round's tries are used up or the time is.
    fn take<S: Subject>(
        &mut self,
        subject: &mut S,
        wanted: usize,
        plan: &MeasurePlan,
        observer: &mut dyn Observer,
    ) {
        let missing = wanted.saturating_sub(self.times_ms.len());
        if missing == 0 || !self.goes_on(plan) {
            return;
        }
        // Another network's weights are in the cache: one run brings this one's back.
        if self.timed(subject, 1, observer).is_none() {
            return;
        }
        for _ in 0..TRIES * missing {
            if self.times_ms.len() >= wanted || !self.goes_on(plan) {
                return;
            }
            match self.timed(subject, self.repetitions, observer) {
                Some(sample) if sample.clean => self.times_ms.push(sample.run_ms),
                Some(_) => self.dropped += 1,
                None => return,
            }
        }
    }

    /// Median of a block of clean samples; none where all were interrupted.
    fn block_median<S: Subject>(
        &mut self,
        subject: &mut S,
        observer: &mut dyn Observer,
    ) -> Option<f64> {
        self.timed(subject, 1, observer)?;
        let mut clean = vec![];
        for _ in 0..ANCHOR_SAMPLES {
            let sample = self.timed(subject, self.repetitions, observer)?;
            clean.extend(sample.clean.then_some(sample.run_ms));
        }
        (!clean.is_empty()).then(|| quantile(&clean, 0.5))
    }

    /// One sample, its time booked; a failure ends the series.
    fn timed<S: Subject>(
        &mut self,
        subject: &mut S,
        repetitions: u32,
        observer: &mut dyn Observer,
    ) -> Option<Sample> {
        if self.failed.is_some() {
            return None;
        }
        let start = observer.now();
        let result = sample(subject, repetitions, observer);
        self.spent += observer.now() - start;
        match result {
            Ok(sample) => Some(sample),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    fn finish(self, plan: &MeasurePlan, noise: &Noise) -> Result<Samples, MeasureError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let (kept, needed) = (self.times_ms.len(), plan.runs);
        if kept < needed {
            // An interrupted warm-up overstates the time of a run; the least seen is nearest.
            let run_ms = self
                .times_ms
                .iter()
                .copied()
                .fold(self.estimate_ms, f64::min);
            let clean_seconds = 1e-3 * run_ms * f64::from(self.repetitions) * needed as f64;
            return Err(if clean_seconds > plan.seconds_max {
                MeasureError::TooSlow {
                    kept,
                    needed,
                    run_ms,
                    seconds_max: plan.seconds_max,
                }
            } else {
                MeasureError::Unstable {
                    kept,
                    needed,
                    dropped: self.dropped,
                    seconds: self.spent.as_secs_f64(),
                    pressure: noise.pressure,
                    steal: noise.steal,
                }
            });
        }
        let mut samples = Samples::measured(self.times_ms, self.dropped);
        samples.runs_per_sample = self.repetitions;
        noise.judge(&mut samples);
        Ok(samples)
    }
}

/// Counters of the whole machine at a moment.
struct Moment {
    now: Duration,
    pressure: Option<Duration>,
    stolen: Option<Duration>,
    counts_switches: bool,
}

impl Moment {
    fn take(observer: &mut dyn Observer) -> Self {
        Self {
            now: observer.now(),
            pressure: observer.cpu_pressure(),
            stolen: observer.stolen_time(),
            counts_switches: observer.involuntary_switches().is_some(),
        }
    }

    fn until(&self, end: Moment) -> Noise {
        let seconds = end.now.saturating_sub(self.now).as_secs_f64();
        let share = |from: Option<Duration>, to: Option<Duration>| {
            let gone = to?.checked_sub(from?)?.as_secs_f64();
            (seconds > 0.0).then(|| (gone / seconds).min(1.0))
        };
        Noise {
            pressure: share(self.pressure, end.pressure),
            steal: share(self.stolen, end.stolen),
            counts_switches: self.counts_switches,
            anchor_spread: 0.0,
        }
    }
}

/// How disturbed the machine was during a measurement.
struct Noise {
    pressure: Option<f64>,
    steal: Option<f64>,
    counts_switches: bool,
    anchor_spread: f64,
}

impl Noise {
    /// Notes what was too much, and calls the samples noisy where anything was.
    fn judge(&self, samples: &mut Samples) {
        let iqr = samples.iqr_ms() / samples.median_ms();
        let checks = [
            (
                Some(self.anchor_spread),
                ANCHOR_SPREAD_MAX,
                "the anchor network drifted between rounds by",
            ),
            (
                Some(samples.dropped_share()),
                DROPPED_SHARE_MAX,
                "share of samples interrupted by other work:",
            ),
            (
                Some(iqr),
                IQR_SHARE_MAX,
                "interquartile range of the median:",
            ),
            (
                self.steal,
                STEAL_MAX,
                "share of the core taken by the hypervisor:",
            ),
        ];
        for (value, limit, what) in checks {
            if let Some(value) = value.filter(|v| *v > limit) {
                samples.noisy = true;
                samples.notes.push(format!("{what} {:.0} %", 100.0 * value));
            }
        }
        if let Some(pressure) = self.pressure.filter(|p| *p > PRESSURE_NOTED) {
            let share = 100.0 * pressure;
            samples.notes.push(format!(
                "processes waited for a core {share:.0} % of the time"
            ));
        }
        if !self.counts_switches {
            let note = "this system doesn't count interruptions, so no sample was dropped";
            samples.notes.push(note.into());
        }
    }
}

#[cfg(test)]
mod tests;
