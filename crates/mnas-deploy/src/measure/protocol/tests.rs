use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::engine::EngineId;

/// A machine whose clock and counters move only as its programs run.
#[derive(Default)]
struct World {
    now: Duration,
    switches: u64,
    pressure: Duration,
    stolen: Duration,
    /// The system tells nothing but the time.
    silent: bool,
    /// Which program ran, in order.
    log: Vec<char>,
}

type Shared = Rc<RefCell<World>>;

struct FakeObserver(Shared);

impl Observer for FakeObserver {
    fn now(&mut self) -> Duration {
        self.0.borrow().now
    }

    fn involuntary_switches(&mut self) -> Option<u64> {
        let world = self.0.borrow();
        (!world.silent).then_some(world.switches)
    }

    fn cpu_pressure(&mut self) -> Option<Duration> {
        let world = self.0.borrow();
        (!world.silent).then_some(world.pressure)
    }

    fn stolen_time(&mut self) -> Option<Duration> {
        let world = self.0.borrow();
        (!world.silent).then_some(world.stolen)
    }
}

/// What one run does: milliseconds, and whether it is interrupted; `None` = it fails.
type Script = Box<dyn Fn(usize, &mut World) -> Option<(f64, bool)>>;

struct FakeNetwork {
    name: char,
    world: Shared,
    runs: usize,
    script: Script,
}

impl Subject for FakeNetwork {
    fn invoke(&mut self) -> Result<(), EngineError> {
        let mut world = self.world.borrow_mut();
        world.log.push(self.name);
        let done = (self.script)(self.runs, &mut world);
        self.runs += 1;
        let (ms, interrupted) = done.ok_or(EngineError::NotBuilt {
            engine: EngineId::Rten,
        })?;
        let took = Duration::from_secs_f64(ms / 1e3);
        world.now += took;
        if interrupted {
            world.switches += 1;
        }
        Ok(())
    }
}

/// Networks over one world.
struct Bench {
    world: Shared,
    networks: Vec<FakeNetwork>,
    anchor: Option<FakeNetwork>,
}

impl Bench {
    fn new() -> Self {
        Self {
            world: Shared::default(),
            networks: vec![],
            anchor: None,
        }
    }

    fn network(
        mut self,
        name: char,
        script: impl Fn(usize, &mut World) -> Option<(f64, bool)> + 'static,
    ) -> Self {
        let network = FakeNetwork {
            name,
            world: self.world.clone(),
            runs: 0,
            script: Box::new(script),
        };
        if name == '*' {
            self.anchor = Some(network);
        } else {
            self.networks.push(network);
        }
        self
    }

    fn measure(&mut self, plan: &MeasurePlan) -> Vec<Result<Samples, MeasureError>> {
        let mut observer = FakeObserver(self.world.clone());
        measure(
            &mut self.networks,
            self.anchor.as_mut(),
            plan,
            &mut observer,
        )
    }

    fn one(&mut self, plan: &MeasurePlan) -> Result<Samples, MeasureError> {
        self.measure(plan).remove(0)
    }
}

fn close(got: f64, expected: f64) {
    assert!(
        (got - expected).abs() < 1e-6 * expected,
        "{got} instead of {expected}"
    );
}

#[test]
fn interrupted_samples_are_dropped_whatever_their_time() {
    let mut bench = Bench::new().network('a', |run, _| match run % 5 {
        4 => Some((30.0, true)),
        _ => Some((1.0, false)),
    });
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert_eq!(samples.times_ms.len(), 50);
    samples.times_ms.iter().for_each(|t| close(*t, 1.0));
    assert!(samples.dropped >= 8, "{}", samples.dropped);
    assert_eq!(samples.runs_per_sample, 1);
    assert!(!samples.noisy, "{:?}", samples.notes);
}

#[test]
fn many_dropped_samples_are_noise() {
    let mut bench = Bench::new().network('a', |run, _| Some((1.0, run % 2 == 1)));
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert!(samples.noisy);
    assert!(
        samples.notes[0].starts_with("share of samples interrupted"),
        "{:?}",
        samples.notes
    );
}

#[test]
fn short_runs_are_repeated_within_a_sample() {
    let mut bench = Bench::new().network('a', |_, _| Some((0.03, false)));
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert_eq!(samples.runs_per_sample, 7);
    assert_eq!(samples.times_ms.len(), 50);
    close(samples.median_ms(), 0.03);
}

#[test]
fn warming_up_goes_on_until_runs_agree() {
    // 1000 ms, 500 ms, 333 ms ... towards 1 ms.
    let mut bench = Bench::new().network('a', |run, _| {
        Some((1.0 + 1000.0 / (1 + run * run) as f64, false))
    });
    let plan = MeasurePlan {
        seconds_max: 100.0,
        ..MeasurePlan::search()
    };
    let samples = bench.one(&plan).unwrap();
    let most = samples.times_ms.iter().copied().fold(0.0, f64::max);
    assert!(most < 1.5, "a run of {most} ms is not warm");
}

#[test]
fn networks_take_turns_after_the_anchor() {
    let run = |_: usize, _: &mut World| Some((1.0, false));
    let mut bench = Bench::new()
        .network('*', run)
        .network('a', run)
        .network('b', run);
    let answers = bench.measure(&MeasurePlan::search());
    assert!(
        answers
            .iter()
            .all(|a| a.as_ref().unwrap().times_ms.len() == 50)
    );
    let mut turns = bench.world.borrow().log.clone();
    turns.dedup();
    let turns: String = turns.into_iter().collect();
    // Warming up, then five rounds whose order rotates.
    assert_eq!(turns, "ab*ab*ba*ab*ba*ab");
}

#[test]
fn a_machine_that_slows_down_shows_in_the_anchor() {
    // Every run of anything makes the machine slower by 0.2 %.
    let slowing = |_: usize, world: &mut World| Some((1.0 + 2e-3 * world.log.len() as f64, false));
    let mut bench = Bench::new().network('*', slowing).network('a', slowing);
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert!(samples.noisy);
    assert!(
        samples.notes[0].starts_with("the anchor network drifted"),
        "{:?}",
        samples.notes
    );

    let steady = |_: usize, _: &mut World| Some((1.0, false));
    let mut bench = Bench::new().network('*', steady).network('a', steady);
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert!(
        !samples.noisy && samples.notes.is_empty(),
        "{:?}",
        samples.notes
    );
}

/// On a shared machine one round in five meets a neighbour's burst; the median of all doesn't move.
#[test]
fn one_bad_round_is_no_drift() {
    let rounds = |bad: fn(usize) -> bool| {
        Bench::new()
            // Warming up takes ten runs, a round twelve.
            .network('*', move |run, _| {
                let round = run.saturating_sub(10) / 12;
                Some((if run >= 10 && bad(round) { 1.4 } else { 1.0 }, false))
            })
            .network('a', |_, _| Some((1.0, false)))
    };
    let samples = rounds(|r| r == 2).one(&MeasurePlan::search()).unwrap();
    assert!(!samples.noisy, "{:?}", samples.notes);
    // Half of the rounds are no exception.
    let samples = rounds(|r| r >= 2).one(&MeasurePlan::search()).unwrap();
    assert!(samples.noisy, "{:?}", samples.notes);
}

#[test]
fn scattered_times_are_noise() {
    let mut bench = Bench::new().network('a', |run, _| Some((1.0 + 0.3 * (run % 2) as f64, false)));
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert!(samples.noisy);
    assert!(
        samples.notes[0].starts_with("interquartile range"),
        "{:?}",
        samples.notes
    );
}

#[test]
fn a_core_that_is_always_taken_gives_no_latency_but_facts() {
    let mut bench = Bench::new().network('a', |_, world| {
        world.pressure += Duration::from_micros(900);
        world.stolen += Duration::from_micros(100);
        Some((1.0, true))
    });
    let plan = MeasurePlan {
        seconds_max: 2.0,
        ..MeasurePlan::search()
    };
    match bench.one(&plan) {
        Err(MeasureError::Unstable {
            kept: 0,
            needed: 50,
            dropped,
            seconds,
            pressure: Some(pressure),
            steal: Some(steal),
        }) => {
            assert!(dropped > 1000, "{dropped}");
            assert!((2.0..2.1).contains(&seconds), "{seconds}");
            close(pressure, 0.9);
            close(steal, 0.1);
        }
        other => panic!("{other:?}"),
    }
    let error = bench.one(&plan).unwrap_err().to_string();
    assert!(
        error.contains("0 of 50 clean samples") && error.contains("steal 10 %"),
        "{error}"
    );
}

#[test]
fn stolen_time_is_noise_and_pressure_alone_is_not() {
    let mut bench = Bench::new().network('a', |_, world| {
        world.stolen += Duration::from_micros(50);
        Some((1.0, false))
    });
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert!(samples.noisy, "{:?}", samples.notes);
    let mut bench = Bench::new().network('a', |_, world| {
        world.pressure += Duration::from_micros(500);
        Some((1.0, false))
    });
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert!(!samples.noisy);
    assert_eq!(
        samples.notes,
        ["processes waited for a core 50 % of the time"]
    );
}

#[test]
fn a_network_that_is_too_slow_says_so_within_its_time() {
    let mut bench = Bench::new()
        .network('s', |_, _| Some((500.0, false)))
        .network('q', |_, _| Some((1.0, false)));
    let answers = bench.measure(&MeasurePlan::search());
    match &answers[0] {
        Err(MeasureError::TooSlow {
            needed: 50, run_ms, ..
        }) => close(*run_ms, 500.0),
        other => panic!("{other:?}"),
    }
    assert_eq!(answers[1].as_ref().unwrap().times_ms.len(), 50);
    // 3 s for the slow one, well under one for the other.
    assert!(bench.world.borrow().now < Duration::from_secs(4));
}

#[test]
fn a_network_that_fails_fails_alone() {
    let mut bench = Bench::new()
        .network('f', |run, _| (run < 30).then_some((1.0, false)))
        .network('a', |_, _| Some((1.0, false)));
    let answers = bench.measure(&MeasurePlan::search());
    assert!(matches!(answers[0], Err(MeasureError::Engine(_))));
    assert_eq!(answers[1].as_ref().unwrap().times_ms.len(), 50);
}

#[test]
fn a_failing_anchor_costs_the_check_only() {
    let mut bench = Bench::new()
        .network('*', |_, _| None)
        .network('a', |_, _| Some((1.0, false)));
    assert_eq!(
        bench.one(&MeasurePlan::search()).unwrap().times_ms.len(),
        50
    );
}

#[test]
fn a_system_that_counts_nothing_is_said_to() {
    let mut bench = Bench::new().network('a', |_, _| Some((1.0, true)));
    bench.world.borrow_mut().silent = true;
    let samples = bench.one(&MeasurePlan::search()).unwrap();
    assert_eq!((samples.times_ms.len(), samples.dropped), (50, 0));
    assert!(samples.notes[0].contains("doesn't count interruptions"));
}
