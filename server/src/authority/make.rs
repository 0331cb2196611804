//! Making an authority: the key, what certifies it, the slot's record and what is to be published.

use super::fault::AuthorityFault;
use super::parent::Wanted;
use super::reconcile::Reconciler;
use super::spec::Spec;
use crate::bundles::Addition;
use signet_ca::slots::{Kind, SlotId};
use signet_datastore::records::{Slot, SlotKind, SlotState};
use signet_keys::Signer;
use signet_spiffe::JwtAuthority;
use std::sync::Arc;
use std::time::SystemTime;

/// A new authority that nobody has heard of yet.
pub(super) struct Made {
    /// Its record, prepared.
    pub(super) slot: Slot,
    /// What makes it known.
    pub(super) addition: Addition,
}

impl Reconciler {
    /// Makes a key for the empty slot, in place of any that no slot names, and an authority of it.
    pub(super) async fn make(&self, spec: &Spec, slot: SlotId) -> Result<Made, AuthorityFault> {
        let key = spec.kind.key_id(slot);
        let signer = self.keys.generate(key, spec.key_type).await?;
        match spec.kind {
            Kind::X509 => self.make_x509(slot, signer).await,
            Kind::Jwt | Kind::JwtAlternative | Kind::Wit => {
                self.make_key(spec.kind, slot, &*signer)
            }
        }
    }

    async fn make_x509(
        &self,
        slot: SlotId,
        signer: Arc<dyn Signer>,
    ) -> Result<Made, AuthorityFault> {
        let now = self.clock.now();
        let wanted = Wanted {
            trust_domain: &self.trust_domain,
            signer,
            ttl: self.ttl,
            random: &*self.random,
            now,
        };
        let certified = self.parent.certify(wanted).await?;
        let authority = &certified.authority;
        let bytes = |der: &Arc<[u8]>| bytes::Bytes::copy_from_slice(der);
        let kind = SlotKind::X509 {
            certificate: bytes(authority.certificate_der()),
            upstream_chain: authority.upstream_chain().iter().map(bytes).collect(),
            upstream_authority_id: certified.upstream_authority_id,
            tainted: false,
        };
        let life = (now, authority.not_after());
        Ok(Made {
            slot: self.prepared(Kind::X509, slot, authority.authority_id(), life, kind),
            addition: Addition {
                x509: certified.roots,
                ..Addition::default()
            },
        })
    }

    fn make_key(
        &self,
        kind: Kind,
        slot: SlotId,
        signer: &dyn Signer,
    ) -> Result<Made, AuthorityFault> {
        let now = self.clock.now();
        let not_after = now + self.ttl;
        let key_id = signet_ca::new_key_id(&*self.random);
        let public_key = signer.public_key().clone();
        let published = JwtAuthority {
            expires_at: Some(not_after),
            ..JwtAuthority::new(key_id.clone(), public_key.clone())?
        };
        let tainted = false;
        let mut addition = Addition::default();
        let content = match kind {
            Kind::Wit => {
                addition.wit.push(published);
                SlotKind::Wit {
                    public_key,
                    tainted,
                }
            }
            _ => {
                addition.jwt.push(published);
                SlotKind::Jwt {
                    public_key,
                    tainted,
                }
            }
        };
        let slot = self.prepared(kind, slot, key_id, (now, not_after), content);
        Ok(Made { slot, addition })
    }

    fn prepared(
        &self,
        kind: Kind,
        slot: SlotId,
        authority_id: String,
        (issued_at, not_after): (SystemTime, SystemTime),
        content: SlotKind,
    ) -> Slot {
        Slot {
            server_id: self.server_id.clone(),
            slot: kind.slot_name(slot).to_owned(),
            state: SlotState::Prepared,
            authority_id,
            key_manager_id: kind.key_id(slot).to_owned(),
            issued_at,
            not_after,
            kind: content,
        }
    }
}
