//! What operators do to this server's authorities, each act with its audit record.

use crate::audit::{self, AuditEventExt};
use crate::authority::{Due, Kind, LocalAuthorities, LocalAuthority, LocalFault};
use crate::caller::Authorized;
use crate::issuer::Issuer;
use signet_model::AuditEvent;
use signet_spiffe::SpiffeId;

/// Agents that are named in a line of the log.
const MAX_LOGGED: usize = 10;
/// Agents that are named in an audit record: enough to go and look at, and a record stays readable.
const MAX_RECORDED: usize = 500;

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

    /// Begins the replacement of the authorities of this kind, or goes on with it: those that are to
    /// go, and whether that is news.
    pub async fn condemn_authorities(
        &self,
        by: &Authorized,
        kind: Kind,
        reason: &str,
    ) -> Result<(Vec<String>, bool), LocalFault> {
        let before = self.rotation.due_now(kind);
        let record = audit::event(by, "authority.condemn").about(kind);
        let condemned = self.rotation.condemn_now(kind, reason).await;
        let record = match &condemned {
            Ok(condemned) => {
                let ids = condemned.authority_ids.join(" ");
                record
                    .about(format!("{kind} authorities {ids}"))
                    .because(reason)
            }
            Err(_) => record,
        };
        let ids = condemned.map(|condemned| condemned.authority_ids);
        let ids = self.done(record, ids)?;
        Ok((ids, before == Due::Nothing))
    }

    /// Prepares what takes the place of condemned authorities, if nothing is.
    pub async fn prepare_successor(
        &self,
        by: &Authorized,
        kind: Kind,
    ) -> Result<Option<LocalAuthority>, LocalFault> {
        let record = audit::event(by, "authority.prepare").about(kind);
        match self.rotation.prepare_successor(kind).await {
            Ok(None) => Ok(None),
            Ok(Some(next)) => {
                let record = record.about(named(kind, &next.authority_id));
                self.done(record, Ok(Some(next)))
            }
            Err(fault) => self.done(record, Err(fault)),
        }
    }

    /// Taints the condemned authorities; `next` signs in place of one that still does. Those that are
    /// tainted by this.
    pub async fn supersede_authorities(
        &self,
        by: &Authorized,
        kind: Kind,
        next: &str,
        reason: &str,
    ) -> Result<Vec<String>, LocalFault> {
        let superseded = self.rotation.supersede_now(kind, next).await;
        self.each_done(by, "authority.supersede", kind, reason, superseded)
    }

    /// Takes the condemned authorities out of the bundle, once they are tainted. Those that are gone
    /// by this.
    pub async fn conclude_replacement(
        &self,
        by: &Authorized,
        kind: Kind,
    ) -> Result<Vec<String>, LocalFault> {
        let gone = self.rotation.conclude_now(kind).await;
        self.each_done(by, "authority.revoke", kind, "", gone)
    }

    /// Notes that these agents did not confirm in time that they do `what`, and are left behind.
    pub fn leave_behind(
        &self,
        by: &Authorized,
        kind: Kind,
        what: &str,
        agents: &[SpiffeId],
    ) -> Result<(), LocalFault> {
        let count = agents.len();
        let names = |most: usize| -> String {
            let names = agents.iter().take(most).map(ToString::to_string);
            names.collect::<Vec<_>>().join(" ")
        };
        tracing::warn!(
            count,
            agents = names(MAX_LOGGED),
            kind = %kind,
            "the replacement of an authority was forced past agents that have not confirmed that they {what}"
        );
        let reason = format!(
            "forced past {count} agents that have not confirmed that they {what}: {}",
            names(MAX_RECORDED)
        );
        let record = audit::event(by, "authority.leave_behind").about(kind);
        Ok(self.audit.record(record.because(reason))?)
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

    fn each_done(
        &self,
        by: &Authorized,
        action: &'static str,
        kind: Kind,
        reason: &str,
        outcome: Result<Vec<String>, LocalFault>,
    ) -> Result<Vec<String>, LocalFault> {
        let record = || audit::event(by, action).about(kind).because(reason);
        let ids = match outcome {
            Ok(ids) => ids,
            Err(fault) => return self.done(record(), Err(fault)),
        };
        for id in &ids {
            self.audit.record(record().about(named(kind, id)))?;
        }
        Ok(ids)
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
