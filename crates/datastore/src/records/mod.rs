//! The bytes behind the keys: our types to protobuf (`signet.store.v1`) and back.
//!
//! A record may come from a newer program of the same schema. Fields this one does not know are
//! kept when it rewrites the record ([`Unknown`]; at the top level of a record), and records of a
//! kind it does not know are left alone ([`Fact::Other`]). What it does know must be right: every
//! decoding goes through the parsers of our types, so that nothing enters the index unchecked.

mod agent;
mod authority;
mod bundle;
mod condemnation;
mod entry;
mod error;
mod fields;
pub mod keys;
mod ledger;
mod token;
mod unknown;
mod used;

use bytes::{Bytes, BytesMut};
use prost::Message;
use signet_model::{Agent, Change, Entry, JoinToken, UsedEvidence};
use signet_spiffe::{Bundle, TrustDomain};

pub use authority::{Slot, SlotKind, SlotState};
pub use condemnation::Condemnation;
pub use error::{FieldError, RecordError};
pub use ledger::Ledger;
pub use unknown::Unknown;

use crate::{Committed, MAX_VALUE, Record};
use keys::Kind;

/// What can be stored. Implemented for the types of [`Fact`], and for nothing else.
pub trait Stored: Sized {
    /// Its protobuf message.
    #[doc(hidden)]
    type Wire: Message + Default;
    /// The numbers of all fields of the message, in order; all others are [`Unknown`].
    #[doc(hidden)]
    const TAGS: &'static [u32];
    #[doc(hidden)]
    fn to_wire(&self) -> Self::Wire;
    #[doc(hidden)]
    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError>;
    /// The key it is stored under.
    fn key(&self) -> String;
}

/// Encodes `value`, with the unknown fields of the record it replaces.
pub fn encode<T: Stored>(value: &T, unknown: &Unknown) -> Bytes {
    let wire = value.to_wire();
    let mut bytes = BytesMut::with_capacity(wire.encoded_len() + unknown.len());
    wire.encode(&mut bytes)
        .expect("a growing buffer has room for every message");
    bytes.extend_from_slice(unknown.as_bytes());
    bytes.freeze()
}

/// Decodes the value of a record whose kind is known, with the fields this program does not know.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<(T, Unknown), FieldError> {
    if bytes.len() > MAX_VALUE {
        let length = bytes.len();
        return Err(FieldError::TooLong { length });
    }
    let wire = T::Wire::decode(bytes).map_err(FieldError::Wire)?;
    let unknown = Unknown::scan(bytes, T::TAGS).ok_or(FieldError::Groups)?;
    Ok((T::from_wire(wire)?, unknown))
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A registration entry.
    Entry(Entry),
    /// An attested agent.
    Agent(Agent),
    /// A join token.
    Token(JoinToken),
    /// Evidence that counts once and was used.
    Used(UsedEvidence),
    /// The bundle of a trust domain.
    Bundle(Bundle),
    /// A signing slot of a server.
    Slot(Slot),
    /// Authorities that are being replaced.
    Condemnation(Condemnation),
    /// A uniqueness record, or a kind that only a newer program knows.
    Other,
}

impl Fact {
    /// Reads a record. It must stand under its own key, and an agent in `trust_domain`.
    pub fn read(record: &Record, trust_domain: &TrustDomain) -> Result<Self, RecordError> {
        Self::read_unknown(record, trust_domain).map(|(fact, _)| fact)
    }

    fn read_unknown(record: &Record, td: &TrustDomain) -> Result<(Self, Unknown), RecordError> {
        match Kind::of(&record.key) {
            Some(Kind::Entry) => at_its_key(record).map(|(v, u)| (Self::Entry(v), u)),
            Some(Kind::Token) => at_its_key(record).map(|(v, u)| (Self::Token(v), u)),
            Some(Kind::Used) => at_its_key(record).map(|(v, u)| (Self::Used(v), u)),
            Some(Kind::Bundle) => at_its_key(record).map(|(v, u)| (Self::Bundle(v), u)),
            Some(Kind::Authority) => at_its_key(record).map(|(v, u)| (Self::Slot(v), u)),
            Some(Kind::Condemnation) => at_its_key(record).map(|(v, u)| (Self::Condemnation(v), u)),
            Some(Kind::Agent) => {
                let (agent, unknown) = at_its_key::<Agent>(record)?;
                match agent.id.trust_domain() == td {
                    true => Ok((Self::Agent(agent), unknown)),
                    false => Err(RecordError::new(record, FieldError::ForeignAgent)),
                }
            }
            None => Ok((Self::Other, Unknown::default())),
        }
    }

    /// The change to the index that this fact is, if the index has an interest in it.
    pub fn into_change(self) -> Option<Change> {
        match self {
            Self::Entry(entry) => Some(Change::PutEntry(entry.into())),
            Self::Agent(agent) => Some(Change::PutAgent(agent.into())),
            Self::Token(token) => Some(Change::PutToken(token.into())),
            Self::Used(used) => Some(Change::PutUsed(used.into())),
            Self::Bundle(bundle) => Some(Change::PutBundle(bundle.into())),
            Self::Slot(_) | Self::Condemnation(_) | Self::Other => None,
        }
    }
}

fn at_its_key<T: Stored>(record: &Record) -> Result<(T, Unknown), RecordError> {
    let (value, unknown) =
        decode::<T>(&record.value).map_err(|problem| RecordError::new(record, problem))?;
    match value.key() == record.key {
        true => Ok((value, unknown)),
        false => Err(RecordError::new(record, FieldError::WrongKey)),
    }
}

/// What a commit changes in the index of the server of `trust_domain`.
pub fn changes(
    committed: &Committed,
    trust_domain: &TrustDomain,
) -> Result<Vec<Change>, RecordError> {
    let deletes = committed.deletes.iter();
    let deletes = deletes.filter_map(|key| keys::deleted(key, trust_domain));
    let mut changes: Vec<Change> = deletes.collect();
    for record in &committed.puts {
        changes.extend(Fact::read(record, trust_domain)?.into_change());
    }
    Ok(changes)
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
