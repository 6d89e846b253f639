//! `mnas proxy-check`.

use std::collections::BTreeMap;
use std::time::Instant;

use mnas_study::{Plan, ProxyCheck, RunEnv, Update};

use crate::cli::{ProxyCheckArgs, SearchArgs};
use crate::commands::cost::thousands;
use crate::config::Config;
use crate::exit::{CommandError, CommandResult};
use crate::images;
use crate::output::{Output, Progress, clock, table};
use crate::plan;
use crate::registry::Registry;
use crate::stop::stop_flag;

/// Fewest networks that a rank correlation can be told of.
const NETWORKS_MIN: usize = 3;

/// Trains networks briefly and in full, and tells whether the orders agree.
pub(crate) fn run(args: &ProxyCheckArgs, registry: &Registry, out: Output) -> CommandResult {
    if args.networks < NETWORKS_MIN {
        return Err(CommandError::usage(format!(
            "--networks {}: at least {NETWORKS_MIN} are needed to compare orders",
            args.networks
        )));
    }
    let config = Config::of(&SearchArgs {
        study: args.study.clone(),
        data: args.data.clone(),
        device: args.device.clone(),
        space: args.space.clone(),
        image_size: args.image_size,
        seed: args.seed,
        workers: args.workers,
        ..SearchArgs::default()
    })?;
    let plan = plan::check(&config, registry, &mut Progress::new())?;
    if !out.json {
        let images = plan.proxy.train_images.map_or("all".into(), thousands_of);
        eprintln!(
            "checking the short training of a search ({} epochs over {images} images) against the full one ({} epochs)\n  \
             data    {}, space {}, device {}\n  \
             trains  the networks of a search of {} proposals, then {} of them twice briefly and twice in full\n  \
             folder  {} (Ctrl-C stops cleanly; the same command goes on)",
            plan.proxy.epochs,
            plan.full.epochs,
            plan.data.source,
            plan.space.name,
            plan.device.name,
            ProxyCheck::proposals(args.networks),
            args.networks,
            args.dir.display()
        );
    }
    let env = RunEnv::this_program(images::cache_dir())?;
    let stop = stop_flag();
    let mut teller = Teller::new(ProxyCheck::proposals(args.networks));
    let check = mnas_study::proxy_check(
        &args.dir,
        &plan,
        args.networks,
        &env,
        &stop,
        &mut |update| teller.tell(update),
    );
    teller.progress.finish();
    match check? {
        Some(check) => out.print(&check, || text(&check, &plan)),
        None => eprintln!(
            "stopped; the same command goes on from {}",
            args.dir.display()
        ),
    }
    Ok(())
}

fn thousands_of(n: usize) -> String {
    thousands(n as u64)
}

/// Progress by phase: the trainings done of those to do, and the time that the rest takes.
struct Teller {
    progress: Progress,
    begun: Instant,
    done: u64,
    total: u64,
    /// Shares done of those under way.
    running: BTreeMap<String, f64>,
    /// Whether the networks are still searched; then proposals are counted.
    searching: bool,
}

impl Teller {
    fn new(proposals: u64) -> Self {
        Self {
            progress: Progress::new(),
            begun: Instant::now(),
            done: 0,
            total: proposals,
            running: BTreeMap::new(),
            searching: true,
        }
    }

    fn tell(&mut self, update: &Update) {
        match update {
            Update::FinalEta { networks, .. } => {
                (self.begun, self.done, self.total) = (Instant::now(), 0, *networks);
                (self.searching, self.running) = (false, BTreeMap::new());
            }
            Update::Trial { trial, .. } if self.searching => {
                self.running.remove(&format!("trial {trial}"));
                self.done += 1;
                self.show(&format!("trial {trial} done"));
            }
            Update::Job { name, fraction, .. } => {
                self.running.insert(name.clone(), *fraction);
                self.show(&format!("{name} {:.0} %", 100.0 * fraction));
            }
            Update::JobDone { name } => {
                self.running.remove(name);
                self.done += u64::from(!self.searching);
                self.show(&format!("{name} done"));
            }
            Update::Retry {
                name,
                attempt,
                message,
            } => self.progress.line(&format!(
                "{name}: its worker ended ({message}); attempt {attempt} follows"
            )),
            Update::Warning { message } => self.progress.line(&format!("warning: {message}")),
            _ => {}
        }
    }

    fn show(&mut self, message: &str) {
        let done = self.done as f64 + self.running.values().sum::<f64>();
        let pace = self.begun.elapsed().as_secs_f64() / done;
        let eta = (done > 0.2).then(|| pace * (self.total as f64 - done).max(0.0));
        self.progress
            .show("check", self.done.min(self.total), self.total, message, eta);
    }
}

fn text(check: &ProxyCheck, plan: &Plan) -> String {
    let trials = plan.trials;
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let rows: Vec<Vec<String>> = check
        .networks
        .iter()
        .map(|n| {
            vec![
                percent(n.proxy_accuracy),
                percent(n.full_accuracy),
                format!("{:.3}", n.latency_ms),
                thousands(n.macs),
                n.spec.replace('\n', "; "),
            ]
        })
        .collect();
    let points =
        |noise: Option<f64>| noise.map_or("unknown".into(), |n| format!("{:.2} points", 100.0 * n));
    let (low, high) = check.tau_interval;
    let advice: Vec<String> = check.advice.iter().map(|a| format!("- {a}")).collect();
    format!(
        "{}\n\n\
         Kendall tau {:.3}, 95 % interval {low:.2} to {high:.2} ({} networks, bootstrap); at least {:.2} is wanted\n\
         noise of a seed: {} after the short training, {} after the full one; the networks\' spread: {:.2} points\n\
         cost: {:.1} s a network briefly, {:.1} s in full ({:.0} times); {trials} trials train for about {}\n{}",
        table(&["short %", "full %", "ms", "macs", "network"], &rows),
        check.tau,
        check.networks.len(),
        check.tau_min,
        points(check.proxy_noise),
        points(check.full_noise),
        100.0 * check.full_spread,
        check.proxy_seconds,
        check.full_seconds,
        check.full_seconds / check.proxy_seconds.max(1e-9),
        clock(check.proxy_seconds * trials as f64 / plan.workers as f64),
        advice.join("\n")
    )
}
