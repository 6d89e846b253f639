//! How well a device repeats itself: measures networks of the zoo again and again and prints, per
//! network, the medians' spread and the time that a measurement takes.
//!
//!     cargo run --release -p mnas-deploy --example repeatability -- host:rten 20

use std::time::Instant;

use mnas_deploy::{Candidate, MeasurePlan, open};
use mnas_net::{Purpose, Shape, Weights, stream, zoo};

const NETWORKS: [(&str, usize, usize); 3] = [
    ("mobilenet-v2-small", 28, 1),
    ("mnasnet-a1-small", 28, 1),
    ("mnasnet-b1@96", 96, 3),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "host".into());
    let repeats: usize = arguments.next().unwrap_or_else(|| "10".into()).parse()?;
    let mut device = open(&name)?;
    let info = device.info();
    println!("{} on {}: {}", info.name, info.device, info.engine);
    for (network, size, channels) in NETWORKS {
        let graph = zoo::find(network)?
            .spec
            .graph(Shape::new(size, size, channels), 10)?;
        let weights = Weights::init(&graph, &mut stream(0, 0, Purpose::Init));
        let candidate = Candidate {
            name: network,
            spec: "",
            graph: &graph,
            weights: &weights,
        };
        let (mut medians, mut quartiles, mut seconds) = (vec![], vec![], vec![]);
        let (mut noisy, mut dropped, mut failed) = (0, 0, 0);
        for _ in 0..repeats {
            let start = Instant::now();
            let answer = device
                .measure(&[candidate], &MeasurePlan::search())?
                .remove(0);
            seconds.push(start.elapsed().as_secs_f64());
            match answer {
                Ok(samples) => {
                    medians.push(samples.median_ms());
                    quartiles.push(samples.p25_ms());
                    noisy += usize::from(samples.noisy);
                    dropped += samples.dropped;
                    println!("  {:.4} ms  {:?}", samples.median_ms(), samples.notes);
                }
                Err(error) => {
                    failed += 1;
                    println!("  {error}");
                }
            }
        }
        let (median, cv) = mean_and_cv(&medians);
        let (quartile, quartile_cv) = mean_and_cv(&quartiles);
        println!(
            "{network}: median {median:.4} ms (cv {:.1} %), p25 {quartile:.4} ms (cv {:.1} %), {:.3} s per measurement; {noisy} noisy, {failed} failed of {repeats}, {dropped} samples dropped",
            100.0 * cv,
            100.0 * quartile_cv,
            mean_and_cv(&seconds).0,
        );
    }
    Ok(())
}

fn mean_and_cv(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance.sqrt() / mean)
}
