//! A network drawn block by block, as Figure 7 of the MnasNet paper: the stack of blocks with the
//! shapes between them, and what is inside a layer of each kind.

use maud::{Markup, html};

use super::Px;
use crate::format::si;
use crate::view::{Architecture, Stage, StageKind, Step, StepRole};

const WIDTH: f64 = 440.0;
const BOX_LEFT: f64 = 84.0;
const BOX_WIDTH: f64 = 210.0;
const BOX_HEIGHT: f64 = 40.0;
const PITCH: f64 = 64.0;

/// The stack, image on top. To the right of each block, its share of the multiply-accumulates and
/// of the parameters.
pub(crate) fn stack(net: &Architecture) -> Markup {
    let height = 30.0 + PITCH * net.stages.len() as f64 + 24.0;
    let most = |f: fn(&Stage) -> u64| net.stages.iter().map(f).max().unwrap_or(1).max(1) as f64;
    let (macs, params) = (most(|s| s.macs), most(|s| s.params));
    let label = format!(
        "The network: {} stages from {} to {} classes",
        net.stages.len(),
        net.input,
        net.classes
    );
    html! {
        svg class="chart blocks" xmlns="http://www.w3.org/2000/svg" role="img"
            viewBox=(format!("0 0 {WIDTH} {height}")) width=(WIDTH) height=(height)
            aria-label=(label) {
            text class="shape" x=(Px(BOX_LEFT + BOX_WIDTH / 2.0)) y="14" text-anchor="middle" {
                "image " (times(&net.input))
            }
            text class="name" x=(Px(BOX_LEFT + BOX_WIDTH + 16.0)) y="14" { "MACs, parameters" }
            @for (i, stage) in net.stages.iter().enumerate() {
                (block(stage, 30.0 + PITCH * i as f64, macs, params))
            }
            text class="shape" x=(Px(BOX_LEFT + BOX_WIDTH / 2.0)) y=(Px(height - 10.0))
                text-anchor="middle" { (net.classes) " classes" }
        }
    }
}

fn block(stage: &Stage, top: f64, macs: f64, params: f64) -> Markup {
    let middle = BOX_LEFT + BOX_WIDTH / 2.0;
    let share = |n: u64, most: f64| (100.0 * n as f64 / most).max(1.0);
    let right = BOX_LEFT + BOX_WIDTH + 16.0;
    html! {
        g {
            title { (stage.line) ": " (times(&stage.input)) " to " (times(&stage.output)) }
            line class="flow" x1=(Px(middle)) x2=(Px(middle)) y1=(Px(top - 10.0)) y2=(Px(top - 1.0)) {}
            path class="arrow" d=(format!("M{} {}l-4 -6h8Z", Px(middle), Px(top))) {}
            text class="tick" x="4" y=(Px(top + 17.0)) { (stage.name) }
            @if stage.stride > 1 { text class="tick" x="4" y=(Px(top + 33.0)) { "stride " (stage.stride) } }
            // Repeats show as sheets behind the first.
            @if stage.repeats > 1 {
                rect class=(class(stage.kind)) x=(Px(BOX_LEFT + 4.0)) y=(Px(top + 4.0)) rx="5"
                    width=(Px(BOX_WIDTH)) height=(Px(BOX_HEIGHT)) {}
            }
            rect class=(class(stage.kind)) x=(Px(BOX_LEFT)) y=(Px(top)) rx="5" width=(Px(BOX_WIDTH))
                height=(Px(BOX_HEIGHT)) {}
            text class="what" x=(Px(BOX_LEFT + 12.0)) y=(Px(top + 17.0)) { (stage.title) }
            text class="more" x=(Px(BOX_LEFT + 12.0)) y=(Px(top + 32.0)) { (features(stage)) }
            @if stage.repeats > 1 {
                text class="what" x=(Px(BOX_LEFT + BOX_WIDTH - 12.0)) y=(Px(top + 25.0))
                    text-anchor="end" { "×" (stage.repeats) }
            }
            @if stage.kind != StageKind::Head {
                text class="shape" x=(Px(middle + 10.0)) y=(Px(top + BOX_HEIGHT + 14.5)) {
                    (times(&stage.output))
                }
            }
            rect class="bar" x=(Px(right)) y=(Px(top + 9.0)) height="8"
                width=(Px(0.44 * share(stage.macs, macs))) {}
            text class="tick" x=(Px(right + 5.0 + 0.44 * share(stage.macs, macs))) y=(Px(top + 17.0)) {
                (si(stage.macs))
            }
            rect class="bar-params" x=(Px(right)) y=(Px(top + 25.0)) height="8"
                width=(Px(0.44 * share(stage.params, params))) {}
            text class="tick" x=(Px(right + 5.0 + 0.44 * share(stage.params, params))) y=(Px(top + 33.0)) {
                (si(stage.params))
            }
        }
    }
}

/// What sets a block's layers apart, in words.
fn features(stage: &Stage) -> String {
    if stage.kind == StageKind::Head {
        return stage.line.trim_start_matches("head_").replace('_', ", ");
    }
    let skip = match stage.skip.as_deref() {
        Some("identity") => "skip",
        Some("pool") => "pooled skip",
        Some(_) | None => "no skip",
    };
    let words = match (stage.squeeze, stage.kind) {
        (_, StageKind::Stem) => "batch norm, activation",
        (true, _) => return format!("SE, {skip}"),
        (false, _) => skip,
    };
    words.into()
}

/// What is inside a layer of each kind that the network has, each kind once.
pub(crate) fn layers(net: &Architecture) -> Vec<(String, Markup)> {
    let mut seen: Vec<(String, bool, Option<String>)> = vec![];
    let mut drawn = vec![];
    for stage in &net.stages {
        if matches!(stage.kind, StageKind::Stem | StageKind::Head) {
            continue;
        }
        let key = (stage.title.clone(), stage.squeeze, stage.skip.clone());
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let title = format!("{}: {}", stage.name, stage.title);
        let picture = layer(stage, &title);
        drawn.push((title, picture));
    }
    drawn
}

const LAYER_WIDTH: f64 = 220.0;
const STEP_HEIGHT: f64 = 34.0;
const STEP_PITCH: f64 = 56.0;

/// One layer: its steps from top to bottom, the gate and the skip at their sides.
fn layer(stage: &Stage, title: &str) -> Markup {
    let main: Vec<&Step> = stage
        .layer
        .iter()
        .filter(|s| s.role != StepRole::Skip)
        .collect();
    let skip = stage.layer.iter().find(|s| s.role == StepRole::Skip);
    let height = 34.0 + STEP_PITCH * main.len() as f64 + if skip.is_some() { 34.0 } else { 10.0 };
    let middle = 118.0;
    let end = 24.0 + STEP_PITCH * main.len() as f64;
    html! {
        svg class="chart layer" xmlns="http://www.w3.org/2000/svg" role="img"
            viewBox=(format!("0 0 {LAYER_WIDTH} {height}")) width=(LAYER_WIDTH) height=(height)
            aria-label=(format!("A layer of {title}")) {
            line class="flow" x1=(Px(middle)) x2=(Px(middle)) y1="4" y2=(Px(height - 6.0)) {}
            path class="arrow" d=(format!("M{} {}l-4 -6h8Z", Px(middle), Px(height - 2.0))) {}
            @for (i, step) in main.iter().enumerate() { (step_box(step, 24.0 + STEP_PITCH * i as f64, middle, stage.kind)) }
            @if let Some(skip) = skip {
                path class="skip" d=(format!(
                    "M{m} 12H30Q22 12 22 20V{v}Q22 {w} 30 {w}H{e}",
                    m = Px(middle), v = Px(end - 2.0), w = Px(end + 6.0), e = Px(middle - 9.0)
                )) {}
                (join(middle, end + 6.0, "+"))
                text class="more" transform=(format!("translate(16 {}) rotate(-90)", Px(end / 2.0)))
                    text-anchor="middle" { (skip.name) }
            }
        }
    }
}

fn step_box(step: &Step, top: f64, middle: f64, kind: StageKind) -> Markup {
    let half = 76.0;
    html! {
        @if step.role == StepRole::Gate {
            // The branch leaves the flow above its box and scales it below.
            rect class="gate" x=(Px(middle - 4.0)) y=(Px(top - 4.0)) rx="5" width="98" height="30" {}
            text class="what" x=(Px(middle + 45.0)) y=(Px(top + 8.5)) text-anchor="middle" { (step.name) }
            text class="more" x=(Px(middle + 45.0)) y=(Px(top + 21.0)) text-anchor="middle" { (step.then) }
            (join(middle, top + 37.0, "×"))
        } @else {
            rect class=(class(kind)) x=(Px(middle - half)) y=(Px(top)) rx="5" width=(Px(2.0 * half))
                height=(Px(STEP_HEIGHT)) {}
            text class="what" x=(Px(middle)) y=(Px(top + 14.5)) text-anchor="middle" { (step.name) }
            text class="more" x=(Px(middle)) y=(Px(top + 28.0)) text-anchor="middle" { (step.then) }
            text class="shape" x=(Px(middle + 8.0)) y=(Px(top + STEP_HEIGHT + 14.5)) { (times(&step.output)) }
        }
    }
}

fn join(x: f64, y: f64, sign: &str) -> Markup {
    html! {
        circle class="join" cx=(Px(x)) cy=(Px(y)) r="8" {}
        text class="what" x=(Px(x)) y=(Px(y + 4.0)) text-anchor="middle" { (sign) }
    }
}

fn class(kind: StageKind) -> &'static str {
    match kind {
        StageKind::Stem | StageKind::Head => "stage-end",
        StageKind::Conv => "stage-conv",
        StageKind::Separable => "stage-separable",
        StageKind::InvertedBottleneck => "stage-bottleneck",
        StageKind::Other => "stage-other",
    }
}

/// A shape as people write it: `28×28×1`.
fn times(shape: &str) -> String {
    shape.replace('x', "×")
}
