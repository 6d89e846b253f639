use super::*;
use mnas_net::{Purpose, Shape, cost, stream};

#[test]
fn macs_tmp() {
    for (name, size) in [
        ("mnasnet", 224),
        ("mnasnet-small", 28),
        ("mnasnet-small", 32),
    ] {
        let t0 = std::time::Instant::now();
        let space = Space::parse(name, builtin::text(name).unwrap())
            .map_err(|e| e.to_string())
            .unwrap();
        let t1 = t0.elapsed();
        let mut macs: Vec<f64> = (0..1000)
            .map(|i| {
                let spec = space
                    .decode(&space.sample(&mut stream(0, i, Purpose::Sample)))
                    .unwrap();
                let g = spec
                    .graph(
                        Shape {
                            h: size,
                            w: size,
                            c: 3,
                        },
                        10,
                    )
                    .unwrap();
                cost(&g).macs as f64 / 1e6
            })
            .collect();
        macs.sort_by(f64::total_cmp);
        let q = |p: f64| macs[(p * 999.0) as usize];
        eprintln!(
            "{name}@{size} log10 {:.2} parse {t1:?} macs M: min {:.2} 5% {:.2} 25% {:.2} 50% {:.2} 75% {:.2} 95% {:.2} max {:.2}; all {:?}",
            space.size_log10(),
            q(0.0),
            q(0.05),
            q(0.25),
            q(0.5),
            q(0.75),
            q(0.95),
            q(1.0),
            t0.elapsed()
        );
        for n in [
            "mnasnet-a1",
            "mnasnet-b1",
            "mnasnet-a1-small",
            "mobilenet-v2-small",
        ] {
            let spec = mnas_net::zoo::find(n).unwrap().spec;
            let t = std::time::Instant::now();
            eprintln!(
                "  {n} {:?} {:?} {:.2}M",
                space.encode(&spec),
                t.elapsed(),
                cost(
                    &spec
                        .graph(
                            Shape {
                                h: size,
                                w: size,
                                c: 3
                            },
                            10
                        )
                        .unwrap()
                )
                .macs as f64
                    / 1e6
            );
        }
    }
}
