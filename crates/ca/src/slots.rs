//! Two slots for each kind of authority, and what stands in them. Pure data, as it is kept in the
//! store; the keys themselves are in the key manager, under [`Kind::key_id`].

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use signet_model::lifetime::BACKDATE;

/// The kinds of authority a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Signs X509-SVIDs.
    X509,
    /// Signs JWT-SVIDs.
    Jwt,
    /// Signs the JWT-SVIDs of those audiences that cannot verify the usual key's.
    JwtAlternative,
    /// Signs WIT-SVIDs.
    Wit,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::X509, Self::Jwt, Self::JwtAlternative, Self::Wit];

    /// What it is called where a name must be one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Jwt => "jwt",
            Self::JwtAlternative => "jwt-alternative",
            Self::Wit => "wit",
        }
    }

    /// The name of `slot` in the store.
    #[must_use]
    pub fn slot_name(self, slot: SlotId) -> &'static str {
        match (self, slot) {
            (Self::X509, SlotId::A) => "x509-a",
            (Self::X509, SlotId::B) => "x509-b",
            (Self::Jwt, SlotId::A) => "jwt-a",
            (Self::Jwt, SlotId::B) => "jwt-b",
            (Self::JwtAlternative, SlotId::A) => "jwt-alt-a",
            (Self::JwtAlternative, SlotId::B) => "jwt-alt-b",
            (Self::Wit, SlotId::A) => "wit-a",
            (Self::Wit, SlotId::B) => "wit-b",
        }
    }

    /// The key manager's id for the key in `slot`, as SPIRE names those that it has too.
    #[must_use]
    pub fn key_id(self, slot: SlotId) -> &'static str {
        match (self, slot) {
            (Self::X509, SlotId::A) => "x509-CA-A",
            (Self::X509, SlotId::B) => "x509-CA-B",
            (Self::Jwt, SlotId::A) => "JWT-Signer-A",
            (Self::Jwt, SlotId::B) => "JWT-Signer-B",
            (Self::JwtAlternative, SlotId::A) => "JWT-Alternative-A",
            (Self::JwtAlternative, SlotId::B) => "JWT-Alternative-B",
            (Self::Wit, SlotId::A) => "WIT-Signer-A",
            (Self::Wit, SlotId::B) => "WIT-Signer-B",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X509 => "X.509",
            Self::Jwt => "JWT",
            Self::JwtAlternative => "alternative JWT",
            Self::Wit => "WIT",
        })
    }
}

/// One of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SlotId {
    /// The slot that is filled first.
    A,
    /// The other.
    B,
}

impl SlotId {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The slot beside this one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What an authority is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Published in the bundle, signs nothing yet.
    Prepared,
    /// Signs.
    Active,
    /// Signs no more; stays in the bundle while what it signed is valid.
    Old,
}

/// One authority in its slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name towards operators: the subject key id in hexadecimal, or the JWT key id.
    pub authority_id: String,
    /// What it is good for.
    pub status: Status,
    /// When it was made.
    pub issued_at: SystemTime,
    /// When it expires.
    pub not_after: SystemTime,
}

impl Slot {
    /// Whether the authority may sign now: it is neither over nor from the future. One from the
    /// future was made by a clock that was wrong then, or is now; what it signs fails to verify, or
    /// it would sign for far too long.
    #[must_use]
    pub fn is_valid(&self, now: SystemTime) -> bool {
        !self.is_over(now) && !self.is_from_the_future(now)
    }

    /// Whether the authority has expired.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.not_after <= now
    }

    /// Whether the authority is not valid yet. A certificate is valid [`BACKDATE`] before it was
    /// issued, so a clock may be set back by as much.
    #[must_use]
    pub fn is_from_the_future(&self, now: SystemTime) -> bool {
        now.checked_add(BACKDATE)
            .is_some_and(|latest| latest < self.issued_at)
    }
}

/// The two slots of one kind of authority. At most one is active, at most one prepared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Slot A.
    pub a: Option<Slot>,
    /// Slot B.
    pub b: Option<Slot>,
}

/// Why a change of the slots is refused: it would break what every reader of them relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The slot holds an authority, whose key a new one would overwrite.
    #[error("slot {0:?} is taken; retire what it holds first")]
    Taken(SlotId),
    /// Another slot is prepared already.
    #[error("slot {0:?} is prepared already")]
    AlreadyPrepared(SlotId),
    /// The slot has nothing that could be activated.
    #[error("slot {0:?} holds no prepared authority")]
    NotPrepared(SlotId),
    /// The slot has nothing, or it still signs.
    #[error("slot {0:?} holds no authority that could be retired")]
    NotRetirable(SlotId),
}

impl Slots {
    /// What `slot` holds.
    #[must_use]
    pub fn get(&self, slot: SlotId) -> Option<&Slot> {
        match slot {
            SlotId::A => self.a.as_ref(),
            SlotId::B => self.b.as_ref(),
        }
    }

    /// The slot with `status`, if one has it.
    #[must_use]
    pub fn find(&self, status: Status) -> Option<(SlotId, &Slot)> {
        SlotId::BOTH
            .into_iter()
            .filter_map(|id| self.get(id).map(|slot| (id, slot)))
            .find(|(_, slot)| slot.status == status)
    }

    /// Puts a new authority into the empty `slot`, prepared. To be committed together with its entry
    /// in the bundle, after its key was made.
    ///
    /// # Errors
    /// [`SlotError::Taken`], [`SlotError::AlreadyPrepared`]
    pub fn prepare(
        &mut self,
        slot: SlotId,
        authority_id: String,
        issued_at: SystemTime,
        not_after: SystemTime,
    ) -> Result<(), SlotError> {
        if self.get(slot).is_some() {
            return Err(SlotError::Taken(slot));
        }
        if let Some((prepared, _)) = self.find(Status::Prepared) {
            return Err(SlotError::AlreadyPrepared(prepared));
        }
        let status = Status::Prepared;
        *self.place(slot) = Some(Slot {
            authority_id,
            status,
            issued_at,
            not_after,
        });
        Ok(())
    }

    /// Makes the prepared authority in `slot` the active one; the one before becomes old.
    ///
    /// # Errors
    /// [`SlotError::NotPrepared`]
    pub fn activate(&mut self, slot: SlotId) -> Result<(), SlotError> {
        if self
            .get(slot)
            .is_none_or(|slot| slot.status != Status::Prepared)
        {
            return Err(SlotError::NotPrepared(slot));
        }
        let set = |place: &mut Option<Slot>, status| {
            if let Some(slot) = place {
                slot.status = status;
            }
        };
        set(self.place(slot.other()), Status::Old);
        set(self.place(slot), Status::Active);
        Ok(())
    }

    /// Empties `slot`, which does not sign; its entry in the bundle is not touched by this.
    ///
    /// # Errors
    /// [`SlotError::NotRetirable`]
    pub fn retire(&mut self, slot: SlotId) -> Result<(), SlotError> {
        if self
            .get(slot)
            .is_none_or(|slot| slot.status == Status::Active)
        {
            return Err(SlotError::NotRetirable(slot));
        }
        *self.place(slot) = None;
        Ok(())
    }

    fn place(&mut self, slot: SlotId) -> &mut Option<Slot> {
        match slot {
            SlotId::A => &mut self.a,
            SlotId::B => &mut self.b,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn prepare(slots: &mut Slots, slot: SlotId) -> Result<(), SlotError> {
        slots.prepare(
            slot,
            "id".to_owned(),
            UNIX_EPOCH,
            UNIX_EPOCH + Duration::from_secs(9),
        )
    }

    #[test]
    fn an_authority_goes_from_prepared_to_active_to_old_to_gone() {
        let mut slots = Slots::default();
        prepare(&mut slots, SlotId::A).unwrap();
        slots.activate(SlotId::A).unwrap();
        prepare(&mut slots, SlotId::B).unwrap();
        slots.activate(SlotId::B).unwrap();
        assert_eq!(slots.get(SlotId::A).unwrap().status, Status::Old);
        assert_eq!(slots.find(Status::Active).unwrap().0, SlotId::B);
        slots.retire(SlotId::A).unwrap();
        assert!(slots.get(SlotId::A).is_none());
    }

    #[test]
    fn a_taken_slot_is_not_prepared_over() {
        let mut slots = Slots::default();
        prepare(&mut slots, SlotId::A).unwrap();
        assert_eq!(
            prepare(&mut slots, SlotId::A),
            Err(SlotError::Taken(SlotId::A))
        );
        assert_eq!(
            prepare(&mut slots, SlotId::B),
            Err(SlotError::AlreadyPrepared(SlotId::A))
        );
    }

    #[test]
    fn only_a_prepared_authority_is_activated_and_an_active_one_never_retired() {
        let mut slots = Slots::default();
        assert_eq!(
            slots.activate(SlotId::A),
            Err(SlotError::NotPrepared(SlotId::A))
        );
        assert_eq!(
            slots.retire(SlotId::A),
            Err(SlotError::NotRetirable(SlotId::A))
        );
        prepare(&mut slots, SlotId::A).unwrap();
        slots.activate(SlotId::A).unwrap();
        assert_eq!(
            slots.activate(SlotId::A),
            Err(SlotError::NotPrepared(SlotId::A))
        );
        assert_eq!(
            slots.retire(SlotId::A),
            Err(SlotError::NotRetirable(SlotId::A))
        );
    }

    #[test]
    fn no_two_slots_share_a_name_or_a_key() {
        let all = || {
            Kind::ALL
                .iter()
                .flat_map(|kind| SlotId::BOTH.map(|slot| (*kind, slot)))
        };
        let names: BTreeSet<_> = all().map(|(kind, slot)| kind.slot_name(slot)).collect();
        let keys: BTreeSet<_> = all().map(|(kind, slot)| kind.key_id(slot)).collect();
        assert_eq!((names.len(), keys.len()), (8, 8));
    }

    #[test]
    fn an_authority_is_valid_from_ten_seconds_before_it_was_made_until_its_end() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let slot = Slot {
            authority_id: "id".to_owned(),
            status: Status::Active,
            issued_at: at(100),
            not_after: at(200),
        };
        assert!(slot.is_from_the_future(at(89)) && !slot.is_valid(at(89)));
        assert!(slot.is_valid(at(90)) && slot.is_valid(at(199)));
        assert!(slot.is_over(at(200)) && !slot.is_valid(at(200)));
    }

    #[test]
    fn slots_survive_serialization() {
        let mut slots = Slots::default();
        prepare(&mut slots, SlotId::B).unwrap();
        let text = serde_json::to_string(&slots).unwrap();
        assert_eq!(serde_json::from_str::<Slots>(&text).unwrap(), slots);
    }
}
