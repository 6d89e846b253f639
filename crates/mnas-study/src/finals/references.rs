//! Which member of a published family stands for it: the largest within the target.

use mnas_net::{cost, zoo};
use mnas_search::{FinalEntry, FinalKind};

use crate::error::StudyError;
use crate::evaluate;
use crate::plan::PlanError;
use crate::search;
use crate::session::Session;
use crate::update::Phase;

/// Widths relative to the named network's.
const WIDTHS: [f64; 11] = [
    0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5,
];

/// A member of a family.
struct Member {
    entry: FinalEntry,
    macs: u64,
}

/// One entry per family; `None` where a stop was asked for.
pub(super) fn pick(session: &mut Session<'_>) -> Result<Option<Vec<FinalEntry>>, StudyError> {
    let families = session.plan().references.clone();
    let mut grids = vec![];
    for name in &families {
        grids.push(grid(session, name)?);
    }
    let nets = grids
        .iter()
        .flatten()
        .map(|m| session.net(&m.entry.name, &m.entry.spec));
    let nets: Vec<_> = nets.collect();
    if nets.is_empty() {
        return Ok(Some(vec![]));
    }
    session.begin(Phase::References, nets.len());
    let plan = session.plan().measure.clone();
    let Some(latencies) = search::measure(session, "references", nets, plan)? else {
        return Ok(None);
    };
    let mut latencies = latencies.into_iter();
    let mut picked: Vec<FinalEntry> = vec![];
    for (family, grid) in families.iter().zip(grids) {
        let timed: Vec<(Member, f64)> = grid
            .into_iter()
            .zip(latencies.by_ref())
            .filter_map(|(m, latency)| Some((m, latency.ok()?.median_ms)))
            .collect();
        let target = session.study().target();
        let target_ms = target.map_or(f64::INFINITY, |t| t.target_ms);
        let origin = target.and_then(|t| t.reference.clone());
        match choose(timed, target_ms, origin.as_deref()) {
            Some((entry, within)) => {
                if !within {
                    session.warn(format!(
                        "no width of {family} meets the target; {} stands for it",
                        entry.name
                    ));
                }
                if picked.iter().all(|p| p.name != entry.name) {
                    picked.push(entry);
                }
            }
            None => session.warn(format!(
                "no width of {family} could be measured; it is left out"
            )),
        }
    }
    Ok(Some(picked))
}

/// Members of a family at the study's images, one per different network, by rising width. Widths
/// that make no valid network are left out.
fn grid(session: &Session<'_>, name: &str) -> Result<Vec<Member>, StudyError> {
    let find = |name: &str| {
        zoo::find(name).map_err(|source| PlanError::Zoo {
            name: name.into(),
            source,
        })
    };
    let base = find(name)?;
    let mut members: Vec<Member> = vec![];
    for factor in WIDTHS {
        let width = base.width * factor;
        let named = find(&format!("{}-{width}x", base.entry.name))?;
        let spec = named.spec.canonical();
        let (hash, spec) = (named.spec.hash(), spec.to_string());
        let Ok(graph) = evaluate::graph(&session.net(&named.name, &spec)) else {
            continue;
        };
        // Rounding to multiples of 8 may make neighbours equal; the name nearest to 1 stays.
        if let Some(same) = members.iter_mut().find(|m| m.entry.hash == hash) {
            if factor <= 1.0 {
                same.entry.name = named.name;
            }
            continue;
        }
        let entry = FinalEntry {
            name: named.name,
            kind: FinalKind::Reference,
            spec,
            hash,
        };
        members.push(Member {
            entry,
            macs: cost(&graph).macs,
        });
    }
    Ok(members)
}

/// The largest member within the target, and true; the fastest, and false, where none is. The
/// reference whose latency became the target meets it by definition, whatever a second measurement
/// says.
fn choose(
    timed: Vec<(Member, f64)>,
    target_ms: f64,
    origin: Option<&str>,
) -> Option<(FinalEntry, bool)> {
    let within =
        |(m, ms): &&(Member, f64)| *ms <= target_ms || origin == Some(m.entry.name.as_str());
    let largest = timed.iter().filter(within).max_by_key(|(m, _)| m.macs);
    let fastest = || {
        timed
            .iter()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(m, _)| (m, false))
    };
    let (member, within) = largest.map(|(m, _)| (m, true)).or_else(fastest)?;
    Some((member.entry.clone(), within))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, macs: u64, ms: f64) -> (Member, f64) {
        let entry = FinalEntry {
            name: name.into(),
            kind: FinalKind::Reference,
            spec: String::new(),
            hash: name.into(),
        };
        (Member { entry, macs }, ms)
    }

    #[test]
    fn the_largest_within_the_target_stands_for_its_family() {
        let grid = || {
            vec![
                member("a", 1, 1.0),
                member("b", 2, 2.0),
                member("c", 3, 3.1),
            ]
        };
        let check = |target, origin, expected: (&str, bool)| {
            let (entry, within) = choose(grid(), target, origin).unwrap();
            assert_eq!((entry.name.as_str(), within), expected, "target {target}");
        };
        check(2.5, None, ("b", true));
        check(2.0, None, ("b", true));
        check(0.5, None, ("a", false));
        // The target's own reference meets it although this measurement says 3.1 ms.
        check(3.0, Some("c"), ("c", true));
        assert!(choose(vec![], 1.0, None).is_none());
    }
}
