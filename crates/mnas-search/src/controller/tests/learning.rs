use super::super::*;
use super::landscape::{Kind, Landscape, choices};

fn run(
    spec: &ControllerSpec,
    kind: Kind,
    seed: u64,
    budget: u64,
    batch: u64,
) -> (Vec<f64>, usize, f64, f64) {
    let landscape = Landscape::new(kind, 1000 + seed);
    let setup = Setup {
        choices: choices(),
        seed,
        budget,
    };
    let mut c = build_for(spec, &setup).unwrap();
    let mut truth = vec![];
    let mut toks = vec![];
    let mut t = 0;
    while t < budget {
        let obs: Vec<Observation> = (t..(t + batch).min(budget))
            .map(|trial| {
                let tokens = c.propose(trial);
                truth.push(landscape.reward(&tokens));
                toks.push(tokens.clone());
                let r = landscape.measure(&tokens, seed, trial);
                Observation {
                    trial,
                    tokens,
                    reward: Some(r),
                    accuracy: None,
                    latency_ms: None,
                }
            })
            .collect();
        t += obs.len() as u64;
        c.observe(&obs);
    }
    let mut set = std::collections::BTreeMap::new();
    for (i, t) in toks.iter().enumerate() {
        set.entry(t.clone()).or_insert(i);
    }
    let mut firsts: Vec<usize> = set.values().copied().collect();
    firsts.sort();
    let last = firsts[firsts.len().saturating_sub(100)..]
        .iter()
        .map(|i| truth[*i])
        .sum::<f64>()
        / firsts.len().min(100) as f64;
    let d = c.diagnostics();
    (truth, firsts.len(), last, d.entropy.unwrap_or(0.0))
}

#[test]
fn tune() {
    let alg = std::env::var("ALG").unwrap_or("ppo".into());
    let batch: u64 = std::env::var("BATCH")
        .map(|b| b.parse().unwrap())
        .unwrap_or(8);
    let seeds: u64 = std::env::var("SEEDS")
        .map(|b| b.parse().unwrap())
        .unwrap_or(5);
    let budget: u64 = std::env::var("BUDGET")
        .map(|b| b.parse().unwrap())
        .unwrap_or(400);
    let settings: BTreeMap<String, f64> = std::env::var("SET")
        .unwrap_or_default()
        .split(',')
        .filter(|s| !s.is_empty())
        .map(|s| {
            let (a, b) = s.split_once('=').unwrap();
            (a.to_string(), b.parse().unwrap())
        })
        .collect();
    let spec = ControllerSpec {
        algorithm: alg.clone(),
        settings,
    };
    let mut line = format!("{alg} {:?}", std::env::var("SET").unwrap_or_default());
    for kind in [Kind::Separable, Kind::Pairwise, Kind::Latency] {
        let start = std::time::Instant::now();
        let mut quarters = [0.0; 4];
        let mut best = 0.0;
        let (mut dist, mut last, mut ent) = (0.0, 0.0, 0.0);
        for seed in 0..seeds {
            let (truth, nd, l, e) = run(&spec, kind, seed, budget, batch);
            let n = truth.len() / 4;
            for q in 0..4 {
                quarters[q] +=
                    truth[q * n..(q + 1) * n].iter().sum::<f64>() / n as f64 / seeds as f64;
            }
            dist += nd as f64 / seeds as f64;
            last += l / seeds as f64;
            ent += e / seeds as f64;
            best += truth.iter().fold(0.0f64, |a, b| a.max(*b)) / seeds as f64;
        }
        line += &format!(
            "\n    | {kind:?} {:.4} {:.4} {:.4} {:.4} best {best:.4} distinct {dist:.0} last {last:.4} H {ent:.2} {:.1}s",
            quarters[0],
            quarters[1],
            quarters[2],
            quarters[3],
            start.elapsed().as_secs_f64()
        );
    }
    eprintln!("{line}");
}
