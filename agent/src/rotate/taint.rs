//! When the SVIDs of a tainted authority are replaced: each before anybody may refuse it, not all
//! at once, and those that a workload uses first. Pure: the random draw is an argument.

use crate::cache::{Cache, Standing};
use signet_model::{Entry, EntryId};
use std::time::{Duration, SystemTime};

/// In how many batches at most: a server likes twenty requests for fifty SVIDs better than a
/// thousand for one.
const MOST_BATCHES: usize = 20;

/// A valid SVID with a tainted authority, whose replacement is not planned yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedSvid {
    /// Its entry.
    pub entry_id: EntryId,
    /// Whether somebody subscribed to it.
    pub wanted: bool,
}

/// The SVIDs to plan for.
pub fn affected(
    cache: &Cache,
    now: SystemTime,
    wanted: impl Fn(&Entry) -> bool,
) -> Vec<AffectedSvid> {
    let unplanned = cache.held().filter(|held| {
        let tainted = held.standing == Standing::Tainted && held.replace_at.is_none();
        tainted && held.valid_svid(now).is_some()
    });
    let affected = unplanned.map(|held| AffectedSvid {
        entry_id: held.entry.id.clone(),
        wanted: wanted(&held.entry),
    });
    affected.collect()
}

/// When each is replaced: over the whole window, wanted ones before others. `phase` is a number from
/// 0 to 1, drawn once for this agent, so that agents with few SVIDs spread over the window too.
pub fn replacements(
    mut affected: Vec<AffectedSvid>,
    now: SystemTime,
    window: Duration,
    phase: f64,
) -> Vec<(EntryId, SystemTime)> {
    affected.sort_by(|a, b| (!a.wanted, &a.entry_id).cmp(&(!b.wanted, &b.entry_id)));
    let count = affected.len();
    let batches = count.min(MOST_BATCHES);
    let plan = affected.into_iter().enumerate().map(|(place, one)| {
        let batch = place * batches / count;
        (
            one.entry_id,
            now + window.mul_f64(part(batch, batches, phase)),
        )
    });
    plan.collect()
}

#[expect(clippy::cast_precision_loss, reason = "there are twenty batches")]
fn part(batch: usize, batches: usize, phase: f64) -> f64 {
    (batch as f64 + phase.clamp(0.0, 1.0)) / batches as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    const WINDOW: Duration = Duration::from_secs(30);

    fn some(count: usize, wanted: impl Fn(usize) -> bool) -> Vec<AffectedSvid> {
        let one = |number| AffectedSvid {
            entry_id: EntryId::parse(&format!("e{number:04}")).expect("valid"),
            wanted: wanted(number),
        };
        (0..count).map(one).collect()
    }

    fn waits(plan: &[(EntryId, SystemTime)]) -> Vec<Duration> {
        let wait = |at: &SystemTime| at.duration_since(noon()).expect("later");
        plan.iter().map(|(_, at)| wait(at)).collect()
    }

    #[test]
    fn what_somebody_uses_is_replaced_before_what_nobody_does() {
        let plan = replacements(some(100, |number| number >= 90), noon(), WINDOW, 0.5);
        let (first, rest) = plan.split_at(10);
        assert!(first.iter().all(|(id, _)| id.as_str() >= "e0090"));
        let last_wanted = first.iter().map(|(_, at)| at).max();
        assert!(rest.iter().map(|(_, at)| at).min() >= last_wanted);
    }

    #[test]
    fn the_whole_window_is_used_and_nothing_comes_after_it() {
        for phase in [0.0, 0.3, 1.0] {
            let waits = waits(&replacements(some(1000, |_| true), noon(), WINDOW, phase));
            assert!(waits.iter().all(|wait| *wait <= WINDOW));
            assert!(waits[999] - waits[0] >= WINDOW.mul_f64(0.9));
            let mut instants = waits.clone();
            instants.dedup();
            assert_eq!(instants.len(), MOST_BATCHES);
        }
    }

    #[test]
    fn agents_with_one_svid_spread_over_the_window_by_their_phase() {
        let at = |phase| waits(&replacements(some(1, |_| true), noon(), WINDOW, phase))[0];
        assert_eq!(at(0.0), Duration::ZERO);
        assert_eq!(at(0.5), WINDOW / 2);
        assert_eq!(at(1.0), WINDOW);
    }

    #[test]
    fn without_a_window_all_are_replaced_at_once_and_nothing_is_planned_for_nothing() {
        let plan = replacements(some(50, |_| false), noon(), Duration::ZERO, 0.7);
        assert!(waits(&plan).iter().all(Duration::is_zero));
        assert!(replacements(Vec::new(), noon(), WINDOW, 0.7).is_empty());
    }
}
