//! Issuing SVIDs: for workloads by their entries, and minted for administrators; and the authorities
//! of downstream servers. WIT-SVIDs are in `wit`.
//!
//! Of a request only the public key and the audience come through. The record of each issue is
//! written before the SVID leaves.

mod wit;

pub use wit::{ProofKeyWanted, WitWanted};

use crate::audit::{self, AuditEventExt};
use crate::authority::NoAuthority;
use crate::caller::Authorized;
use crate::issuer::Issuer;
use crate::sign::SignFault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet_ca::{IssuedJwt, IssuedX509, JwtAuthorityKey, JwtError, WitError};
use signet_crypto::jose::UnknownAlgorithm;
use signet_crypto::{KeyError, hex, sha256};
use signet_kubernetes::Place;
use signet_model::{AuditEvent, ComposeError, Credential, EntryId, Moment, Refusal, SelectorSet};
use signet_spiffe::SpiffeId;
use signet_spiffe::csr::{self, Csr, CsrError};
use signet_telemetry::audit::AuditError;
use std::time::Duration;

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueFault {
    /// No entry was named.
    #[error("missing entry ID")]
    NoEntryId,
    /// The CSR is bad.
    #[error("malformed CSR")]
    Csr(#[from] CsrError),
    /// There is no such entry, or the agent may not have it.
    #[error("entry not found or not authorized")]
    NotAuthorized,
    /// The entry is a pod's that runs on another node than the agent's.
    #[error("entry not found or not authorized: its pod runs on another node")]
    PodElsewhere,
    /// The entry is a pod's that is not seen in the cluster: it is gone, or too new.
    #[error("the pod of the entry is not seen in the cluster: it is gone, or try again")]
    PodNowhere,
    /// The entry is a pod's, and nothing that was attested says on which node of the cluster the agent is.
    #[error(
        "entry not found or not authorized: nothing tells whether its pod runs on the agent's node; attest \
         agents by k8s_psat, or have parent_id_template name each node's agent"
    )]
    PodUnplaced,
    /// The caller has no right to an authority, or no longer.
    #[error("no entry lets the caller have an authority")]
    NotDownstream,
    /// It may not be issued.
    #[error("not approved")]
    Refused(#[from] Refusal),
    /// JWT-SVIDs are off.
    #[error("JWT functionality is disabled")]
    JwtDisabled,
    /// Signing failed.
    #[error("failed to sign X509-SVID")]
    SignX509(#[from] SignFault),
    /// A composer gave up or went too far.
    #[error("could not compose the JWT-SVID")]
    ComposeJwt(#[from] ComposeError),
    /// Signing failed.
    #[error("failed to sign JWT-SVID")]
    SignJwt(#[from] JwtError),
    /// WIT-SVIDs are off.
    #[error("WIT-SVIDs are not enabled on this server")]
    WitDisabled,
    /// The key a WIT-SVID is to be bound to is bad.
    #[error("malformed public key")]
    ProofKey(#[source] KeyError),
    /// So is the algorithm beside it.
    #[error("invalid signing algorithm")]
    ProofAlgorithm(#[source] UnknownAlgorithm),
    /// Signing failed.
    #[error("failed to sign WIT-SVID")]
    SignWit(#[from] WitError),
    /// Nothing can sign.
    #[error(transparent)]
    NoAuthority(#[from] NoAuthority),
    /// The record was not kept, so nothing was given out.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// One X.509-SVID that an agent asks for.
#[derive(Debug, Clone)]
pub struct X509Wanted {
    /// By which entry.
    pub entry_id: String,
    /// The key to certify, as a PKCS#10 request.
    pub csr: bytes::Bytes,
}

impl Issuer {
    /// Issues an X.509-SVID by an entry that the agent is authorized for.
    pub async fn issue_x509(
        &self,
        by: &Authorized,
        agent: &SpiffeId,
        wanted: &X509Wanted,
    ) -> Result<(IssuedX509, SpiffeId), IssueFault> {
        let record = audit::event(by, "x509.issue");
        if wanted.entry_id.is_empty() {
            return Err(self.refuse(record, IssueFault::NoEntryId));
        }
        let csr = match csr::verify(&wanted.csr) {
            Ok(csr) => csr,
            Err(error) => return Err(self.refuse(record, error.into())),
        };
        let granted = self.authorized(agent, &wanted.entry_id).await;
        let granted = match granted {
            Ok(granted) => granted,
            Err(fault) => return Err(self.refuse(record, fault)),
        };
        let record = record.of_entry(granted.entry());
        match self.sign_workload(&granted, csr).await {
            Ok(svid) => {
                self.audit
                    .record(record.with(Credential::Serial(svid.serial.clone())))?;
                Ok((svid, granted.entry().spiffe_id.clone()))
            }
            Err(fault) => Err(self.refuse(record, fault)),
        }
    }

    async fn sign_workload(
        &self,
        granted: &signet_model::Authorized,
        csr: Csr,
    ) -> Result<IssuedX509, IssueFault> {
        let authority = self.authorities.x509()?;
        let now = self.clock.now();
        let moment = Moment {
            now,
            authority_not_after: authority.not_after(),
        };
        let policy = &self.settings.policy;
        let grant = signet_model::workload_x509(policy, moment, granted, csr.public_key)?;
        Ok(self.sign_x509(&authority, grant).await?)
    }

    /// Issues a JWT-SVID by an entry that the agent is authorized for.
    pub async fn issue_jwt(
        &self,
        by: &Authorized,
        agent: &SpiffeId,
        entry_id: &str,
        audience: Vec<String>,
    ) -> Result<(IssuedJwt, SpiffeId), IssueFault> {
        let record = audit::event(by, "jwt.issue");
        if self.settings.disable_jwt_svids {
            return Err(self.refuse(record, IssueFault::JwtDisabled));
        }
        let granted = match self.authorized(agent, entry_id).await {
            Ok(granted) => granted,
            Err(fault) => return Err(self.refuse(record, fault)),
        };
        let record = record.of_entry(granted.entry());
        let key = match self.authorities.jwt_for(&audience) {
            Ok(key) => key,
            Err(fault) => return Err(self.refuse(record, fault.into())),
        };
        let moment = self.moment(&key);
        let jti = URL_SAFE_NO_PAD.encode(self.random_uuid().as_bytes());
        let policy = &self.settings.policy;
        let grant = signet_model::workload_jwt(policy, moment, &granted, audience, jti);
        let id = granted.entry().spiffe_id.clone();
        Ok((self.sign_jwt(record, &key, grant).await?, id))
    }

    /// Mints an X.509-SVID for an administrator; all but the lifetime's limits is the CSR's.
    pub async fn mint_x509(
        &self,
        by: &Authorized,
        csr: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(IssuedX509, SpiffeId), IssueFault> {
        let record = audit::event(by, "x509.mint");
        let minted = self.try_mint_x509(csr, ttl).await;
        match minted {
            Ok((svid, id)) => {
                let serial = Credential::Serial(svid.serial.clone());
                self.audit.record(record.about(&id).with(serial))?;
                Ok((svid, id))
            }
            Err(fault) => Err(self.refuse(record, fault)),
        }
    }

    async fn try_mint_x509(
        &self,
        csr: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(IssuedX509, SpiffeId), IssueFault> {
        let csr = csr::verify(csr)?;
        let authority = self.authorities.x509()?;
        let now = self.clock.now();
        let moment = Moment {
            now,
            authority_not_after: authority.not_after(),
        };
        let grant = signet_model::mint_x509(&self.settings.policy, moment, csr, ttl)?;
        let id = grant.spiffe_id.clone();
        Ok((self.sign_x509(&authority, grant).await?, id))
    }

    /// Signs an authority for the downstream server that calls.
    pub async fn issue_downstream_ca(
        &self,
        by: &Authorized,
        server: &SpiffeId,
        csr: &[u8],
        ttl: Option<Duration>,
    ) -> Result<IssuedX509, IssueFault> {
        let record = audit::event(by, "ca.issue").about(&self.trust_domain);
        let entry = self.state.read().index.downstream(server, self.clock.now());
        let Some(entry) = entry else {
            return Err(self.refuse(record, IssueFault::NotDownstream));
        };
        let record = record.of_entry(&entry);
        match self.sign_downstream_ca(&entry, csr, ttl).await {
            Ok(ca) => {
                self.audit
                    .record(record.with(Credential::Serial(ca.serial.clone())))?;
                Ok(ca)
            }
            Err(fault) => Err(self.refuse(record, fault)),
        }
    }

    async fn sign_downstream_ca(
        &self,
        entry: &signet_model::Entry,
        csr: &[u8],
        ttl: Option<Duration>,
    ) -> Result<IssuedX509, IssueFault> {
        let key = csr::verify(csr)?.public_key;
        let authority = self.authorities.x509()?;
        let now = self.clock.now();
        let moment = Moment {
            now,
            authority_not_after: authority.not_after(),
        };
        let default = self.settings.ca_ttl;
        let grant =
            signet_model::downstream_ca(&self.trust_domain, moment, entry, key, ttl, default)?;
        let signed = signet_ca::sign_ca(&authority, grant, &*self.random, now).await;
        Ok(signed.map_err(SignFault::Sign)?)
    }

    /// Mints a JWT-SVID for an administrator.
    pub async fn mint_jwt(
        &self,
        by: &Authorized,
        id: SpiffeId,
        audience: Vec<String>,
        ttl: Option<Duration>,
    ) -> Result<IssuedJwt, IssueFault> {
        let record = audit::event(by, "jwt.mint").about(&id);
        if self.settings.disable_jwt_svids {
            return Err(self.refuse(record, IssueFault::JwtDisabled));
        }
        let key = match self.authorities.jwt_for(&audience) {
            Ok(key) => key,
            Err(fault) => return Err(self.refuse(record, fault.into())),
        };
        let moment = self.moment(&key);
        let grant = signet_model::mint_jwt(&self.settings.policy, moment, id, audience, ttl);
        self.sign_jwt(record, &key, grant).await
    }

    fn moment(&self, key: &JwtAuthorityKey) -> Moment {
        Moment {
            now: self.clock.now(),
            authority_not_after: key.not_after,
        }
    }

    async fn sign_jwt(
        &self,
        record: AuditEvent,
        key: &JwtAuthorityKey,
        grant: Result<signet_model::Approved<signet_model::JwtGrant>, Refusal>,
    ) -> Result<IssuedJwt, IssueFault> {
        let composed = grant.map_err(IssueFault::from).and_then(|grant| {
            let composed = grant.composed(&self.settings.composers);
            composed.map_err(IssueFault::from)
        });
        let signed = match composed {
            Err(fault) => Err(fault),
            Ok(grant) => signet_ca::sign_jwt(key, grant, self.clock.now())
                .await
                .map_err(IssueFault::from),
        };
        match signed {
            Ok(jwt) => {
                let hash = hex(&sha256(jwt.token.expose().as_bytes()));
                self.audit.record(record.with(Credential::JtiHash(hash)))?;
                Ok(jwt)
            }
            Err(fault) => Err(self.refuse(record, fault)),
        }
    }

    /// The right to issue by this entry; asks the store for news before it denies.
    async fn authorized(
        &self,
        agent: &SpiffeId,
        entry_id: &str,
    ) -> Result<signet_model::Authorized, IssueFault> {
        let id = EntryId::parse(entry_id).map_err(|_| IssueFault::NotAuthorized)?;
        let now = self.clock.now();
        let granted = self.state.read().index.authorizes(agent, &id, now);
        if let Some(granted) = granted {
            return self.where_it_runs(granted);
        }
        self.state.catch_up().await;
        let granted = self.state.read().index.authorizes(agent, &id, now);
        self.where_it_runs(granted.ok_or(IssueFault::NotAuthorized)?)
    }

    /// A pod's identity goes to the node that runs the pod, whatever the entry's parent is. What the
    /// cluster's API server last said counts, so one that is away stops nothing that was known.
    fn where_it_runs(
        &self,
        granted: signet_model::Authorized,
    ) -> Result<signet_model::Authorized, IssueFault> {
        let place = {
            let snapshot = self.state.read();
            let agent = snapshot.index.agent(granted.agent());
            let none = SelectorSet::new();
            let selectors = agent.map_or(&none, |agent| &agent.selectors);
            self.pods
                .of_entry(granted.entry(), granted.agent(), selectors)
        };
        match place {
            Place::Here | Place::Unknown => Ok(granted),
            Place::Elsewhere => Err(IssueFault::PodElsewhere),
            Place::Nowhere => Err(IssueFault::PodNowhere),
            Place::Unplaced => Err(IssueFault::PodUnplaced),
        }
    }

    fn refuse(&self, record: AuditEvent, fault: IssueFault) -> IssueFault {
        self.audit
            .refused(record.because(crate::api::types::chain(&fault)));
        fault
    }
}
