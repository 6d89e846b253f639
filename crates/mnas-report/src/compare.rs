//! Studies side by side: what differs between them, what each found, and the two on common axes.
//!
//! Accuracies of different images and latencies of different devices are never put in one order:
//! studies are ranked within a [`Group`] that shares both, and the comparison says so.

mod html;
mod intervals;
mod published;
mod settings;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;

use mnas_search::front;
use serde::Serialize;

use crate::view::{FinalView, State, TrialView, View};

pub use html::html as compare_html;
pub use published::{Published, PublishedRow};
pub use settings::Difference;
pub use text::text as compare_text;

/// Share by which the latency of the reference point exceeds the slowest network on any front of a
/// group, so that this network commands some area too.
const CEILING_OVER: f64 = 1.1;

/// Studies side by side. Its JSON is `mnas compare --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What has to be kept in mind.
    pub notes: Vec<String>,
    /// The studies, in the order given.
    pub studies: Vec<Compared>,
    /// Studies of the same images whose latencies have the same source, ranked.
    pub groups: Vec<Group>,
    /// Settings that aren't the same in all of them.
    pub differences: Vec<Difference>,
    /// Published figures to be read beside ours.
    pub published: Option<Published>,
}

/// A study in a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// A name of its own.
    pub name: String,
    /// Whether and how it ended.
    pub status: String,
    /// Latency target.
    pub target_ms: Option<f64>,
    /// Proposals made.
    pub proposals: u64,
    /// Networks trained.
    pub trained: u64,
    /// The trial of the best reward among those within the target.
    pub best_within_target: Option<Point>,
    /// Networks that no other of the study beats in both accuracy and latency, fastest first.
    pub front: Vec<Point>,
    /// Share of the plane that its front commands; see [`Group::reference`].
    pub hypervolume: Option<f64>,
    /// Its finalists and references after full training.
    pub finals: Vec<FinalPoint>,
    /// Latencies of the distinct networks that were measured.
    #[serde(skip)]
    pub(crate) latencies_ms: Vec<f64>,
    /// The best reward so far, at each trial that raised it, and at the last.
    #[serde(skip)]
    pub(crate) best_rewards: Vec<(u64, f64)>,
}

/// A trial as a point of the plane.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Number of the trial.
    pub trial: u64,
    /// Accuracy on the validation split after short training.
    pub accuracy: f64,
    /// Median latency.
    pub latency_ms: f64,
    /// Reward.
    pub reward: Option<f64>,
}

/// A fully trained network with what its numbers may be by chance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FinalPoint {
    /// `trial 17` or a zoo name.
    pub name: String,
    /// Whether the search found it.
    pub found: bool,
    /// Accuracy on the test split, or on the validation split where it wasn't tested.
    pub accuracy: f64,
    /// Which split.
    pub split: &'static str,
    /// 95 % Wilson interval of the accuracy, for as many images as the stored fractions tell.
    pub accuracy_interval: Option<(f64, f64)>,
    /// Median latency.
    pub latency_ms: f64,
    /// 95 % interval of the median by order statistics; absent where a table predicted it.
    pub latency_interval_ms: Option<(f64, f64)>,
}

/// Studies whose numbers may be put in one order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The images.
    pub data: String,
    /// Where the latencies come from.
    pub latency_sources: Vec<String>,
    /// Accuracy below and latency above which a network counts for nothing: chance, and a tenth
    /// more than the slowest network on any front of the group.
    pub reference: Option<(f64, f64)>,
    /// Indices of the studies, the greatest hypervolume first.
    pub ranking: Vec<usize>,
    /// Whether target and objective are the same in all of them, so that rewards compare.
    pub rewards_compare: bool,
}

impl Comparison {
    /// The comparison of named studies. Names are made distinct.
    pub fn of(named: &[(String, View)], published: Option<Published>) -> Self {
        let mut studies: Vec<Compared> = named.iter().map(|(n, v)| compared(n, v)).collect();
        distinct(&mut studies);
        let views: Vec<&View> = named.iter().map(|n| &n.1).collect();
        let groups = groups(&views, &mut studies);
        let names: Vec<&str> = studies.iter().map(|s| &*s.name).collect();
        let differences = settings::differences(&names, &views);
        let notes = notes(&groups, &studies);
        Self {
            notes,
            studies,
            groups,
            differences,
            published,
        }
    }
}

fn compared(name: &str, view: &View) -> Compared {
    let within = |t: &&TrialView| {
        let both = t.latency_ms.zip(view.facts.target_ms);
        both.is_some_and(|(ms, target)| ms <= target)
    };
    let images = intervals::images(view);
    let measured = view.trials.iter().filter(|t| t.duplicate_of.is_none());
    Compared {
        name: name.into(),
        status: view.facts.status.clone(),
        target_ms: view.facts.target_ms,
        proposals: view.totals.proposals,
        trained: view.totals.trained,
        best_within_target: view.best.as_ref().filter(within).and_then(point),
        front: view.front.iter().filter_map(point).collect(),
        hypervolume: None,
        finals: view
            .finals
            .iter()
            .filter_map(|f| final_point(f, images))
            .collect(),
        latencies_ms: measured.filter_map(|t| t.latency_ms).collect(),
        best_rewards: best_rewards(view),
    }
}

fn point(t: &TrialView) -> Option<Point> {
    Some(Point {
        trial: t.trial,
        accuracy: t.accuracy?,
        latency_ms: t.latency_ms?,
        reward: t.reward,
    })
}

fn final_point(f: &FinalView, images: intervals::Images) -> Option<FinalPoint> {
    let (accuracy, split, images) = match f.test_accuracy {
        Some(tested) => (tested, "test", images.test),
        None => (f.accuracy?, "validation", images.validation),
    };
    let measured = f.latency.as_ref().is_some_and(|l| !l.predicted);
    Some(FinalPoint {
        name: f.name.clone(),
        found: f.is_finalist(),
        accuracy,
        split,
        accuracy_interval: images.map(|n| intervals::wilson(accuracy, n)),
        latency_ms: f.latency_ms?,
        latency_interval_ms: intervals::median(&f.samples_ms).filter(|_| measured),
    })
}

fn best_rewards(view: &View) -> Vec<(u64, f64)> {
    let mut best: Vec<(u64, f64)> = vec![];
    let trained = view.trials.iter().filter(|t| t.state == State::Done);
    for (trial, reward) in trained.filter_map(|t| Some((t.trial, t.reward?))) {
        if best.last().is_none_or(|b| reward > b.1) {
            best.push((trial, reward));
        }
    }
    if let (Some(last), Some((_, reward))) = (view.trials.last(), best.last().copied()) {
        best.push((last.trial, reward));
    }
    best
}

/// Appends a number to names that occur twice.
fn distinct(studies: &mut [Compared]) {
    let mut seen = BTreeSet::new();
    for study in studies {
        let plain = study.name.clone();
        let mut n = 2;
        while !seen.insert(study.name.clone()) {
            study.name = format!("{plain} ({n})");
            n += 1;
        }
    }
}

/// Studies by images and source of latency, in the order in which they come; fills in each study's
/// hypervolume.
fn groups(views: &[&View], studies: &mut [Compared]) -> Vec<Group> {
    let key = |v: &View| {
        let fingerprint = v.facts.plan.pointer("/data/fingerprint").cloned();
        (v.facts.data.clone(), fingerprint, sources(v))
    };
    let mut groups: Vec<(_, Vec<usize>)> = vec![];
    for (i, view) in views.iter().enumerate() {
        let key = key(view);
        match groups.iter_mut().find(|g| g.0 == key) {
            Some(group) => group.1.push(i),
            None => groups.push((key, vec![i])),
        }
    }
    groups
        .into_iter()
        .map(|((data, _, latency_sources), members)| {
            let mut group = group(views, studies, &members);
            group.data = data.unwrap_or_else(|| "unknown images".into());
            group.latency_sources = latency_sources;
            group
        })
        .collect()
}

/// The ranking of studies, whose images and sources the caller fills in.
fn group(views: &[&View], studies: &mut [Compared], members: &[usize]) -> Group {
    let classes = members.iter().filter_map(|i| views[*i].facts.classes);
    let floor = classes.max().map_or(0.0, |classes| 1.0 / classes as f64);
    let front = members.iter().flat_map(|i| &studies[*i].front);
    let slowest = front.map(|p| p.latency_ms).reduce(f64::max);
    let reference = slowest.map(|ms| (floor, CEILING_OVER * ms));
    for i in members {
        let points = studies[*i].front.iter();
        let points: Vec<(f64, f64)> = points.map(|p| (p.accuracy, p.latency_ms)).collect();
        studies[*i].hypervolume = reference
            .filter(|_| !points.is_empty())
            .map(|r| front::hypervolume(&points, r) / ((1.0 - r.0) * r.1));
    }
    let mut ranking = members.to_vec();
    let volume = |i: &usize| studies[*i].hypervolume.unwrap_or(f64::NEG_INFINITY);
    ranking.sort_by(|a, b| volume(b).total_cmp(&volume(a)));
    let rewarded = |i: &usize| {
        let facts = &views[*i].facts;
        let target = facts.target_ms.map(f64::to_bits);
        (target, facts.plan.get("objective"))
    };
    Group {
        data: String::new(),
        latency_sources: vec![],
        reference,
        ranking,
        rewards_compare: members.iter().all(|i| rewarded(i) == rewarded(&members[0])),
    }
}

/// Sources of a study's latencies, or the device that it plans to use where nothing was measured.
fn sources(view: &View) -> Vec<String> {
    let mut sources = view.facts.latency_sources.clone();
    sources.sort();
    if sources.is_empty() {
        sources.extend(view.facts.device.clone());
    }
    sources
}

fn notes(groups: &[Group], studies: &[Compared]) -> Vec<String> {
    let mut notes = vec![];
    let differ = |of: fn(&Group) -> String| groups.iter().any(|g| of(g) != of(&groups[0]));
    if differ(|g| g.latency_sources.join("; ")) {
        notes.push(
            "Latencies come from different devices or engines; studies are ranked only among \
             those of the same source."
                .into(),
        );
    }
    if differ(|g| g.data.clone()) {
        notes.push(
            "Accuracies are of different images; studies are ranked only among those of the same."
                .into(),
        );
    }
    if groups.iter().any(|g| !g.rewards_compare) {
        notes.push(
            "Targets or objectives differ, so rewards aren't put on one axis; hypervolume, which \
             needs neither, ranks the studies."
                .into(),
        );
    }
    let unfinished = studies.iter().filter(|s| s.status != "complete");
    let unfinished: Vec<&str> = unfinished.map(|s| &*s.name).collect();
    if !unfinished.is_empty() {
        notes.push(format!("Not complete: {}.", unfinished.join(", ")));
    }
    notes
}
