//! When an SVID is to be replaced. Pure: the random draw is an argument.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, SystemTime};

/// By how much of the half life a renewal may come early, so that SVIDs issued together are not
/// renewed together.
const EARLY_AT_MOST: f64 = 0.1;
/// By how much servers date an SVID back, so that clocks may differ a little.
const BACKDATED: Duration = Duration::from_secs(10);
/// The spread of renewals by availability target.
const TARGET_SPREAD: Duration = Duration::from_secs(600);
/// What must be left of a lifetime besides the target, or the target is ignored.
const TARGET_NEEDS: Duration = Duration::from_secs(12 * 3600);

/// No SVID is renewed sooner after its issue. Near the end of an authority each new one lives only
/// half as long as the one before, so without this there would be no end of renewals.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// Long enough that the agents of a large trust domain do not all come at once to a server that has
/// just lost a key, short enough that the key is out of use within a minute.
pub const DEFAULT_TAINT_WINDOW: Duration = Duration::from_secs(30);

/// When an SVID is replaced.
#[derive(Debug, Clone, Copy)]
pub struct SvidPolicy {
    /// Replace when this much is left, instead of at half life, if the SVID lives long enough.
    pub availability_target: Option<Duration>,
    /// Over how long the SVIDs of a tainted authority are replaced.
    pub taint_window: Duration,
}

impl Default for SvidPolicy {
    fn default() -> Self {
        Self {
            availability_target: None,
            taint_window: DEFAULT_TAINT_WINDOW,
        }
    }
}

/// The instant at which to replace an SVID: at half life or a little before, never after.
/// `draw` is a number from 0 to 1, drawn once for this SVID.
pub fn rotate_at(
    policy: &SvidPolicy,
    now: SystemTime,
    not_before: SystemTime,
    not_after: SystemTime,
    draw: f64,
) -> SystemTime {
    // A life starts at the issue, or an SVID of a few seconds would be due at once; a clock that
    // runs behind must not lengthen the half life.
    let start = (not_before + BACKDATED).min(now);
    let life = not_after.duration_since(start).unwrap_or_default();
    let half = start + (life / 2).mul_f64(1.0 - EARLY_AT_MOST * draw.clamp(0.0, 1.0));
    let due = match policy.availability_target {
        Some(target) if life.saturating_sub(target) > TARGET_NEEDS => {
            not_after - target - TARGET_SPREAD.mul_f64(draw.clamp(0.0, 1.0))
        }
        _ => half,
    };
    due.max(now + SHORTEST_REST)
}

/// Draws the numbers that spread renewals; a seed reproduces them.
#[derive(Debug)]
pub struct Jitter(SmallRng);

impl Jitter {
    /// Jitter that nobody can foresee.
    pub fn new() -> Self {
        Self::seeded(rand::random())
    }

    /// Jitter that a seed reproduces.
    pub fn seeded(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A number from 0 to 1.
    pub fn draw(&mut self) -> f64 {
        self.0.random_range(0.0..1.0)
    }

    /// A duration with the given part of jitter on each side.
    pub fn around(&mut self, nominal: Duration, part: f64) -> Duration {
        nominal.mul_f64(1.0 + self.0.random_range(-part..=part))
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(policy: SvidPolicy, life: Duration, draw: f64) -> Duration {
        let start = UNIX_EPOCH + 1000 * HOUR;
        let when = rotate_at(&policy, start, start, start + life, draw);
        when.duration_since(start).expect("after the start")
    }

    #[test]
    fn an_svid_is_due_at_half_life_or_up_to_a_tenth_before_and_never_after() {
        assert_eq!(at(SvidPolicy::default(), HOUR, 0.0), HOUR / 2);
        assert_eq!(at(SvidPolicy::default(), HOUR, 1.0), HOUR.mul_f64(0.45));
    }

    #[test]
    fn the_half_life_counts_from_the_issue_not_from_the_date_put_back() {
        let issued = UNIX_EPOCH + HOUR;
        let (not_before, not_after) = (issued - BACKDATED, issued + BACKDATED);
        let when = rotate_at(&SvidPolicy::default(), issued, not_before, not_after, 0.0);
        assert_eq!(when, issued + BACKDATED / 2);
    }

    #[test]
    fn near_the_end_of_an_authority_an_svid_is_renewed_no_more_than_once_a_second() {
        let moment = Duration::from_millis(100);
        assert_eq!(at(SvidPolicy::default(), moment, 0.0), SHORTEST_REST);
    }

    #[test]
    fn an_availability_target_counts_from_the_end_of_a_long_life() {
        let policy = SvidPolicy {
            availability_target: Some(24 * HOUR),
            ..SvidPolicy::default()
        };
        assert_eq!(at(policy, 48 * HOUR, 0.0), 24 * HOUR);
        assert_eq!(at(policy, 100 * HOUR, 0.0), 76 * HOUR);
    }

    #[test]
    fn an_availability_target_that_leaves_less_than_twelve_hours_is_ignored() {
        let policy = SvidPolicy {
            availability_target: Some(24 * HOUR),
            ..SvidPolicy::default()
        };
        assert_eq!(at(policy, 36 * HOUR, 0.0), 18 * HOUR);
    }
}
