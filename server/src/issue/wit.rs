//! Issuing WIT-SVIDs: for workloads by their entries, and minted for administrators.
//!
//! Of a request only the key to bind to and its algorithm come through.

use super::IssueFault;
use crate::audit::{self, AuditEventExt};
use crate::authority::NoAuthority;
use crate::caller::Authorized;
use crate::issuer::Issuer;
use signet_ca::slots::Kind;
use signet_ca::{IssuedWit, WitAuthorityKey};
use signet_crypto::{hex, sha256};
use signet_model::{
    Approved, AuditEvent, Credential, Moment, ProofKey, Refusal, WitGrant, mint_wit, workload_wit,
};
use signet_spiffe::{JwsAlgorithm, PublicKey, SpiffeId};
use std::sync::Arc;
use std::time::Duration;

/// The key that a WIT-SVID is to be bound to, as a caller names it.
#[derive(Debug, Clone)]
pub struct ProofKeyWanted {
    /// The key as a SubjectPublicKeyInfo in DER.
    pub public_key: bytes::Bytes,
    /// The algorithm of its proofs, by its JOSE name.
    pub algorithm: String,
}

/// One WIT-SVID that an agent asks for.
#[derive(Debug, Clone)]
pub struct WitWanted {
    /// By which entry.
    pub entry_id: String,
    /// Bound to which key.
    pub proof_key: ProofKeyWanted,
}

impl Issuer {
    /// Issues a WIT-SVID by an entry that the agent is authorized for.
    pub async fn issue_wit(
        &self,
        by: &Authorized,
        agent: &SpiffeId,
        wanted: &WitWanted,
    ) -> Result<(IssuedWit, SpiffeId), IssueFault> {
        let record = audit::event(by, "wit.issue");
        if wanted.entry_id.is_empty() {
            return Err(self.refuse(record, IssueFault::NoEntryId));
        }
        let (authority, proof_key) = match self.read_wit(&wanted.proof_key) {
            Ok(read) => read,
            Err(fault) => return Err(self.refuse(record, fault)),
        };
        let granted = match self.authorized(agent, &wanted.entry_id).await {
            Ok(granted) => granted,
            Err(fault) => return Err(self.refuse(record, fault)),
        };
        let record = record.of_entry(granted.entry());
        let policy = &self.settings.policy;
        let moment = self.wit_moment(&authority);
        let grant = workload_wit(policy, moment, &granted, proof_key);
        let id = granted.entry().spiffe_id.clone();
        Ok((self.sign_wit(record, &authority, grant).await?, id))
    }

    /// Mints a WIT-SVID for an administrator.
    pub async fn mint_wit(
        &self,
        by: &Authorized,
        id: SpiffeId,
        proof_key: &ProofKeyWanted,
        ttl: Option<Duration>,
    ) -> Result<IssuedWit, IssueFault> {
        let record = audit::event(by, "wit.mint").about(&id);
        let (authority, proof_key) = match self.read_wit(proof_key) {
            Ok(read) => read,
            Err(fault) => return Err(self.refuse(record, fault)),
        };
        let policy = &self.settings.policy;
        let moment = self.wit_moment(&authority);
        let grant = mint_wit(policy, moment, id, proof_key, ttl);
        self.sign_wit(record, &authority, grant).await
    }

    /// Whether WIT-SVIDs are issued at all.
    #[must_use]
    pub fn issues_wits(&self) -> bool {
        self.rotation
            .specs
            .iter()
            .any(|spec| spec.kind == Kind::Wit)
    }

    /// What signs, and what the token will be bound to.
    fn read_wit(
        &self,
        wanted: &ProofKeyWanted,
    ) -> Result<(Arc<WitAuthorityKey>, ProofKey), IssueFault> {
        if !self.issues_wits() {
            return Err(IssueFault::WitDisabled);
        }
        let authority = self.authorities.wit().ok_or(NoAuthority(Kind::Wit))?;
        let proof_key = ProofKey {
            public_key: PublicKey::from_spki_der(&wanted.public_key)
                .map_err(IssueFault::ProofKey)?,
            algorithm: JwsAlgorithm::from_name(&wanted.algorithm)
                .map_err(IssueFault::ProofAlgorithm)?,
        };
        Ok((authority, proof_key))
    }

    fn wit_moment(&self, authority: &WitAuthorityKey) -> Moment {
        Moment {
            now: self.clock.now(),
            authority_not_after: authority.not_after,
        }
    }

    async fn sign_wit(
        &self,
        record: AuditEvent,
        authority: &WitAuthorityKey,
        grant: Result<Approved<WitGrant>, Refusal>,
    ) -> Result<IssuedWit, IssueFault> {
        let signed = match grant {
            Err(refusal) => Err(IssueFault::Refused(refusal)),
            Ok(grant) => signet_ca::sign_wit(authority, grant, self.clock.now())
                .await
                .map_err(IssueFault::from),
        };
        match signed {
            Ok(wit) => {
                let hash = hex(&sha256(wit.token.expose().as_bytes()));
                self.audit.record(record.with(Credential::JtiHash(hash)))?;
                Ok(wit)
            }
            Err(fault) => Err(self.refuse(record, fault)),
        }
    }
}
