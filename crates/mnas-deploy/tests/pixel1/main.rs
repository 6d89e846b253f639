//! `pixel1`: the shipped model is the fit of the shipped figures, and holds what it states.

mod fit;

use fit::{Figures, errors, file, fit, macs_only, mean_absolute, network};
use mnas_deploy::{Candidate, MeasurePlan, open};
use mnas_testkit::device::{check_device, weights};

const SHIPPED: &str = include_str!("../../src/device/pixel1/model.toml");

#[test]
fn the_shipped_model_is_the_fit_of_the_shipped_figures() {
    let fitted = fit(&Figures::read());
    assert_eq!(
        file(&fitted.model),
        SHIPPED,
        "run `cargo run -p mnas-deploy --example fit_pixel1 -- --write`"
    );
}

#[test]
fn it_holds_on_networks_that_the_fit_did_not_see() {
    let figures = Figures::read();
    let fitted = fit(&figures);
    assert!(fitted.leave_one_out <= 0.08, "{}", fitted.leave_one_out);
    for (name, error) in &fitted.references {
        assert!(error.abs() <= 0.10, "{name}: {error:+.3}");
    }
    let (ours, macs) = (
        mean_absolute(&fitted.kept_out),
        mean_absolute(&fitted.macs_kept_out),
    );
    assert!(ours <= 0.5 * macs, "{ours} is not half of {macs}");
    // Two parameters of another fit of the MACs, by absolute error, would not be easier to beat.
    assert!(mean_absolute(&errors(&figures.a1, macs_only(&figures))) < 0.1);
    assert!(fitted.model.error >= Some(ours));
    // Figures that are quoted from memory of their sources: the right size, no more is asked.
    let predict = |g: &mnas_net::Graph| {
        let features = mnas_deploy::Observation::of_network(g, 1.0).features;
        fitted.model.milliseconds(&features)
    };
    assert!(mean_absolute(&errors(&figures.others, predict)) < 0.15);
    // The two sources of blocks straddle one another.
    assert!(figures.disagreement.ratio_min < 1.0 && figures.disagreement.ratio_max > 1.0);
}

#[test]
fn the_device_says_that_it_predicts_and_how_well() {
    let mut device = open("pixel1").unwrap();
    check_device(&mut *device);
    let info = device.info().clone();
    assert!(
        info.predicted && info.device.contains("Pixel 1"),
        "{info:?}"
    );
    let graph = network("mnasnet-a1");
    let weights = weights(&graph);
    let candidate = Candidate {
        name: "a1",
        spec: "",
        graph: &graph,
        weights: &weights,
    };
    let samples = device
        .measure(&[candidate], &MeasurePlan::search())
        .unwrap()
        .remove(0)
        .unwrap();
    assert!(
        (samples.median_ms() / 78.0 - 1.0).abs() < 0.05,
        "{samples:?}"
    );
    let stated = samples.stated_error.unwrap();
    assert!(stated > 0.01 && stated < 0.08, "{stated}");
    assert_eq!(
        open("pixel1:2").err().unwrap().to_string(),
        "pixel1 takes nothing after its name"
    );
}
