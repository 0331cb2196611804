//! Agents.

use bytes::Bytes;
use signet_model::{Agent, Attestation, TokenHold, TokenId};
use signet_proto::signet::store::v1 as wire;
use signet_spiffe::Serial;

use super::{FieldError, Stored, fields, keys};

impl Stored for Agent {
    type Wire = wire::AgentRecord;

    const TAGS: &'static [u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    fn to_wire(&self) -> Self::Wire {
        let pending = self.pending.as_ref();
        wire::AgentRecord {
            id: self.id.to_string(),
            attestation_type: self.attestation_type.clone(),
            serial: self.serial.as_ref().map(serial),
            expires_at: fields::seconds(self.expires_at),
            pending: pending.map(|(number, end)| wire::PendingSvidRecord {
                serial: serial(number),
                expires_at: fields::seconds(*end),
            }),
            selectors: fields::selectors(&self.selectors),
            can_reattest: self.can_reattest,
            agent_version: self.agent_version.clone(),
            token: self.token.as_ref().map(|hold| wire::TokenHoldRecord {
                token_hash: Bytes::copy_from_slice(hold.token.as_bytes()),
            }),
            attested: self
                .attestation
                .as_ref()
                .map(|attestation| wire::AttestationRecord {
                    at: fields::seconds(attestation.at),
                    proofs: attestation.proofs.clone(),
                }),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError> {
        let pending = |pending: wire::PendingSvidRecord| {
            let end = fields::time("pending.expires_at", pending.expires_at)?;
            Ok((Serial::from_bytes(&pending.serial), end))
        };
        let hold = |hold: wire::TokenHoldRecord| {
            let hash = fields::hash("token.token_hash", &hold.token_hash)?;
            let token = TokenId::from_hash(hash);
            Ok(TokenHold { token })
        };
        let attestation = |attested: wire::AttestationRecord| {
            let at = fields::time("attested.at", attested.at)?;
            let proofs = attested.proofs;
            Ok(Attestation { at, proofs })
        };
        Ok(Self {
            id: fields::id("id", &wire.id)?,
            attestation_type: wire.attestation_type,
            serial: wire.serial.map(|bytes| Serial::from_bytes(&bytes)),
            expires_at: fields::time("expires_at", wire.expires_at)?,
            pending: wire.pending.map(pending).transpose()?,
            selectors: fields::selector_set(&wire.selectors)?,
            can_reattest: wire.can_reattest,
            agent_version: wire.agent_version,
            token: wire.token.map(hold).transpose()?,
            attestation: wire.attested.map(attestation).transpose()?,
        })
    }

    fn key(&self) -> String {
        keys::agent(&self.id)
    }
}

fn serial(serial: &Serial) -> Bytes {
    Bytes::copy_from_slice(serial.as_bytes())
}
