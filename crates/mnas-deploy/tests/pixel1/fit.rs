//! The fit of `pixel1`: figures to observations, observations to a model, the model's errors.

use std::collections::BTreeMap;
use std::fmt::Write;

use mnas_deploy::{LinearModel, Observation, Term, fit_linear, leave_one_out};
use mnas_net::{Graph, NetSpec, Shape, cost, zoo};
use serde::Deserialize;

/// The public figures, as `src/device/pixel1/figures.toml` has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    pub(crate) a1: BTreeMap<String, f64>,
    pub(crate) kept_out: BTreeMap<String, f64>,
    pub(crate) references: BTreeMap<String, f64>,
    pub(crate) others: BTreeMap<String, f64>,
    pub(crate) blocks: BTreeMap<String, f64>,
    pub(crate) disagreement: Disagreement,
}

/// How far two public models of the phone lie apart in the same blocks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disagreement {
    pub(crate) log_ratio_deviation: f64,
    pub(crate) ratio_min: f64,
    pub(crate) ratio_max: f64,
}

/// What MnasNet-B1's blocks sum to in the block table, and its published latency: the table is
/// scaled by their ratio before the fit.
const B1_BLOCKS_MS: f64 = 82.91;
/// Relative error of the published totals: most are rounded to two digits.
const TOTAL_ERROR: f64 = 0.03;

impl Figures {
    pub(crate) fn read() -> Self {
        toml::from_str(include_str!("../../src/device/pixel1/figures.toml"))
            .expect("the figures are the project's own file")
    }

    fn block_scale(&self) -> f64 {
        self.references["mnasnet-b1"] / B1_BLOCKS_MS
    }

    /// Totals of A1 first, then blocks, which count by how far they may be trusted.
    pub(crate) fn observations(&self) -> Vec<Observation> {
        let weight = TOTAL_ERROR / self.disagreement.log_ratio_deviation;
        let totals = self
            .a1
            .iter()
            .map(|(name, ms)| Observation::of_network(&network(name), *ms));
        let blocks = self.blocks.iter().map(|(text, ms)| Observation {
            weight,
            ..block(text, ms * self.block_scale())
        });
        totals.chain(blocks).collect()
    }
}

/// A network of the zoo by name, or block text at 224 pixels.
pub(crate) fn network(name: &str) -> Graph {
    let (spec, side) = if name.contains("stem_") {
        (name.parse::<NetSpec>().expect("block text"), 224)
    } else {
        let named = zoo::find(name).expect("a name of the zoo");
        (named.spec, named.input)
    };
    spec.graph(Shape::new(side, side, 3), 1000)
        .expect("published networks fit their images")
}

/// `112x112x16 ir_r1_k3_s2_e3_c24`: that block alone.
fn block(text: &str, ms: f64) -> Observation {
    let (shape, line) = text.split_once(' ').expect("a shape and a block");
    let size: Vec<usize> = shape
        .split('x')
        .map(|n| n.parse().expect("a number"))
        .collect();
    let (side, channels) = (size[0], size[2]);
    // A network in which the block has that input: a stem that keeps the size gives the channels.
    let whole = |lines: &str| {
        let spec: NetSpec = lines.parse().expect("block text");
        spec.graph(Shape::new(side, side, 3), 1000)
            .expect("small sizes fit")
    };
    let stem = format!("stem_k3_s1_c{channels}");
    let filler = format!("ds_r1_k3_s1_c{channels}");
    let (graph, prefix) = match line.split_once('_').expect("a kind").0 {
        "stem" => (whole(&format!("{line}; {filler}; head_c8")), "stem."),
        "head" => (whole(&format!("{stem}; {filler}; {line}")), "head.conv"),
        "classifier" => {
            // Pooling is of the head; the head's own convolution is not counted.
            let graph = whole(&format!("{stem}; {filler}; head_c0"));
            let wanted = |node: &str| node == "head.pool" || node == "classifier";
            return Observation::of_part(&graph, wanted, ms);
        }
        _ => (whole(&format!("{stem}; {line}; head_c8")), "blocks.0."),
    };
    Observation::of_part(&graph, |node| node.starts_with(prefix), ms)
}

/// Kinds of layers that are a pass of their own over their values. ReLU and ReLU6 are not: the
/// engine fuses them into the layer before.
const PASSES: [&str; 11] = [
    "conv",
    "pointwise_conv",
    "depthwise_conv",
    "hswish",
    "sigmoid",
    "add",
    "mul",
    "concat",
    "avg_pool",
    "max_pool",
    "global_avg_pool",
];

/// The unknowns: arithmetic by kind, weights read once, values written, a cost per layer.
pub(crate) fn terms() -> Vec<Term> {
    let dense = ["conv", "pointwise_conv"];
    vec![
        Term::of("macs", &dense),
        Term::of("params", &dense),
        // The 3x3 pool of a skip reads nine values per value as a depthwise 3x3 does.
        Term::of("macs", &["depthwise_conv"])
            .and("avg_pool.outputs", 9.0)
            .and("max_pool.outputs", 9.0),
        Term::of("outputs", &PASSES),
        Term::of("params", &["linear"]),
        Term::of("count", &PASSES).and("linear.count", 1.0),
    ]
}

/// Latency in milliseconds by multiply-accumulates alone, with two parameters fitted to the same
/// totals by relative error: what the model has to beat.
pub(crate) fn macs_only(figures: &Figures) -> impl Fn(&Graph) -> f64 {
    let (mut s11, mut s12, mut s22, mut t1, mut t2) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (name, ms) in &figures.a1 {
        let (a, b) = (cost(&network(name)).macs as f64 / ms, 1.0 / ms);
        (s11, s12, s22) = (s11 + a * a, s12 + a * b, s22 + b * b);
        (t1, t2) = (t1 + a, t2 + b);
    }
    let determinant = s11 * s22 - s12 * s12;
    let slope = (t1 * s22 - t2 * s12) / determinant;
    let offset = (t2 * s11 - t1 * s12) / determinant;
    move |graph| offset + slope * cost(graph).macs as f64
}

/// Signed relative errors of a predictor.
pub(crate) fn errors(
    figures: &BTreeMap<String, f64>,
    predict: impl Fn(&Graph) -> f64,
) -> BTreeMap<String, f64> {
    let error = |(name, ms): (&String, &f64)| (name.clone(), predict(&network(name)) / ms - 1.0);
    figures.iter().map(error).collect()
}

pub(crate) fn mean_absolute(errors: &BTreeMap<String, f64>) -> f64 {
    errors.values().map(|e| e.abs()).sum::<f64>() / errors.len() as f64
}

/// The model with the error that it states: the worst of the mean errors below.
pub(crate) struct Fitted {
    pub(crate) model: LinearModel,
    pub(crate) leave_one_out: f64,
    pub(crate) kept_out: BTreeMap<String, f64>,
    pub(crate) references: BTreeMap<String, f64>,
    pub(crate) macs_kept_out: BTreeMap<String, f64>,
}

pub(crate) fn fit(figures: &Figures) -> Fitted {
    let (terms, observations) = (terms(), figures.observations());
    let mut model = fit_linear(
        "Google Pixel 1, one big core",
        "TFLite (2018), float32, one thread; a linear model of public latencies",
        &terms,
        &observations,
    );
    let totals = figures.a1.len();
    let leave_one_out = leave_one_out(&terms, &observations, |i| i < totals);
    let predict =
        |m: &LinearModel, g: &Graph| m.milliseconds(&Observation::of_network(g, 1.0).features);
    let kept_out = errors(&figures.kept_out, |g| predict(&model, g));
    let references = errors(&figures.references, |g| predict(&model, g));
    let worst = leave_one_out
        .max(mean_absolute(&kept_out))
        .max(mean_absolute(&references));
    model.error = Some((1e3 * worst).ceil() / 1e3);
    Fitted {
        model,
        leave_one_out,
        kept_out,
        references,
        macs_kept_out: errors(&figures.kept_out, macs_only(figures)),
    }
}

/// The model's file.
pub(crate) fn file(model: &LinearModel) -> String {
    let mut text = String::from(
        "# Written by `cargo run -p mnas-deploy --example fit_pixel1 -- --write` from figures.toml. Not edited by hand.\n",
    );
    let body = toml::to_string(model).expect("numbers and text");
    write!(text, "{body}").expect("writing to text doesn't fail");
    text
}
