//! Authorities that an operator is replacing, from the beginning to the last revocation.

use std::time::SystemTime;

use signet_proto::signet::store::v1 as wire;

use super::{FieldError, Stored, fields, keys};

/// Authorities of one kind of one server that are to go: all that it had when the replacement began.
/// Kept until none of them is trusted any more, so that whoever goes on knows which those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condemnation {
    /// Whose authorities they are.
    pub server_id: String,
    /// Their kind by its word, as `jwt-alternative`; unique for a server.
    pub kind: String,
    /// The IDs operators know them by.
    pub authority_ids: Vec<String>,
    /// Why they are replaced.
    pub reason: String,
    /// Since when.
    pub begun_at: SystemTime,
}

impl Stored for Condemnation {
    type Wire = wire::CondemnationRecord;

    const TAGS: &'static [u32] = &[1, 2, 3, 4, 5];

    fn to_wire(&self) -> Self::Wire {
        wire::CondemnationRecord {
            server_id: self.server_id.clone(),
            kind: self.kind.clone(),
            authority_ids: self.authority_ids.clone(),
            reason: self.reason.clone(),
            begun_at: fields::seconds(self.begun_at),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError> {
        Ok(Self {
            server_id: wire.server_id,
            kind: wire.kind,
            authority_ids: wire.authority_ids,
            reason: wire.reason,
            begun_at: fields::time("begun_at", wire.begun_at)?,
        })
    }

    fn key(&self) -> String {
        keys::condemnation(&self.server_id, &self.kind)
    }
}
