//! What must hold at every instant.

use crate::agents::{AGENTS, Agent};
use crate::events::{COMES_BACK_WITHIN, HEARS_WITHIN};
use signet_ca::slots::Kind;
use signet_datastore::records::{Slot, SlotKind, SlotState};
use signet_model::Revision;
use signet_spiffe::{Bundle, JwtAuthority};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// What was found wrong.
pub(crate) type Wrong = String;

/// How long an authority is offered to agents before it signs, at most.
const OFFERED_FOR: Duration = Duration::from_secs(15);
/// An expired authority stays in the bundle for so long.
const STAYS_FOR: Duration = Duration::from_secs(24 * 3600);
/// Certificates end at whole seconds, and thresholds count from there.
const WHOLE: Duration = Duration::from_secs(1);
/// What is due is done by then, by a server that runs and whose writes succeed.
pub(crate) const IN_TIME: Duration = Duration::from_secs(60);

/// What kinds there are, for short.
pub(crate) const KINDS: [Kind; 3] = [Kind::X509, Kind::Jwt, Kind::Wit];

/// Authorities are counted.
pub(crate) type Number = usize;

/// A bundle as it was at one revision.
pub(crate) struct View {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) revision: Revision,
    pub(crate) has: BTreeSet<Number>,
    pub(crate) tainted: BTreeSet<Number>,
}

/// In what circumstances the slots changed.
pub(crate) struct Moment {
    pub(crate) now: SystemTime,
    /// The same on the clock that is never set.
    pub(crate) instant: Instant,
    /// An operator did it.
    pub(crate) by_hand: bool,
    /// When the server started.
    pub(crate) started: Instant,
    /// When the clock was set last.
    pub(crate) clock_set: Instant,
}

struct Known {
    name: String,
    ends: SystemTime,
    published: Instant,
    has_signed: bool,
    revoked: bool,
    proved: bool,
    /// Until when what it signed is in use, by whom it was signed for.
    used_until: [SystemTime; AGENTS],
    /// Agents that need not have it yet.
    excused: [bool; AGENTS],
}

impl Known {
    fn is_used(&self, now: SystemTime) -> bool {
        self.used_until.iter().any(|until| *until > now)
    }
}

/// All that was ever published and signed.
pub(crate) struct Judge {
    numbers: HashMap<String, Number>,
    known: Vec<Known>,
    latest: Option<Arc<View>>,
    slots: Vec<Slot>,
    /// Authorities of which something may be in use.
    in_use: BTreeSet<Number>,
    /// Whether the server's latest look at its authorities failed, or an operator's step since. A commit
    /// that seemed to fail may have been made: until the next look the authority that it retired still
    /// signs, unless it is tainted.
    pub(crate) unsettled: bool,
    /// How often another authority of each kind began to sign.
    pub(crate) rotations: [u32; KINDS.len()],
    /// How often an agent was excused.
    pub(crate) excuses: u32,
}

impl Judge {
    pub(crate) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            known: Vec::new(),
            latest: None,
            slots: Vec::new(),
            in_use: BTreeSet::new(),
            unsettled: false,
            rotations: [0; KINDS.len()],
            excuses: 0,
        }
    }

    pub(crate) fn number(&self, id: &str) -> Option<Number> {
        self.numbers.get(id).copied()
    }

    /// Looks at the bundle that the server has committed.
    pub(crate) fn see_bundle(
        &mut self,
        bundle: Arc<Bundle>,
        revision: Revision,
        at: &Moment,
    ) -> Result<Arc<View>, Wrong> {
        if let Some(latest) = &self.latest
            && Arc::ptr_eq(&latest.bundle, &bundle)
        {
            return Ok(latest.clone());
        }
        let view = Arc::new(self.view(bundle, revision, at.instant));
        if let Some(before) = self.latest.replace(view.clone()) {
            for &number in before.has.difference(&view.has) {
                self.may_leave(number, at.now)?;
            }
        }
        Ok(view)
    }

    /// Takes stock of a bundle.
    pub(crate) fn view(
        &mut self,
        bundle: Arc<Bundle>,
        revision: Revision,
        instant: Instant,
    ) -> View {
        let x509 = bundle.x509_authorities.iter().map(|one| {
            let id = signet_crypto::hex(&one.subject_key_id());
            (id, one.not_after(), one.tainted)
        });
        let keys = bundle.jwt_authorities.iter().chain(&bundle.wit_authorities);
        let keys = keys.map(|key: &JwtAuthority| {
            let ends = key.expires_at.expect("ours end");
            (key.key_id.clone(), ends, key.tainted)
        });
        let (mut has, mut tainted) = (BTreeSet::new(), BTreeSet::new());
        for (id, ends, is_tainted) in x509.chain(keys) {
            let number = self.admit(id, ends, instant);
            has.insert(number);
            if is_tainted {
                tainted.insert(number);
            }
        }
        View {
            bundle: bundle.clone(),
            revision,
            has,
            tainted,
        }
    }

    fn admit(&mut self, id: String, ends: SystemTime, published: Instant) -> Number {
        let next = self.known.len();
        let number = *self.numbers.entry(id.clone()).or_insert(next);
        if number == next {
            self.known.push(Known {
                name: format!("authority {next} ({})", &id[..8]),
                ends,
                published,
                has_signed: false,
                revoked: false,
                proved: false,
                used_until: [UNIX_EPOCH; AGENTS],
                excused: [false; AGENTS],
            });
        }
        number
    }

    /// The bundle loses only what was revoked, has signed nothing, or ended a day ago.
    fn may_leave(&self, number: Number, now: SystemTime) -> Result<(), Wrong> {
        let known = &self.known[number];
        let name = &known.name;
        match known {
            known if known.revoked || !known.has_signed => Ok(()),
            known if known.is_used(now) => {
                Err(format!("the bundle lost {name}, which a live SVID needs"))
            }
            known if known.ends + STAYS_FOR <= now => Ok(()),
            _ => Err(format!("{name} left the bundle within a day of its end")),
        }
    }

    /// Looks at the slots that the server has committed.
    pub(crate) fn see_slots(
        &mut self,
        slots: Vec<Slot>,
        at: &Moment,
        agents: &[Agent],
    ) -> Result<(), Wrong> {
        let before = std::mem::replace(&mut self.slots, slots);
        for (place, kind) in KINDS.into_iter().enumerate() {
            let predecessor = find(&before, kind, SlotState::Active);
            let predecessor = predecessor.filter(|slot| is_valid(slot, at.now));
            if let Some(prepared) = find(&self.slots, kind, SlotState::Prepared)
                && !has(&before, &prepared.authority_id)
                && !at.by_hand
                && predecessor.is_some_and(|slot| at.now + WHOLE < preparation(slot))
            {
                return Err(format!(
                    "the next {kind} authority was made before its time"
                ));
            }
            let Some(active) = find(&self.slots, kind, SlotState::Active).cloned() else {
                continue;
            };
            if find(&before, kind, SlotState::Active).map(|slot| &slot.authority_id)
                != Some(&active.authority_id)
            {
                self.rotations[place] += 1;
                self.see_activation(&active, predecessor, at, agents)?;
            }
        }
        Ok(())
    }

    fn see_activation(
        &mut self,
        active: &Slot,
        predecessor: Option<&Slot>,
        at: &Moment,
        agents: &[Agent],
    ) -> Result<(), Wrong> {
        let number = self.number(&active.authority_id);
        let number = number.ok_or("an authority signs that never was in the bundle")?;
        let known = &mut self.known[number];
        known.has_signed = true;
        let due = predecessor.map(activation);
        if !at.by_hand && due.is_some_and(|due| at.now + WHOLE < due) {
            return Err(format!("{} signs before its time", known.name));
        }
        for (place, agent) in agents.iter().enumerate() {
            if agent.lacks(number) {
                let may_lack = |before| !at.by_hand && may_lack(agent, known.published, before, at);
                if !predecessor.is_none_or(may_lack) {
                    let name = &known.name;
                    return Err(format!(
                        "{name} signs without agent {place}, whom it had to wait for"
                    ));
                }
                known.excused[place] = true;
                self.excuses += 1;
            }
        }
        Ok(())
    }

    /// Notes what was signed for an agent, by the slot that signs, with a view of the bundle.
    pub(crate) fn signed(
        &mut self,
        agent: usize,
        (kind, id): (Kind, &str),
        until: SystemTime,
        view: &View,
    ) -> Result<Number, Wrong> {
        let number = self.number(id).filter(|number| view.has.contains(number));
        let number =
            number.ok_or_else(|| format!("a {kind} key signs that is not in the bundle"))?;
        let is_committed =
            |state| find(&self.slots, kind, state).is_some_and(|slot| slot.authority_id == id);
        let may_sign =
            is_committed(SlotState::Active) || self.unsettled && is_committed(SlotState::Old);
        if !may_sign {
            return Err(format!(
                "a {kind} key signs that is not committed as active"
            ));
        }
        if view.tainted.contains(&number) {
            return Err(format!("a {kind} key signs that is tainted"));
        }
        let used = &mut self.known[number].used_until[agent];
        *used = until.max(*used);
        self.in_use.insert(number);
        Ok(number)
    }

    /// Whether a signature of this authority is still to be proved; asked once.
    pub(crate) fn is_unproved(&mut self, number: Number) -> bool {
        !std::mem::replace(&mut self.known[number].proved, true)
    }

    /// The agent has put all that this authority signed for it out of use.
    pub(crate) fn dropped(&mut self, agent: usize, number: Number) {
        self.known[number].used_until[agent] = UNIX_EPOCH;
    }

    pub(crate) fn is_used(&self, number: Number, now: SystemTime) -> bool {
        self.known[number].is_used(now)
    }

    /// An operator wants the authority revoked.
    pub(crate) fn revoked(&mut self, number: Number) {
        self.known[number].revoked = true;
    }

    /// The agent holds this view now.
    pub(crate) fn heard(&mut self, agent: usize, view: &View) {
        for &number in &view.has {
            self.known[number].excused[agent] = false;
        }
    }

    /// Every view verifies every live SVID.
    pub(crate) fn look(&mut self, now: SystemTime, agents: &[Agent]) -> Result<(), Wrong> {
        let known = &self.known;
        self.in_use.retain(|number| known[*number].is_used(now));
        for &number in &self.in_use {
            let known = &self.known[number];
            let name = &known.name;
            if known.ends <= now {
                return Err(format!("an SVID outlives {name}"));
            }
            for (place, agent) in agents.iter().enumerate() {
                if agent.lacks(number) && !known.excused[place] {
                    return Err(format!("agent {place} cannot verify a live SVID of {name}"));
                }
            }
        }
        Ok(())
    }

    /// Nothing that was due a while ago is still to be done.
    pub(crate) fn is_timely(&self, now: SystemTime) -> Result<(), Wrong> {
        for kind in KINDS {
            let active = find(&self.slots, kind, SlotState::Active);
            let active = active.filter(|slot| is_valid(slot, now));
            let active = active.ok_or_else(|| format!("the {kind} authority was not replaced"))?;
            let prepared = find(&self.slots, kind, SlotState::Prepared);
            if now > preparation(active) + IN_TIME && prepared.is_none() {
                return Err(format!("the next {kind} authority was not prepared"));
            }
            if now > activation(active) + IN_TIME {
                return Err(format!("the next {kind} authority was not activated"));
            }
        }
        Ok(())
    }

    /// Whether the next authority of this kind is to sign by now.
    pub(crate) fn is_due(&self, kind: Kind, now: SystemTime) -> bool {
        let active = find(&self.slots, kind, SlotState::Active);
        active.is_some_and(|slot| activation(slot) < now)
    }

    /// When something is due next, or is likely to be.
    pub(crate) fn next_due(&self, now: SystemTime) -> Option<SystemTime> {
        let due = |kind| {
            let active = find(&self.slots, kind, SlotState::Active)?;
            let prepared = find(&self.slots, kind, SlotState::Prepared);
            Some(prepared.map_or(preparation(active), |_| activation(active)))
        };
        let dues = KINDS.into_iter().filter_map(due);
        dues.filter(|due| *due >= now).min()
    }
}

/// An agent may lack an authority that signs if it could not have heard of it, and the server need not
/// wait: no longer for anybody, or not for this one, which was gone for long.
fn may_lack(agent: &Agent, published: Instant, predecessor: &Slot, at: &Moment) -> bool {
    let since = |start: Instant| at.instant.duration_since(start) + WHOLE;
    let within = |millis: &Range<u64>| Duration::from_millis(millis.end) + WHOLE;
    let linked = since(agent.link_changed.max(at.started));
    let is_coming = agent.presence.is_none() && linked <= within(&COMES_BACK_WITHIN);
    let is_hearing = agent.presence.is_some() && since(published) <= within(&HEARS_WITHIN);
    let is_forgotten = agent.presence.is_none() && since(agent.left.max(at.started)) >= OFFERED_FOR;
    let is_offered = since(published.max(at.started)) >= patience(published, predecessor, at);
    (!agent.is_linked || is_coming || is_hearing) && (is_offered || is_forgotten)
        || since(at.clock_set) < IN_TIME
}

/// How long an authority is offered: half of what its predecessor has left by then, if that is less.
fn patience(published: Instant, predecessor: &Slot, at: &Moment) -> Duration {
    let offered = at.now - at.instant.duration_since(published.max(at.started));
    let left = predecessor.not_after.duration_since(offered);
    OFFERED_FOR.min(left.unwrap_or_default() / 2)
}

fn find(slots: &[Slot], kind: Kind, state: SlotState) -> Option<&Slot> {
    let is_of = |slot: &Slot| {
        matches!(
            (&slot.kind, kind),
            (SlotKind::X509 { .. }, Kind::X509)
                | (SlotKind::Jwt { .. }, Kind::Jwt)
                | (SlotKind::Wit { .. }, Kind::Wit)
        )
    };
    let mut slots = slots.iter();
    slots.find(|slot| is_of(slot) && slot.state == state)
}

fn has(slots: &[Slot], id: &str) -> bool {
    slots.iter().any(|slot| slot.authority_id == id)
}

fn is_valid(slot: &Slot, now: SystemTime) -> bool {
    now < slot.not_after
}

/// SPIRE's thresholds, for authorities of up to 42 days: the next is made when half of the life is left, and
/// signs when a sixth is.
fn preparation(slot: &Slot) -> SystemTime {
    slot.not_after - life(slot) / 2
}

fn activation(slot: &Slot) -> SystemTime {
    slot.not_after - life(slot) / 6
}

fn life(slot: &Slot) -> Duration {
    slot.not_after.duration_since(slot.issued_at).unwrap()
}
