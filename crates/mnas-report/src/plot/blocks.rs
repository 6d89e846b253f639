//! A network drawn block by block, as Figure 7 of the MnasNet paper: the stack of blocks with the
//! shapes between them, and what is inside a layer of each kind.

use maud::{Markup, html};

use super::Px;
use crate::format::si;
use crate::view::{Architecture, Stage, StageKind, Step, StepRole};

const WIDTH: f64 = 364.0;
const BOX_LEFT: f64 = 60.0;
const BOX_WIDTH: f64 = 184.0;
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
            text class="name" x=(Px(BOX_LEFT + BOX_WIDTH + 16.0)) y="14" { "MACs, params" }
            @for (i, stage) in net.stages.iter().enumerate() {
                (block(stage, i == 0, 30.0 + PITCH * i as f64, (macs, params)))
            }
            text class="shape" x=(Px(BOX_LEFT + BOX_WIDTH / 2.0)) y=(Px(height - 10.0))
                text-anchor="middle" { (net.classes) " classes" }
        }
    }
}

/// One block, whose bars are shares of the greatest counts of multiply-accumulates and parameters.
fn block(stage: &Stage, first: bool, top: f64, (macs, params): (f64, f64)) -> Markup {
    let middle = BOX_LEFT + BOX_WIDTH / 2.0;
    let share = |n: u64, most: f64| (100.0 * n as f64 / most).max(1.0);
    let right = BOX_LEFT + BOX_WIDTH + 16.0;
    html! {
        g {
            title { (stage.line) ": " (times(&stage.input)) " to " (times(&stage.output)) }
            line class="flow" x1=(Px(middle)) x2=(Px(middle)) y1=(Px(top - if first { 11.0 } else { 20.0 })) y2=(Px(top - 1.0)) {}
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
    match (stage.kind, stage.squeeze) {
        (StageKind::Stem, _) => stage
            .layer
            .first()
            .map_or(String::new(), |s| s.then.clone()),
        // Cells, whose steps are their nodes.
        (StageKind::Other, _) => format!("{} nodes", stage.layer.len()),
        (_, true) => format!("SE, {skip}"),
        (_, false) => skip.into(),
    }
}

/// What is inside a layer of each kind that the network has, each kind once with the blocks of it.
pub(crate) fn layers(net: &Architecture) -> Vec<(String, Markup)> {
    let mut kinds: Vec<(&Stage, Vec<&str>)> = vec![];
    for stage in &net.stages {
        if matches!(stage.kind, StageKind::Stem | StageKind::Head) {
            continue;
        }
        let key = |s: &Stage| (s.title.clone(), s.squeeze, s.skip.clone());
        let number = stage.name.trim_start_matches("block ");
        match kinds.iter_mut().find(|k| key(k.0) == key(stage)) {
            Some((_, numbers)) => numbers.push(number),
            None => kinds.push((stage, vec![number])),
        }
    }
    let draw = |(stage, numbers): (&Stage, Vec<&str>)| {
        let plural = if numbers.len() == 1 { "" } else { "s" };
        let title = format!("block{plural} {}: {}", numbers.join(", "), stage.title);
        let picture = layer(stage, &title);
        (title, picture)
    };
    kinds.into_iter().map(draw).collect()
}

const LAYER_WIDTH: f64 = 236.0;
const STEP_HEIGHT: f64 = 34.0;
const STEP_PITCH: f64 = 56.0;
const GATE_PITCH: f64 = 78.0;
const MIDDLE: f64 = 112.0;

/// One layer: its steps from top to bottom, the gate and the skip at their sides.
fn layer(stage: &Stage, title: &str) -> Markup {
    let main = || stage.layer.iter().filter(|s| s.role != StepRole::Skip);
    let skip = stage.layer.iter().find(|s| s.role == StepRole::Skip);
    let mut end = 24.0;
    let mut placed: Vec<(&Step, f64)> = vec![];
    for step in main() {
        placed.push((step, end));
        end += match step.role {
            StepRole::Gate => GATE_PITCH,
            StepRole::Main | StepRole::Skip => STEP_PITCH,
        };
    }
    let height = end + if skip.is_some() { 44.0 } else { 10.0 };
    html! {
        svg class="chart layer" xmlns="http://www.w3.org/2000/svg" role="img"
            viewBox=(format!("0 0 {LAYER_WIDTH} {height}")) width=(LAYER_WIDTH) height=(height)
            aria-label=(format!("A layer of {title}")) {
            line class="flow" x1=(Px(MIDDLE)) x2=(Px(MIDDLE)) y1="2" y2=(Px(height - 6.0)) {}
            path class="arrow" d=(format!("M{MIDDLE} {}l-4 -6h8Z", Px(height - 2.0))) {}
            @for (step, top) in placed {
                @match step.role {
                    StepRole::Gate => (gate(step, top)),
                    StepRole::Main | StepRole::Skip => (step_box(step, top, stage.kind)),
                }
            }
            @if let Some(skip) = skip { (skip_arc(&skip.name, end + 8.0)) }
        }
    }
}

/// The line around a layer, from its input to the sum at `bottom`.
fn skip_arc(name: &str, bottom: f64) -> Markup {
    let (from, to) = (bottom - 8.0, MIDDLE - 8.0);
    html! {
        path class="skip" d=(format!(
            "M{MIDDLE} 11H30Q22 11 22 19V{}Q22 {bottom} 30 {bottom}H{to}", Px(from)
        )) {}
        (join(bottom, "+"))
        text class="more" transform=(format!("translate(16 {}) rotate(-90)", Px(bottom / 2.0 + 6.0)))
            text-anchor="middle" { (name) }
    }
}

/// The branch that leaves the flow at `top`, and scales it where it comes back.
fn gate(step: &Step, top: f64) -> Markup {
    let (centre, bottom) = (MIDDLE + 69.0, top + 52.0);
    html! {
        path class="skip" d=(format!(
            "M{MIDDLE} {top}H{centre}V{}M{centre} {}V{bottom}H{}",
            Px(top + 8.0), Px(top + 40.0), Px(MIDDLE + 8.0)
        )) {}
        rect class="gate" x=(Px(MIDDLE + 18.0)) y=(Px(top + 8.0)) rx="5" width="102" height="32" {}
        text class="what" x=(Px(centre)) y=(Px(top + 21.5)) text-anchor="middle" { (step.name) }
        text class="more" x=(Px(centre)) y=(Px(top + 34.5)) text-anchor="middle" { (step.then) }
        (join(bottom, "×"))
    }
}

fn step_box(step: &Step, top: f64, kind: StageKind) -> Markup {
    let half = 72.0;
    html! {
        rect class=(class(kind)) x=(Px(MIDDLE - half)) y=(Px(top)) rx="5" width=(Px(2.0 * half))
            height=(Px(STEP_HEIGHT)) {}
        text class="what" x=(Px(MIDDLE)) y=(Px(top + 14.5)) text-anchor="middle" { (step.name) }
        text class="more" x=(Px(MIDDLE)) y=(Px(top + 28.0)) text-anchor="middle" { (step.then) }
        text class="shape" x=(Px(MIDDLE + 8.0)) y=(Px(top + STEP_HEIGHT + 14.0)) { (times(&step.output)) }
    }
}

/// The place where two branches meet.
fn join(y: f64, sign: &str) -> Markup {
    html! {
        circle class="join" cx=(Px(MIDDLE)) cy=(Px(y)) r="8" {}
        text class="what" x=(Px(MIDDLE)) y=(Px(y + 4.0)) text-anchor="middle" { (sign) }
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
