//! What operators do to this server's authorities, each act with its audit record.

use crate::audit::{self, AuditEventExt};
use crate::authority::{Kind, LocalAuthorities, LocalAuthority, LocalFault};
use crate::caller::Authorized;
use crate::issuer::Issuer;
use signet_model::AuditEvent;

impl Issuer {
    /// The authorities of this kind.
    pub fn local_authorities(&self, kind: Kind) -> Result<LocalAuthorities, LocalFault> {
        self.rotation.local_authorities(kind)
    }

    /// Prepares the next authority of this kind.
    pub async fn prepare_authority(
        &self,
        by: &Authorized,
        kind: Kind,
    ) -> Result<LocalAuthority, LocalFault> {
        let record = audit::event(by, "authority.prepare").about(kind);
        let prepared = self.rotation.prepare_now(kind).await;
        let record = match &prepared {
            Ok(prepared) => record.about(named(kind, &prepared.authority_id)),
            Err(_) => record,
        };
        self.done(record, prepared)
    }

    /// Lets the prepared authority sign.
    pub async fn activate_authority(
        &self,
        by: &Authorized,
        kind: Kind,
        id: &str,
    ) -> Result<LocalAuthority, LocalFault> {
        let record = audit::event(by, "authority.activate").about(named(kind, id));
        self.done(record, self.rotation.activate_now(kind, id).await)
    }

    /// Marks an authority as not to be relied on.
    pub async fn taint_authority(
        &self,
        by: &Authorized,
        kind: Kind,
        id: &str,
    ) -> Result<LocalAuthority, LocalFault> {
        let record = audit::event(by, "authority.taint").about(named(kind, id));
        self.done(record, self.rotation.taint_now(kind, id).await)
    }

    /// Lets the prepared authority sign, and taints the one that signed.
    pub async fn supersede_authority(
        &self,
        by: &Authorized,
        kind: Kind,
        (old, next): (&str, &str),
        reason: &str,
    ) -> Result<(), LocalFault> {
        let record = audit::event(by, "authority.supersede")
            .about(named(kind, old))
            .because(reason);
        self.done(record, self.rotation.supersede_now(kind, old, next).await)
    }

    /// Takes a tainted authority out of the bundle.
    pub async fn revoke_authority(
        &self,
        by: &Authorized,
        kind: Kind,
        id: &str,
    ) -> Result<LocalAuthority, LocalFault> {
        let record = audit::event(by, "authority.revoke").about(named(kind, id));
        self.done(record, self.rotation.revoke_now(kind, id).await)
    }

    /// Marks an upstream authority as not to be relied on.
    pub async fn taint_upstream_authority(
        &self,
        by: &Authorized,
        id: &str,
    ) -> Result<String, LocalFault> {
        let record = audit::event(by, "upstream_authority.taint").about(shown(id));
        self.done(record, self.rotation.taint_upstream_now(id).await)
    }

    /// Takes a tainted upstream authority out of the bundle.
    pub async fn revoke_upstream_authority(
        &self,
        by: &Authorized,
        id: &str,
    ) -> Result<String, LocalFault> {
        let record = audit::event(by, "upstream_authority.revoke").about(shown(id));
        self.done(record, self.rotation.revoke_upstream_now(id).await)
    }

    fn done<T>(&self, record: AuditEvent, outcome: Result<T, LocalFault>) -> Result<T, LocalFault> {
        match &outcome {
            Ok(_) => self.audit.record(record)?,
            Err(fault) => {
                let reason = crate::api::types::chain(fault);
                self.audit.refused(record.because(reason));
            }
        }
        outcome
    }
}

fn named(kind: Kind, id: &str) -> String {
    format!("{kind} authority {}", shown(id))
}

/// An ID as it was given, if it could be one: a caller's text does not get into the record.
fn shown(id: &str) -> &str {
    let may_be = id.len() <= MAX_ID_LEN && id.bytes().all(|byte| byte.is_ascii_graphic());
    if may_be { id } else { "of a malformed ID" }
}

/// The longest key ID that a bundle can hold; a subject key id in hexadecimal is shorter.
const MAX_ID_LEN: usize = signet_spiffe::MAX_KEY_ID_LEN;
