//! When to stop searching.

use mnas_search::Outcome;

use crate::error::StudyError;
use crate::session::Session;

/// Proposals in all.
pub(super) fn trials(session: &Session<'_>) -> u64 {
    session.study().budget().unwrap_or(session.plan().trials)
}

/// Whether no further batch is to begin: all proposals are made, or the next batch would overrun
/// the time. The first batch always begins.
pub(super) fn spent(session: &Session<'_>) -> bool {
    let proposed = session.study().trials().len() as u64;
    if proposed >= trials(session) {
        return true;
    }
    let spent = session.spent();
    match (session.plan().seconds_max, spent.next_batch_seconds()) {
        (Some(most), Some(next)) => spent.seconds() + next > most,
        _ => false,
    }
}

/// Seconds until the search ends at the pace so far.
pub(super) fn eta_seconds(session: &Session<'_>) -> Option<f64> {
    let left = trials(session).saturating_sub(session.study().trials().len() as u64);
    let batches = left.div_ceil(u64::from(session.plan().batch)) as f64;
    let by_trials = batches * session.spent().mean_batch_seconds()?;
    let by_time = session
        .plan()
        .seconds_max
        .map(|most| (most - session.search_seconds()).max(0.0));
    Some(by_time.map_or(by_trials, |t| t.min(by_trials)))
}

/// Stops the search where failures are so many that networks can't be the reason. Failures of
/// earlier runs don't count: whoever resumes has looked into them.
///
/// # Errors
/// [`StudyError::TooManyFailures`].
pub(super) fn check_failures(session: &mut Session<'_>) -> Result<(), StudyError> {
    let budget = &session.plan().failures;
    let evaluated: Vec<Option<&str>> = session
        .study()
        .trials()
        .iter()
        .filter(|t| t.duplicate_of.is_none() && session.observed_now(t.batch))
        .filter_map(|t| t.outcome.as_ref())
        .map(|outcome| match outcome {
            Outcome::Failed(failure) => Some(failure.message.as_str()),
            Outcome::Lost { message, .. } => Some(message.as_str()),
            Outcome::Done(_)
            | Outcome::TooSlow { .. }
            | Outcome::Stopped { .. }
            | Outcome::Infeasible { .. } => None,
        })
        .collect();
    let failed = |trials: &[Option<&str>]| trials.iter().flatten().count();
    let (first, window) = (budget.first as usize, budget.window as usize);
    let all_failed = first > 0 && evaluated.len() >= first && failed(&evaluated) == evaluated.len();
    let recent = &evaluated[evaluated.len().saturating_sub(window)..];
    let too_many = window > 0
        && recent.len() == window
        && failed(recent) as f64 > budget.share * window as f64;
    let looked_at = if all_failed { &evaluated[..] } else { recent };
    if !all_failed && !too_many {
        return Ok(());
    }
    Err(StudyError::TooManyFailures {
        failed: failed(looked_at) as u64,
        evaluated: looked_at.len() as u64,
        last: looked_at
            .iter()
            .rev()
            .flatten()
            .next()
            .copied()
            .unwrap_or_default()
            .to_string(),
    })
}
