//! Evidence that counts once and was used.

use bytes::Bytes;
use signet_model::{EvidenceId, SingleUse, UsedEvidence};
use signet_proto::signet::store::v1 as wire;

use super::{FieldError, Stored, fields, keys};

impl Stored for UsedEvidence {
    type Wire = wire::UsedEvidenceRecord;

    const TAGS: &'static [u32] = &[1, 2, 3];

    fn to_wire(&self) -> Self::Wire {
        wire::UsedEvidenceRecord {
            hash: Bytes::copy_from_slice(self.what.id.as_bytes()),
            until: fields::seconds(self.what.until),
            taken: Some(fields::taken(&self.taken)),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError> {
        let what = SingleUse {
            id: EvidenceId::from_hash(fields::hash("hash", &wire.hash)?),
            until: fields::time("until", wire.until)?,
        };
        let taken = fields::read_taken(wire.taken.unwrap_or_default())?;
        Ok(Self { what, taken })
    }

    fn key(&self) -> String {
        keys::used(&self.what.id)
    }
}
