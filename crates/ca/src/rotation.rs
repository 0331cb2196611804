//! What is to be done next about the authorities of one kind: a pure function of time and slots.
//!
//! ```text
//! made ───────────── prepare the next ────── activate it ── expires
//! L left             min(L/2, 30 days) left  min(L/6, 7 days) left
//! ```
//!
//! Whoever carries the steps out does one, commits, and asks again; it may crash anywhere between.

use std::time::{Duration, SystemTime};

use crate::slots::{Slot, SlotId, Slots, Status};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The next is prepared when less than half of the life is left, but not over a month ahead.
const PREPARE_PART: u32 = 2;
const PREPARE_AT_MOST: Duration = Duration::from_secs(30 * DAY.as_secs());

/// The next becomes active when less than a sixth of the life is left, but not over a week ahead. An
/// SVID can live this long without being cut short by its authority's end.
const ACTIVATE_PART: u32 = 6;
const ACTIVATE_AT_MOST: Duration = Duration::from_secs(7 * DAY.as_secs());

/// How long the next waits, from when it was offered, for the agents to have it: three intervals of
/// those that ask every five seconds.
const OFFERED_FOR: Duration = Duration::from_secs(15);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then (or until the slots or the acknowledgements change).
    Wait {
        /// When to ask again.
        until: SystemTime,
    },
    /// Empty this slot: what it holds is old, or was of no use before it was used.
    Retire(SlotId),
    /// Make a key and an authority for this empty slot, and publish it in the bundle.
    Prepare(SlotId),
    /// Let the prepared authority in this slot sign from now on.
    Activate(SlotId),
}

/// Who can have the prepared authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Whether all who are waited for have it.
    pub acknowledged: bool,
    /// Since when agents can hear of anything: the start of the server.
    pub since: SystemTime,
}

/// The next step at `now`. Steps are to be repeated until one says [`Step::Wait`].
///
/// A prepared authority that was offered in time is activated at its threshold, acknowledged or not.
/// One that was offered too late (the server was away, be it before or after it was prepared) waits
/// for the agents a little: 15 seconds, but not over half of what the active one then
/// had left. If that is expired, or from the future, nothing waits.
#[must_use]
pub fn next_step(now: SystemTime, slots: &Slots, reach: Reach) -> Step {
    if let Some(id) = of_no_use(now, slots) {
        return Step::Retire(id);
    }
    let prepared = slots.find(Status::Prepared);
    let Some((active_id, active)) = slots.find(Status::Active) else {
        return match prepared {
            Some((id, _)) => Step::Activate(id),
            None => make_room(slots, SlotId::A),
        };
    };
    let from = match prepared {
        Some((_, next)) => activation(active, next, reach),
        None => preparation(active),
    };
    match prepared {
        _ if active.is_valid(now) && now < from => Step::Wait { until: from },
        Some((id, _)) => Step::Activate(id),
        None => make_room(slots, active_id.other()),
    }
}

/// The longest life of an SVID that no authority of `lifetime` ever cuts short.
#[must_use]
pub fn longest_svid_life(lifetime: Duration) -> Duration {
    (lifetime / ACTIVATE_PART).min(ACTIVATE_AT_MOST)
}

/// Thresholds are passed when *less* is left: the first instant after them.
const TICK: Duration = Duration::from_nanos(1);

/// A prepared authority that cannot be activated, or an old one under which nothing verifies.
fn of_no_use(now: SystemTime, slots: &Slots) -> Option<SlotId> {
    let prepared = slots.find(Status::Prepared);
    let old = slots.find(Status::Old);
    prepared
        .filter(|(_, slot)| !slot.is_valid(now))
        .or(old.filter(|(_, slot)| slot.is_over(now)))
        .map(|(id, _)| id)
}

/// From when on the successor of `active` is to be prepared.
fn preparation(active: &Slot) -> SystemTime {
    let left = (life(active) / PREPARE_PART).min(PREPARE_AT_MOST);
    active.not_after - left + TICK
}

/// From when on `next` is to sign in place of `active`.
fn activation(active: &Slot, next: &Slot, reach: Reach) -> SystemTime {
    let threshold = active.not_after - longest_svid_life(life(active)) + TICK;
    let offered = next.issued_at.max(reach.since);
    let left = active.not_after.duration_since(offered).unwrap_or_default();
    match reach.acknowledged {
        true => threshold.max(offered),
        false => threshold.max(offered + OFFERED_FOR.min(left / 2)),
    }
}

fn life(slot: &Slot) -> Duration {
    slot.not_after
        .duration_since(slot.issued_at)
        .unwrap_or(Duration::ZERO)
}

/// Prepares `slot`; what it holds goes first, so that no key is ever made over one that a slot names.
fn make_room(slots: &Slots, slot: SlotId) -> Step {
    match slots.get(slot) {
        None => Step::Prepare(slot),
        Some(_) => Step::Retire(slot),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u32) -> SystemTime {
        UNIX_EPOCH + HOUR * hours
    }

    /// The next step of a server that was never away.
    fn next_step(now: SystemTime, slots: &Slots, acknowledged: bool) -> Step {
        let since = UNIX_EPOCH;
        let reach = Reach {
            acknowledged,
            since,
        };
        super::next_step(now, slots, reach)
    }

    fn apply(step: Step, slots: &mut Slots, now: SystemTime, life: Duration, name: &str) {
        match step {
            Step::Wait { .. } => {}
            Step::Retire(slot) => slots.retire(slot).unwrap(),
            Step::Prepare(slot) => slots
                .prepare(slot, name.to_owned(), now, now + life)
                .unwrap(),
            Step::Activate(slot) => slots.activate(slot).unwrap(),
        }
    }

    /// Takes steps until there is nothing to do.
    fn settle(slots: &mut Slots, now: SystemTime, life: Duration) -> Vec<Step> {
        let mut taken = Vec::new();
        loop {
            let step = next_step(now, slots, true);
            taken.push(step);
            if let Step::Wait { until } = step {
                assert!(until > now, "waiting must end in the future");
                return taken;
            }
            apply(step, slots, now, life, &format!("{now:?}"));
            assert!(taken.len() < 8, "steps must come to an end: {taken:?}");
        }
    }

    #[test]
    fn the_first_authority_is_prepared_and_then_activated_at_once() {
        let mut slots = Slots::default();
        let taken = settle(&mut slots, at(0), 24 * HOUR);
        assert_eq!(
            taken[..2],
            [Step::Prepare(SlotId::A), Step::Activate(SlotId::A)]
        );
    }

    #[test]
    fn of_24_hours_the_next_is_prepared_after_12_and_activated_after_20() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        assert_eq!(
            next_step(at(12), &slots, true),
            Step::Wait {
                until: at(12) + TICK
            }
        );
        assert_eq!(
            next_step(at(12) + TICK, &slots, true),
            Step::Prepare(SlotId::B)
        );
        settle(&mut slots, at(13), 24 * HOUR);
        assert_eq!(
            next_step(at(20), &slots, true),
            Step::Wait {
                until: at(20) + TICK
            }
        );
        assert_eq!(
            next_step(at(20) + TICK, &slots, true),
            Step::Activate(SlotId::B)
        );
    }

    #[test]
    fn long_lives_are_bounded_by_30_days_and_7_days() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 365 * DAY);
        let days = |n: u32| UNIX_EPOCH + DAY * n;
        assert_eq!(
            next_step(days(335), &slots, true),
            Step::Wait {
                until: days(335) + TICK
            }
        );
        settle(&mut slots, days(336), 365 * DAY);
        assert_eq!(
            next_step(days(350), &slots, true),
            Step::Wait {
                until: days(358) + TICK
            }
        );
        assert_eq!(
            next_step(days(359), &slots, true),
            Step::Activate(SlotId::B)
        );
    }

    #[test]
    fn an_old_authority_makes_room_before_the_next_key_is_made() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        settle(&mut slots, at(13), 24 * HOUR);
        settle(&mut slots, at(21), 24 * HOUR);
        assert_eq!(slots.get(SlotId::A).unwrap().status, Status::Old);
        assert_eq!(next_step(at(26), &slots, true), Step::Retire(SlotId::A));
        settle(&mut slots, at(26), 24 * HOUR);
        assert_eq!(slots.get(SlotId::A).unwrap().status, Status::Prepared);
    }

    #[test]
    fn after_a_long_absence_what_was_prepared_is_used_if_it_still_can_be() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        settle(&mut slots, at(13), 24 * HOUR);
        let mut rested = slots.clone();
        assert_eq!(
            settle(&mut rested, at(30), 24 * HOUR)[0],
            Step::Activate(SlotId::B)
        );
        let taken = settle(&mut slots, at(100), 24 * HOUR);
        assert_eq!(
            taken[..3],
            [
                Step::Retire(SlotId::B),
                Step::Prepare(SlotId::B),
                Step::Activate(SlotId::B)
            ]
        );
    }

    #[test]
    fn one_prepared_in_time_is_activated_at_the_threshold_whoever_lacks_it() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        settle(&mut slots, at(13), 24 * HOUR);
        for acknowledged in [false, true] {
            let until = at(20) + TICK;
            let wait = Step::Wait { until };
            assert_eq!(next_step(at(14), &slots, acknowledged), wait);
            assert_eq!(
                next_step(until, &slots, acknowledged),
                Step::Activate(SlotId::B)
            );
        }
    }

    #[test]
    fn one_prepared_too_late_waits_for_the_agents_but_not_for_long() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        let late = at(22);
        assert_eq!(next_step(late, &slots, false), Step::Prepare(SlotId::B));
        apply(
            Step::Prepare(SlotId::B),
            &mut slots,
            late,
            24 * HOUR,
            "late",
        );
        let until = late + OFFERED_FOR;
        assert_eq!(next_step(late, &slots, false), Step::Wait { until });
        assert_eq!(next_step(late, &slots, true), Step::Activate(SlotId::B));
        assert_eq!(next_step(until, &slots, false), Step::Activate(SlotId::B));
    }

    #[test]
    fn one_prepared_in_time_waits_a_little_after_a_restart_near_the_threshold() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        settle(&mut slots, at(13), 24 * HOUR);
        let seconds = Duration::from_secs;
        let from = |since| {
            let reach = |acknowledged| Reach {
                acknowledged,
                since,
            };
            let now = since.max(at(20) + TICK);
            assert_eq!(
                super::next_step(now, &slots, reach(true)),
                Step::Activate(SlotId::B)
            );
            super::next_step(now, &slots, reach(false))
        };
        assert_eq!(from(at(20) - seconds(20)), Step::Activate(SlotId::B));
        for since in [at(20) - seconds(10), at(22)] {
            let until = since + OFFERED_FOR;
            assert_eq!(from(since), Step::Wait { until });
        }
        let until = at(24) - seconds(2);
        assert_eq!(from(at(24) - seconds(4)), Step::Wait { until });
        assert_eq!(from(at(24)), Step::Activate(SlotId::B));
    }

    #[test]
    fn nobody_is_waited_for_when_the_active_one_is_expired() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        let late = at(24) - Duration::from_secs(10);
        apply(
            Step::Prepare(SlotId::B),
            &mut slots,
            late,
            24 * HOUR,
            "late",
        );
        let until = late + Duration::from_secs(5);
        assert_eq!(next_step(late, &slots, false), Step::Wait { until });
        apply(Step::Retire(SlotId::B), &mut slots, late, 24 * HOUR, "");
        assert_eq!(next_step(at(24), &slots, false), Step::Prepare(SlotId::B));
        apply(
            Step::Prepare(SlotId::B),
            &mut slots,
            at(24),
            24 * HOUR,
            "later",
        );
        assert_eq!(next_step(at(24), &slots, false), Step::Activate(SlotId::B));
    }

    #[test]
    fn an_authority_from_the_future_is_replaced_at_once() {
        let mut slots = Slots::default();
        settle(&mut slots, at(24 * 365), 24 * HOUR);
        let taken = settle(&mut slots, at(0), 24 * HOUR);
        assert_eq!(
            taken[..2],
            [Step::Prepare(SlotId::B), Step::Activate(SlotId::B)]
        );
        let taken = settle(&mut slots, at(13), 24 * HOUR);
        assert_eq!(
            taken[..2],
            [Step::Retire(SlotId::A), Step::Prepare(SlotId::A)]
        );
    }

    #[test]
    fn a_clock_that_was_set_back_by_an_hour_changes_nothing_for_one_that_is_older() {
        let mut slots = Slots::default();
        settle(&mut slots, at(1), 24 * HOUR);
        let kept = slots.clone();
        settle(&mut slots, at(2), 24 * HOUR);
        settle(&mut slots, at(1), 24 * HOUR);
        assert_eq!(slots, kept);
    }

    #[test]
    fn a_prepared_authority_from_the_future_is_given_up() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        settle(&mut slots, at(13), 24 * HOUR);
        assert_eq!(next_step(at(12), &slots, true), Step::Retire(SlotId::B));
    }

    #[test]
    fn an_svid_of_the_longest_life_is_never_cut_short() {
        assert_eq!(longest_svid_life(24 * HOUR), 4 * HOUR);
        assert_eq!(longest_svid_life(365 * DAY), 7 * DAY);
    }

    proptest! {
        /// The server looks at odd times, is away for long, crashes between steps, and its clock is
        /// set back now and then.
        #[test]
        fn there_is_one_active_authority_and_each_was_published_before_it_signs(
            life in 1_u64..400 * 24 * 3600,
            pauses in prop::collection::vec(
                (
                    prop_oneof![4 => 1..40 * 24 * 3600_i64, 1 => -40 * 24 * 3600..0_i64],
                    0_usize..4,
                    any::<bool>(),
                    any::<bool>(),
                ),
                1..60,
            ),
        ) {
            let life = Duration::from_secs(life);
            let mut slots = Slots::default();
            let mut now = UNIX_EPOCH + DAY * 10_000;
            let mut published: BTreeSet<String> = BTreeSet::new();
            let mut made = 0;
            let mut take = |slots: &mut Slots, now: SystemTime, acknowledged: bool| {
                let step = next_step(now, slots, acknowledged);
                if let Step::Activate(slot) = step {
                    assert!(published.contains(&slots.get(slot).unwrap().authority_id));
                }
                let had_active = slots.find(Status::Active).is_some();
                made += 1;
                apply(step, slots, now, life, &format!("{made}"));
                published.extend(
                    slots.find(Status::Prepared).map(|(_, slot)| slot.authority_id.clone()),
                );
                let is_active = |id: &SlotId| {
                    slots.get(*id).is_some_and(|slot| slot.status == Status::Active)
                };
                let active = [SlotId::A, SlotId::B].iter().filter(|id| is_active(id)).count();
                assert!(active == 1 || (active == 0 && !had_active));
                step
            };
            for (pause, steps_before_crash, stays_away, acknowledged) in pauses {
                for _ in 0..steps_before_crash {
                    take(&mut slots, now, acknowledged);
                }
                if !stays_away {
                    let mut steps = 0;
                    while !matches!(take(&mut slots, now, acknowledged), Step::Wait { .. }) {
                        steps += 1;
                        prop_assert!(steps < 8, "steps must come to an end");
                    }
                    let (_, active) = slots.find(Status::Active).expect("one is active by now");
                    prop_assert!(active.is_valid(now));
                }
                let by = Duration::from_secs(pause.unsigned_abs());
                now = if pause < 0 { now - by } else { now + by };
            }
        }
    }
}
