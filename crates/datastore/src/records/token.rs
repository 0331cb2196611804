//! Join tokens, by their hash.

use bytes::Bytes;
use signet_model::{JoinToken, TokenId};
use signet_proto::signet::store::v1 as wire;

use super::{FieldError, Stored, fields, keys};

impl Stored for JoinToken {
    type Wire = wire::TokenRecord;

    const TAGS: &'static [u32] = &[1, 2, 3, 4];

    fn to_wire(&self) -> Self::Wire {
        let alias = self.alias.as_ref();
        wire::TokenRecord {
            value_hash: Bytes::copy_from_slice(self.id.as_bytes()),
            expires_at: fields::seconds(self.expires_at),
            agent_alias: alias.map(ToString::to_string).unwrap_or_default(),
            taken: self.taken.as_ref().map(fields::taken),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError> {
        let alias = Some(wire.agent_alias).filter(|alias| !alias.is_empty());
        let alias = alias.map(|alias| fields::id("agent_alias", &alias));
        Ok(Self {
            id: TokenId::from_hash(fields::hash("value_hash", &wire.value_hash)?),
            expires_at: fields::time("expires_at", wire.expires_at)?,
            taken: wire.taken.map(fields::read_taken).transpose()?,
            alias: alias.transpose()?,
        })
    }

    fn key(&self) -> String {
        keys::token(&self.id)
    }
}
