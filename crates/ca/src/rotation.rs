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

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then (or until the slots change).
    Wait {
        /// When to ask again.
        until: SystemTime,
    },
    /// Empty this slot: what it holds is old, or expired before it was used.
    Retire(SlotId),
    /// Make a key and an authority for this empty slot, and publish it in the bundle.
    Prepare(SlotId),
    /// Let the prepared authority in this slot sign from now on.
    Activate(SlotId),
}

/// The next step at `now`. Steps are to be repeated until one says [`Step::Wait`].
#[must_use]
pub fn next_step(now: SystemTime, slots: &Slots) -> Step {
    let prepared = slots.find(Status::Prepared);
    let Some((active_id, active)) = slots.find(Status::Active) else {
        return match prepared {
            Some((id, slot)) if slot.is_valid(now) => Step::Activate(id),
            Some((id, _)) => Step::Retire(id),
            None => make_room(slots, SlotId::A),
        };
    };
    let (prepare_at, activate_at) = thresholds(active);
    match prepared {
        Some((id, slot)) if !slot.is_valid(now) => Step::Retire(id),
        Some((id, _)) if now > activate_at => Step::Activate(id),
        Some(_) => Step::Wait {
            until: activate_at + TICK,
        },
        None if now > prepare_at => make_room(slots, active_id.other()),
        None => Step::Wait {
            until: prepare_at + TICK,
        },
    }
}

/// The longest life of an SVID that no authority of `lifetime` ever cuts short.
#[must_use]
pub fn longest_svid_life(lifetime: Duration) -> Duration {
    (lifetime / ACTIVATE_PART).min(ACTIVATE_AT_MOST)
}

/// Thresholds are passed when *less* is left: the first instant after them.
const TICK: Duration = Duration::from_nanos(1);

/// When the successor of `active` is due to be prepared, and to be activated.
fn thresholds(active: &Slot) -> (SystemTime, SystemTime) {
    let life = active
        .not_after
        .duration_since(active.issued_at)
        .unwrap_or(Duration::ZERO);
    let before_the_end = |left: Duration| active.not_after - left;
    (
        before_the_end((life / PREPARE_PART).min(PREPARE_AT_MOST)),
        before_the_end(longest_svid_life(life)),
    )
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
            let step = next_step(now, slots);
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
            next_step(at(12), &slots),
            Step::Wait {
                until: at(12) + TICK
            }
        );
        assert_eq!(next_step(at(12) + TICK, &slots), Step::Prepare(SlotId::B));
        settle(&mut slots, at(13), 24 * HOUR);
        assert_eq!(
            next_step(at(20), &slots),
            Step::Wait {
                until: at(20) + TICK
            }
        );
        assert_eq!(next_step(at(20) + TICK, &slots), Step::Activate(SlotId::B));
    }

    #[test]
    fn long_lives_are_bounded_by_30_days_and_7_days() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 365 * DAY);
        let days = |n: u32| UNIX_EPOCH + DAY * n;
        assert_eq!(
            next_step(days(335), &slots),
            Step::Wait {
                until: days(335) + TICK
            }
        );
        settle(&mut slots, days(336), 365 * DAY);
        assert_eq!(
            next_step(days(350), &slots),
            Step::Wait {
                until: days(358) + TICK
            }
        );
        assert_eq!(next_step(days(359), &slots), Step::Activate(SlotId::B));
    }

    #[test]
    fn an_old_authority_makes_room_before_the_next_key_is_made() {
        let mut slots = Slots::default();
        settle(&mut slots, at(0), 24 * HOUR);
        settle(&mut slots, at(13), 24 * HOUR);
        settle(&mut slots, at(21), 24 * HOUR);
        assert_eq!(slots.get(SlotId::A).unwrap().status, Status::Old);
        assert_eq!(next_step(at(26), &slots), Step::Retire(SlotId::A));
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
    fn an_svid_of_the_longest_life_is_never_cut_short() {
        assert_eq!(longest_svid_life(24 * HOUR), 4 * HOUR);
        assert_eq!(longest_svid_life(365 * DAY), 7 * DAY);
    }

    proptest! {
        /// The server looks at odd times, is away for long, and crashes between steps.
        #[test]
        fn there_is_one_active_authority_and_each_was_published_before_it_signs(
            life in 1_u64..400 * 24 * 3600,
            pauses in prop::collection::vec(
                (1_u64..40 * 24 * 3600, 0_usize..4, any::<bool>()), 1..60,
            ),
        ) {
            let life = Duration::from_secs(life);
            let mut slots = Slots::default();
            let mut now = UNIX_EPOCH;
            let mut published: BTreeSet<String> = BTreeSet::new();
            let mut take = |slots: &mut Slots, now: SystemTime| {
                let step = next_step(now, slots);
                if let Step::Activate(slot) = step {
                    assert!(published.contains(&slots.get(slot).unwrap().authority_id));
                }
                let had_active = slots.find(Status::Active).is_some();
                apply(step, slots, now, life, &format!("{now:?}"));
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
            for (pause, steps_before_crash, stays_away) in pauses {
                for _ in 0..steps_before_crash {
                    take(&mut slots, now);
                }
                if !stays_away {
                    while !matches!(take(&mut slots, now), Step::Wait { .. }) {}
                    let (_, active) = slots.find(Status::Active).expect("one is active by now");
                    prop_assert!(active.is_valid(now));
                }
                now += Duration::from_secs(pause);
            }
        }
    }
}
