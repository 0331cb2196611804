//! Authorities that are being replaced because their keys are not to be trusted any more.
//!
//! ```text
//! condemn ─▶ prepare ─▶ supersede ─▶ conclude
//!            (made after it)  ╰ taint: if the rotation let the successor sign first
//! ```
//!
//! Which authorities are to go is kept from the first commit to the last; what is to be done next
//! follows from that, the slots and the bundle alone. So it does not matter who stopped where, nor
//! what the ordinary rotation did meanwhile: each act looks anew, and does nothing if it is done.

use super::fault::LocalFault;
use super::manual::LocalAuthority;
use super::reconcile::Reconciler;
use super::shelf::Shelf;
use super::stored;
use crate::state::{Plan, Snapshot};
use signet_ca::slots::{Kind, SlotId, Slots, Status};
use signet_datastore::records::{Condemnation, Slot, SlotState};
use signet_model::Change;
use std::sync::Arc;

/// What is to be done next for condemned authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// One of them signs, and there is none to take its place.
    Prepare,
    /// One of them signs, and this one is to take its place, once it is known to all.
    Supersede(String),
    /// None of them signs, and these are still trusted.
    Taint(Vec<String>),
    /// None of them signs nor is trusted; these are still accepted.
    Revoke(Vec<String>),
    /// Nothing is left of them.
    Nothing,
}

/// What is to be done next for the `condemned`, of which the bundle says `is_tainted`, if it has them.
fn due(condemned: &[String], slots: &Slots, is_tainted: impl Fn(&str) -> Option<bool>) -> Due {
    let goes = |id: &String| condemned.contains(id);
    let id = |status| slots.find(status).map(|(_, slot)| &slot.authority_id);
    if id(Status::Active).is_some_and(goes) {
        return match id(Status::Prepared).filter(|next| !goes(next)) {
            Some(next) => Due::Supersede(next.clone()),
            None => Due::Prepare,
        };
    }
    let with = |tainted: bool| -> Vec<_> {
        let condemned = condemned.iter();
        let with = condemned.filter(|id| is_tainted(id) == Some(tainted));
        with.cloned().collect()
    };
    match (with(false), with(true)) {
        (trusted, _) if !trusted.is_empty() => Due::Taint(trusted),
        (_, tainted) if !tainted.is_empty() => Due::Revoke(tainted),
        _ => Due::Nothing,
    }
}

impl Reconciler {
    /// Begins the replacement of the authority that signs and of the one that signed before it: the
    /// key manager holds the keys of both. What was prepared is dropped, so that whatever is prepared
    /// afterwards has a key made after this moment.
    ///
    /// With the reason of a replacement that is not finished, nothing is done: it goes on. With
    /// another one, its authorities are taken in. The answer is the authorities that are to go.
    pub async fn condemn_now(&self, kind: Kind, reason: &str) -> Result<Condemnation, LocalFault> {
        self.spec(kind)?;
        self.has_no_upstream(kind)?;
        let _turn = self.turn(kind).await?;
        let condemn = |snapshot: &Snapshot| {
            let before = self.condemned(snapshot, kind);
            let before = before.filter(|before| self.due(snapshot, kind, before) != Due::Nothing);
            if let Some(before) = before.filter(|before| before.reason == reason) {
                return Ok((Plan::default(), before.clone()));
            }
            let now = Condemnation {
                server_id: self.server_id.clone(),
                kind: kind.word().to_owned(),
                authority_ids: self.to_condemn(snapshot, kind, before)?,
                reason: reason.to_owned(),
                begun_at: self.clock.now(),
            };
            let prepared = self.slots_in(snapshot, kind, SlotState::Prepared).next();
            let plan =
                prepared.map_or_else(Plan::default, |held| self.removal(snapshot, kind, held));
            Ok((plan.condemn(now.clone()), now))
        };
        self.state.change::<_, LocalFault, _>(condemn).await
    }

    /// What is to be done next for the authorities of this kind that are being replaced.
    pub fn due_now(&self, kind: Kind) -> Due {
        let snapshot = self.state.read();
        let condemned = self.condemned(&snapshot, kind);
        condemned.map_or(Due::Nothing, |condemned| {
            self.due(&snapshot, kind, condemned)
        })
    }

    /// Prepares what takes the place of a condemned authority, if nothing is prepared. What is
    /// prepared then.
    pub async fn prepare_successor(
        &self,
        kind: Kind,
    ) -> Result<Option<LocalAuthority>, LocalFault> {
        let spec = self.spec(kind)?;
        let _turn = self.turn(kind).await?;
        if self.due_now(kind) != Due::Prepare {
            return Ok(None);
        }
        let slot = self.slot_beside_active(kind)?;
        self.vacate(kind, slot).await?;
        let prepared = self.prepare(&spec, slot).await?;
        Ok(Some(LocalAuthority::from(&prepared)))
    }

    /// Ends the trust in the condemned authorities. If one of them signs, `next` signs from now on, in
    /// the same commit: there is no moment in which an authority signs no more and yet is trusted,
    /// after which nobody knew that it must go. The answer is those that are tainted by this.
    pub async fn supersede_now(&self, kind: Kind, next: &str) -> Result<Vec<String>, LocalFault> {
        let _turn = self.turn(kind).await?;
        let supersede = |snapshot: &Snapshot| {
            let Some(condemned) = self.condemned(snapshot, kind) else {
                return Ok((Plan::default(), Vec::new()));
            };
            let exchange = match self.due(snapshot, kind, condemned) {
                Due::Supersede(prepared) if prepared == next => true,
                Due::Taint(_) => false,
                Due::Supersede(_) | Due::Prepare | Due::Revoke(_) | Due::Nothing => {
                    return Ok((Plan::default(), Vec::new()));
                }
            };
            Ok(self.end_trust(snapshot, kind, &condemned.authority_ids, exchange))
        };
        let tainted = self.state.change::<_, LocalFault, _>(supersede).await?;
        for id in &tainted {
            tracing::warn!(authority_id = id, kind = %kind, "an authority was superseded");
        }
        self.load(kind).await?;
        Ok(tainted)
    }

    /// Takes the condemned authorities out of the bundle and the slots, if none of them signs or is
    /// trusted: the replacement is over. The answer is those that are gone by this.
    pub async fn conclude_now(&self, kind: Kind) -> Result<Vec<String>, LocalFault> {
        let _turn = self.turn(kind).await?;
        let conclude = |snapshot: &Snapshot| {
            let Some(condemned) = self.condemned(snapshot, kind) else {
                return Ok((Plan::default(), Vec::new()));
            };
            let over = match self.due(snapshot, kind, condemned) {
                Due::Revoke(ids) => ids,
                Due::Nothing => Vec::new(),
                Due::Prepare | Due::Supersede(_) | Due::Taint(_) => {
                    return Ok((Plan::default(), Vec::new()));
                }
            };
            let mut bundle = self.bundle(snapshot);
            for id in &over {
                self.is_not_upstream(kind, id)?;
                Shelf::of(kind).remove(&mut bundle, id);
            }
            let plan = self
                .slots_in(snapshot, kind, SlotState::Old)
                .filter(|slot| condemned.authority_ids.contains(&slot.authority_id))
                .fold(Plan::default(), Plan::drop_slot);
            let plan = match over.is_empty() {
                true => plan,
                false => plan.change(Change::PutBundle(Arc::new(bundle))),
            };
            Ok((plan.drop_condemnation(condemned), over))
        };
        let revoked = self.state.change::<_, LocalFault, _>(conclude).await?;
        for id in &revoked {
            tracing::warn!(authority_id = id, kind = %kind, "an authority was revoked");
        }
        Ok(revoked)
    }

    fn condemned<'a>(&self, snapshot: &'a Snapshot, kind: Kind) -> Option<&'a Condemnation> {
        snapshot.condemned(&self.server_id, kind.word())
    }

    fn due(&self, snapshot: &Snapshot, kind: Kind, condemned: &Condemnation) -> Due {
        let bundle = self.bundle(snapshot);
        let slots = stored::slots(snapshot, &self.server_id, kind);
        due(&condemned.authority_ids, &slots, |id| {
            let published = Shelf::of(kind).find(&bundle, id);
            published.map(|published| published.tainted)
        })
    }

    /// What signs, what signed, and what was condemned before and is not gone.
    fn to_condemn(
        &self,
        snapshot: &Snapshot,
        kind: Kind,
        before: Option<&Condemnation>,
    ) -> Result<Vec<String>, LocalFault> {
        let mut active = self.slots_in(snapshot, kind, SlotState::Active);
        let active = active.next().ok_or(LocalFault::Initializing)?;
        let old = self.slots_in(snapshot, kind, SlotState::Old);
        let ids = [active].into_iter().chain(old);
        let mut ids: Vec<_> = ids.map(|slot| slot.authority_id.clone()).collect();
        let bundle = self.bundle(snapshot);
        for id in before.iter().flat_map(|before| &before.authority_ids) {
            if !ids.contains(id) && Shelf::of(kind).find(&bundle, id).is_some() {
                ids.push(id.clone());
            }
        }
        Ok(ids)
    }

    fn slots_in<'a>(
        &self,
        snapshot: &'a Snapshot,
        kind: Kind,
        state: SlotState,
    ) -> impl Iterator<Item = &'a Slot> {
        let slots = SlotId::BOTH.map(|id| stored::slot(snapshot, &self.server_id, kind, id));
        let slots = slots.into_iter().flatten();
        slots.filter(move |slot| slot.state == state)
    }

    /// Taints these in the bundle and in the slots; with `exchange`, the prepared authority signs from
    /// then on. Also those that are tainted by this.
    fn end_trust(
        &self,
        snapshot: &Snapshot,
        kind: Kind,
        ids: &[String],
        exchange: bool,
    ) -> (Plan, Vec<String>) {
        let shelf = Shelf::of(kind);
        let mut bundle = self.bundle(snapshot);
        let trusted = |id: &&String| shelf.find(&bundle, id).is_some_and(|found| !found.tainted);
        let tainted: Vec<_> = ids.iter().filter(trusted).cloned().collect();
        for id in &tainted {
            shelf.taint(&mut bundle, id);
        }
        let plan = Plan::default().change(Change::PutBundle(Arc::new(bundle)));
        let slots = SlotId::BOTH.map(|id| stored::slot(snapshot, &self.server_id, kind, id));
        let plan = slots.into_iter().flatten().fold(plan, |plan, slot| {
            let state = match slot.state {
                SlotState::Prepared if exchange => SlotState::Active,
                SlotState::Active if exchange => SlotState::Old,
                other => other,
            };
            let slot = match ids.contains(&slot.authority_id) {
                true => stored::tainted(slot),
                false => slot.clone(),
            };
            plan.put_slot(Slot { state, ..slot })
        });
        (plan, tainted)
    }
}
