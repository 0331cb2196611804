//! Signing slots: which key and certificate a server signs with, and which comes next.

use std::time::SystemTime;

use bytes::Bytes;
use signet_proto::signet::store::v1 as wire;
use signet_spiffe::PublicKey;
use wire::authority_record::{Kind, State};

use super::{FieldError, Stored, fields, keys};

/// One signing slot of one server. The private key is in the key manager, under
/// [`Slot::key_manager_id`].
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Whose slot it is.
    pub server_id: String,
    /// Its name, unique for a server: `x509-a`.
    pub slot: String,
    /// Where in its life the authority is.
    pub state: SlotState,
    /// The ID operators know the authority by.
    pub authority_id: String,
    /// The key manager's name of the key.
    pub key_manager_id: String,
    /// When it was made.
    pub issued_at: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
    /// What it signs, and with which public part.
    pub kind: SlotKind,
}

/// Where in its life an authority is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Published, does not sign yet.
    Prepared,
    /// Signs.
    Active,
    /// Signed once; what it signed may still be in use.
    Old,
}

/// What an authority signs.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotKind {
    /// X.509-SVIDs.
    X509 {
        /// The certificate, DER.
        certificate: Bytes,
        /// Its issuers up to the upstream root, without it; empty when self-signed.
        upstream_chain: Vec<Bytes>,
        /// The authority of the upstream it hangs on, if any.
        upstream_authority_id: String,
        /// No longer to be relied on.
        tainted: bool,
    },
    /// JWT-SVIDs.
    Jwt {
        /// The key that verifies them.
        public_key: PublicKey,
        /// No longer to be relied on.
        tainted: bool,
    },
    /// WIT-SVIDs.
    Wit {
        /// The key that verifies them.
        public_key: PublicKey,
        /// No longer to be relied on.
        tainted: bool,
    },
}

impl Stored for Slot {
    type Wire = wire::AuthorityRecord;

    const TAGS: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    fn to_wire(&self) -> Self::Wire {
        wire::AuthorityRecord {
            server_id: self.server_id.clone(),
            slot: self.slot.clone(),
            state: self.state.to_wire().into(),
            authority_id: self.authority_id.clone(),
            key_manager_id: self.key_manager_id.clone(),
            issued_at: fields::seconds(self.issued_at),
            not_after: fields::seconds(self.not_after),
            kind: Some(self.kind.to_wire()),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError> {
        let kind = wire.kind.ok_or(FieldError::Missing { field: "kind" })?;
        Ok(Self {
            server_id: wire.server_id,
            slot: wire.slot,
            state: SlotState::from_wire(wire.state)?,
            authority_id: wire.authority_id,
            key_manager_id: wire.key_manager_id,
            issued_at: fields::time("issued_at", wire.issued_at)?,
            not_after: fields::time("not_after", wire.not_after)?,
            kind: SlotKind::from_wire(kind)?,
        })
    }

    fn key(&self) -> String {
        keys::authority(&self.server_id, &self.slot)
    }
}

impl SlotState {
    fn to_wire(self) -> State {
        match self {
            Self::Prepared => State::Prepared,
            Self::Active => State::Active,
            Self::Old => State::Old,
        }
    }

    fn from_wire(value: i32) -> Result<Self, FieldError> {
        match State::try_from(value) {
            Ok(State::Prepared) => Ok(Self::Prepared),
            Ok(State::Active) => Ok(Self::Active),
            Ok(State::Old) => Ok(Self::Old),
            Ok(State::Unspecified) | Err(_) => Err(FieldError::Enumeration {
                field: "state",
                value,
            }),
        }
    }
}

impl SlotKind {
    fn to_wire(&self) -> Kind {
        let key = |public_key, tainted: &bool| wire::KeySlotRecord {
            public_key: fields::spki(public_key),
            tainted: *tainted,
        };
        match self {
            Self::X509 {
                certificate,
                upstream_chain,
                upstream_authority_id,
                tainted,
            } => Kind::X509(wire::X509SlotRecord {
                certificate: certificate.clone(),
                upstream_chain: upstream_chain.clone(),
                upstream_authority_id: upstream_authority_id.clone(),
                tainted: *tainted,
            }),
            Self::Jwt {
                public_key,
                tainted,
            } => Kind::Jwt(key(public_key, tainted)),
            Self::Wit {
                public_key,
                tainted,
            } => Kind::Wit(key(public_key, tainted)),
        }
    }

    fn from_wire(kind: Kind) -> Result<Self, FieldError> {
        Ok(match kind {
            Kind::X509(slot) => Self::X509 {
                certificate: slot.certificate,
                upstream_chain: slot.upstream_chain,
                upstream_authority_id: slot.upstream_authority_id,
                tainted: slot.tainted,
            },
            Kind::Jwt(slot) => Self::Jwt {
                public_key: fields::public_key(&slot.public_key)?,
                tainted: slot.tainted,
            },
            Kind::Wit(slot) => Self::Wit {
                public_key: fields::public_key(&slot.public_key)?,
                tainted: slot.tainted,
            },
        })
    }
}
