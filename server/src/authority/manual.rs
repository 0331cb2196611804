//! What an operator does to authorities by hand, by SPIRE's rules: each act is one commit.
//!
//! ```text
//! prepare ─▶ activate ─▶ taint the old one ─▶ revoke it
//! ```

use super::fault::LocalFault;
use super::reconcile::Reconciler;
use super::shelf::Shelf;
use super::spec::Spec;
use super::stored;
use crate::state::{Plan, Snapshot};
use signet_ca::slots::{Kind, SlotId, Status};
use signet_datastore::records::{Slot, SlotState};
use signet_model::Change;
use std::sync::Arc;
use std::time::SystemTime;

/// What an operator sees of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAuthority {
    /// The subject key id in hexadecimal, or the key id.
    pub authority_id: String,
    /// When it expires, if that is known.
    pub expires_at: Option<SystemTime>,
    /// The subject key id of the upstream authority it hangs on, or empty.
    pub upstream_authority_id: String,
}

/// The authorities of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAuthorities {
    /// The one that signs.
    pub active: LocalAuthority,
    /// The one that is to sign next.
    pub prepared: Option<LocalAuthority>,
    /// The one that signed before.
    pub old: Option<LocalAuthority>,
}

impl From<&Slot> for LocalAuthority {
    fn from(slot: &Slot) -> Self {
        Self {
            authority_id: slot.authority_id.clone(),
            expires_at: Some(slot.not_after),
            upstream_authority_id: stored::upstream(slot).unwrap_or_default().to_owned(),
        }
    }
}

impl Reconciler {
    /// The authorities of this kind.
    pub fn local_authorities(&self, kind: Kind) -> Result<LocalAuthorities, LocalFault> {
        self.spec(kind)?;
        let snapshot = self.state.read();
        let find = |state| {
            let slots = SlotId::BOTH.into_iter();
            let mut slots =
                slots.filter_map(|id| stored::slot(&snapshot, &self.server_id, kind, id));
            slots
                .find(|slot| slot.state == state)
                .map(LocalAuthority::from)
        };
        Ok(LocalAuthorities {
            active: find(SlotState::Active).ok_or(LocalFault::Initializing)?,
            prepared: find(SlotState::Prepared),
            old: find(SlotState::Old),
        })
    }

    /// The kind of JWT key that this ID names: operators need not know that there may be two.
    pub fn jwt_kind_of(&self, id: &str) -> Kind {
        let alternative = SlotId::BOTH
            .into_iter()
            .filter_map(|slot| self.stored(Kind::JwtAlternative, slot))
            .any(|slot| slot.authority_id == id);
        match alternative {
            true => Kind::JwtAlternative,
            false => Kind::Jwt,
        }
    }

    /// Prepares the next authority. What was prepared before is replaced, what is old makes room.
    pub async fn prepare_now(&self, kind: Kind) -> Result<LocalAuthority, LocalFault> {
        let spec = self.spec(kind)?;
        let _turn = self.turn(kind).await?;
        let slot = self.slot_beside_active(kind)?;
        self.vacate(kind, slot).await?;
        let prepared = self.prepare(&spec, slot).await?;
        Ok(LocalAuthority::from(&prepared))
    }

    /// Lets the prepared authority sign at once. Whoever lacks it is named, and stops nothing.
    pub async fn activate_now(&self, kind: Kind, id: &str) -> Result<LocalAuthority, LocalFault> {
        self.spec(kind)?;
        if id.is_empty() {
            return Err(LocalFault::NoId);
        }
        let _turn = self.turn(kind).await?;
        let slot = self.slot_beside_active(kind)?;
        let next = self
            .stored(kind, slot)
            .filter(|next| next.authority_id == id);
        if next.ok_or(LocalFault::NotNext)?.state != SlotState::Prepared {
            return Err(LocalFault::NotPrepared);
        }
        self.name_those_without(kind, slot);
        let active = self.activate(kind, slot).await?;
        Ok(LocalAuthority::from(&active))
    }

    /// Marks an authority that no longer signs as not to be relied on. It may be in our old slot, or
    /// have left the slots already; but it may not sign on any server.
    pub async fn taint_now(&self, kind: Kind, id: &str) -> Result<LocalAuthority, LocalFault> {
        self.has_no_upstream(kind)?;
        self.retire_now(kind, id, Retirement::Taint).await
    }

    /// Takes a tainted authority out of the bundle: nothing that it signed is valid any more.
    pub async fn revoke_now(&self, kind: Kind, id: &str) -> Result<LocalAuthority, LocalFault> {
        self.has_no_upstream(kind)?;
        self.is_not_upstream(kind, id)?;
        self.retire_now(kind, id, Retirement::Revoke).await
    }

    /// Taints the upstream authority that the old authority hangs on.
    pub async fn taint_upstream_now(&self, id: &str) -> Result<String, LocalFault> {
        self.retire_upstream(id, Retirement::Taint).await
    }

    /// Takes the tainted upstream authority that the old authority hangs on out of the bundle.
    pub async fn revoke_upstream_now(&self, id: &str) -> Result<String, LocalFault> {
        self.retire_upstream(id, Retirement::Revoke).await
    }

    pub(super) fn spec(&self, kind: Kind) -> Result<Spec, LocalFault> {
        let spec = self.specs.iter().find(|spec| spec.kind == kind);
        spec.copied().ok_or(LocalFault::Disabled(kind))
    }

    pub(super) fn slot_beside_active(&self, kind: Kind) -> Result<SlotId, LocalFault> {
        let slots = self.slots(kind);
        let active = slots.find(Status::Active).ok_or(LocalFault::Initializing)?;
        Ok(active.0.other())
    }

    pub(super) fn has_no_upstream(&self, kind: Kind) -> Result<(), LocalFault> {
        match kind == Kind::X509 && self.parent.is_upstream() {
            true => Err(LocalFault::HasUpstream),
            false => Ok(()),
        }
    }

    /// What the upstream publishes comes back with its next answer, trusted again.
    pub(super) fn is_not_upstream(&self, kind: Kind, id: &str) -> Result<(), LocalFault> {
        let upstream = self.parent.upstream();
        match upstream.is_some_and(|upstream| upstream.has_key(Shelf::of(kind), id)) {
            true => Err(LocalFault::UpstreamHas { id: id.to_owned() }),
            false => Ok(()),
        }
    }

    async fn retire_now(
        &self,
        kind: Kind,
        id: &str,
        how: Retirement,
    ) -> Result<LocalAuthority, LocalFault> {
        self.spec(kind)?;
        if id.is_empty() {
            return Err(LocalFault::NoId);
        }
        let _turn = self.turn(kind).await?;
        let shelf = Shelf::of(kind);
        let retire = |snapshot: &Snapshot| {
            let slots: Vec<&Slot> = snapshot
                .slots()
                .filter(|slot| shelf.holds(&slot.kind) && slot.authority_id == id)
                .collect();
            for slot in &slots {
                may_be_retired(slot.state)?;
            }
            let (plan, expires_at) = self.retirement(snapshot, shelf, id, how)?;
            let plan = slots.iter().fold(plan, |plan, slot| match how {
                Retirement::Taint => plan.put_slot(stored::tainted(slot)),
                Retirement::Revoke => plan.drop_slot(slot),
            });
            Ok((plan, expires_at))
        };
        let expires_at = self.state.change::<_, LocalFault, _>(retire).await?;
        tracing::warn!(authority_id = id, kind = %kind, "an authority was {}", how.done());
        Ok(LocalAuthority {
            authority_id: id.to_owned(),
            expires_at,
            upstream_authority_id: String::new(),
        })
    }

    async fn retire_upstream(&self, id: &str, how: Retirement) -> Result<String, LocalFault> {
        if !self.parent.is_upstream() {
            return Err(LocalFault::NoUpstream);
        }
        let id = id.to_ascii_lowercase();
        if id.is_empty() {
            return Err(LocalFault::NoId);
        }
        let _turn = self.turn(Kind::X509).await?;
        let retire = |snapshot: &Snapshot| {
            let hangs = |state| {
                let mut slots = SlotId::BOTH
                    .into_iter()
                    .filter_map(|slot| stored::slot(snapshot, &self.server_id, Kind::X509, slot))
                    .filter(|slot| slot.state == state);
                slots.any(|slot| stored::upstream(slot) == Some(&id))
            };
            if !hangs(SlotState::Old) || hangs(SlotState::Active) || hangs(SlotState::Prepared) {
                return Err(LocalFault::OtherUpstream);
            }
            let (plan, _) = self.retirement(snapshot, Shelf::X509, &id, how)?;
            Ok((plan, ()))
        };
        self.state.change::<_, LocalFault, _>(retire).await?;
        tracing::warn!(
            subject_key_id = id,
            "an upstream authority was {}",
            how.done()
        );
        Ok(id)
    }

    /// The change of the bundle, and when the authority expires.
    fn retirement(
        &self,
        snapshot: &Snapshot,
        shelf: Shelf,
        id: &str,
        how: Retirement,
    ) -> Result<(Plan, Option<SystemTime>), LocalFault> {
        let mut bundle = self.bundle(snapshot);
        let published = shelf.find(&bundle, id).ok_or(LocalFault::Unknown)?;
        match how {
            Retirement::Taint if published.tainted => return Err(LocalFault::AlreadyTainted),
            Retirement::Taint => shelf.taint(&mut bundle, id),
            Retirement::Revoke if !published.tainted => return Err(LocalFault::NotTainted),
            Retirement::Revoke => shelf.remove(&mut bundle, id),
        }
        let plan = Plan::default().change(Change::PutBundle(Arc::new(bundle)));
        Ok((plan, published.expires_at))
    }
}

#[derive(Debug, Clone, Copy)]
enum Retirement {
    Taint,
    Revoke,
}

impl Retirement {
    fn done(self) -> &'static str {
        match self {
            Self::Taint => "tainted",
            Self::Revoke => "revoked",
        }
    }
}

fn may_be_retired(state: SlotState) -> Result<(), LocalFault> {
    match state {
        SlotState::Active => Err(LocalFault::Active),
        SlotState::Prepared => Err(LocalFault::Prepared),
        SlotState::Old => Ok(()),
    }
}
