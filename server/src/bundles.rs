//! Bundles: our own, to which authorities are appended, and those of federated trust domains.

use crate::audit::{self, AuditEventExt};
use crate::caller::{Authorized, Caller};
use crate::issuer::Issuer;
use crate::state::{Plan, Snapshot, StateError};
use signet_model::{AuditEvent, Change, Entry};
use signet_spiffe::{Bundle, JwtAuthority, TrustDomain, X509Authority};
use signet_telemetry::audit::AuditError;
use signet_upstream::UpstreamError;
use std::sync::Arc;

/// Why a bundle was not changed.
#[derive(Debug, thiserror::Error)]
pub enum BundleFault {
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// It is our own trust domain, whose bundle is not a federated one.
    #[error("\"{0}\" is this server's own trust domain")]
    Own(TrustDomain),
    /// There is no such bundle.
    #[error("bundle not found")]
    NotFound,
    /// There is one already.
    #[error("bundle already exists")]
    Exists,
    /// There is another key of this ID.
    #[error(
        "the key ID \"{0}\" is taken by another key of the bundle, which would be mistaken for this one"
    )]
    TakenKeyId(String),
    /// Entries federate with it.
    #[error("cannot delete bundle; federated with {0} registration entries")]
    InUse(usize),
    /// The upstream authority did not publish a key.
    #[error("the upstream authority did not publish the key")]
    Upstream(#[from] UpstreamError),
    /// Not stored.
    #[error(transparent)]
    State(#[from] StateError),
    /// The record was not kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What becomes of the entries that federate with a deleted bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFederated {
    /// The bundle is not deleted.
    Restrict,
    /// They are deleted too.
    Delete,
    /// They no longer federate with it.
    Dissociate,
}

/// Whether a bundle may, must or must not exist before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It must not.
    Create,
    /// It must.
    Update,
    /// Either.
    Set,
}

/// Authorities that a bundle is to have besides its own.
#[derive(Debug, Clone, Default)]
pub struct Addition {
    /// Roots for X.509-SVIDs.
    pub x509: Vec<X509Authority>,
    /// Keys for JWT-SVIDs.
    pub jwt: Vec<JwtAuthority>,
    /// Keys for WIT-SVIDs.
    pub wit: Vec<JwtAuthority>,
}

impl Issuer {
    /// Our own bundle.
    pub fn own_bundle(&self) -> Option<Arc<Bundle>> {
        self.state.read().index.bundle(&self.trust_domain).cloned()
    }

    /// Our own bundle for a caller that fetches it: an agent then has all that was published.
    pub fn fetch_own_bundle(&self, by: &Authorized) -> Option<Arc<Bundle>> {
        let revision = self.state.revision();
        let own = self.own_bundle();
        if let Caller::Peer { peer, .. } = &by.caller
            && self.agent(peer.id()).is_some()
        {
            self.online.fetched(peer.id(), revision);
        }
        own
    }

    /// The bundle of another trust domain.
    pub fn federated_bundle(&self, trust_domain: &TrustDomain) -> Result<Arc<Bundle>, BundleFault> {
        self.not_own(trust_domain)?;
        let snapshot = self.state.read();
        snapshot
            .index
            .bundle(trust_domain)
            .cloned()
            .ok_or(BundleFault::NotFound)
    }

    /// All federated bundles, by trust domain.
    pub fn federated_bundles(&self) -> Vec<Arc<Bundle>> {
        let snapshot = self.state.read();
        let others = snapshot
            .index
            .bundles()
            .filter(|b| b.trust_domain != self.trust_domain);
        others.cloned().collect()
    }

    /// How many bundles there are, our own included.
    pub fn bundle_count(&self) -> usize {
        self.state.read().index.bundle_count()
    }

    /// Adds authorities to our own bundle; what is there stays.
    pub async fn append_bundle(
        &self,
        by: &Authorized,
        addition: Addition,
    ) -> Result<Arc<Bundle>, BundleFault> {
        let append = |snapshot: &Snapshot| {
            let own = snapshot
                .index
                .bundle(&self.trust_domain)
                .ok_or(BundleFault::NotFound)?;
            key_ids_are_free(own, &addition)?;
            let bundle = Arc::new(appended(own, &addition));
            let plan = match bundle == *own {
                true => Plan::default(),
                false => put(bundle.clone()),
            };
            Ok((plan, bundle))
        };
        let appended = self.state.change(append).await;
        self.written(
            audit::event(by, "bundle.append").about(&self.trust_domain),
            appended,
        )
    }

    /// Publishes a downstream server's JWT key: with our upstream authority, if there is one that keeps
    /// keys, and in our own bundle.
    pub async fn publish_jwt(
        &self,
        by: &Authorized,
        key: JwtAuthority,
    ) -> Result<Arc<Bundle>, BundleFault> {
        let of = |jwt| Addition {
            jwt,
            ..Addition::default()
        };
        self.publish(by, of(vec![key.clone()]), async {
            match self.rotation.parent.upstream() {
                None => Ok(of(vec![key])),
                Some(upstream) => Ok(of(upstream.publish_jwt(key).await?)),
            }
        })
        .await
    }

    /// The same with a WIT key.
    pub async fn publish_wit(
        &self,
        by: &Authorized,
        key: JwtAuthority,
    ) -> Result<Arc<Bundle>, BundleFault> {
        let of = |wit| Addition {
            wit,
            ..Addition::default()
        };
        self.publish(by, of(vec![key.clone()]), async {
            match self.rotation.parent.upstream() {
                None => Ok(of(vec![key])),
                Some(upstream) => Ok(of(upstream.publish_wit(key).await?)),
            }
        })
        .await
    }

    /// Asks the upstream only for what our own bundle can take.
    async fn publish(
        &self,
        by: &Authorized,
        wanted: Addition,
        upstream: impl Future<Output = Result<Addition, UpstreamError>>,
    ) -> Result<Arc<Bundle>, BundleFault> {
        let free = match self.own_bundle() {
            Some(own) => key_ids_are_free(&own, &wanted),
            None => Err(BundleFault::NotFound),
        };
        let addition = match free {
            Ok(()) => upstream.await.map_err(BundleFault::from),
            Err(fault) => Err(fault),
        };
        match addition {
            Ok(addition) => self.append_bundle(by, addition).await,
            Err(fault) => {
                let record = audit::event(by, "bundle.append").about(&self.trust_domain);
                self.written(record, Err(fault))
            }
        }
    }

    /// Writes a federated bundle; `edit` makes it from the stored one, if there is one.
    pub async fn write_bundle<F>(
        &self,
        by: &Authorized,
        trust_domain: &TrustDomain,
        how: Write,
        edit: F,
    ) -> Result<Arc<Bundle>, BundleFault>
    where
        F: Fn(Option<&Bundle>) -> Result<Bundle, BundleFault> + Send + Sync,
    {
        let write = |snapshot: &Snapshot| {
            self.not_own(trust_domain)?;
            let stored = snapshot.index.bundle(trust_domain);
            match (how, stored) {
                (Write::Create, Some(_)) => return Err(BundleFault::Exists),
                (Write::Update, None) => return Err(BundleFault::NotFound),
                _ => {}
            }
            let bundle = Arc::new(edit(stored.map(AsRef::as_ref))?);
            Ok((put(bundle.clone()), bundle))
        };
        let action = match how {
            Write::Create => "bundle.create",
            Write::Update => "bundle.update",
            Write::Set => "bundle.set",
        };
        let written = self.state.change(write).await;
        self.written(audit::event(by, action).about(trust_domain), written)
    }

    /// Deletes a federated bundle. Entries that lose it get a new revision, so that agents notice.
    pub async fn delete_bundle(
        &self,
        by: &Authorized,
        trust_domain: &TrustDomain,
        how: OnFederated,
    ) -> Result<(), BundleFault> {
        let delete = |snapshot: &Snapshot| {
            self.not_own(trust_domain)?;
            if snapshot.index.bundle(trust_domain).is_none() {
                return Err(BundleFault::NotFound);
            }
            let federated: Vec<_> = snapshot.index.entries_federating(trust_domain).collect();
            if how == OnFederated::Restrict && !federated.is_empty() {
                return Err(BundleFault::InUse(federated.len()));
            }
            let plan = Plan::default().change(Change::DeleteBundle(trust_domain.clone()));
            let plan = federated.into_iter().fold(plan, |plan, entry| match how {
                OnFederated::Delete => plan.delete_entry(entry),
                _ => dissociated(plan, entry, trust_domain),
            });
            Ok((plan, ()))
        };
        let deleted = self.state.change(delete).await;
        self.written(
            audit::event(by, "bundle.delete").about(trust_domain),
            deleted,
        )
    }

    fn not_own(&self, trust_domain: &TrustDomain) -> Result<(), BundleFault> {
        if *trust_domain == self.trust_domain {
            return Err(BundleFault::Own(trust_domain.clone()));
        }
        Ok(())
    }

    /// Ends the record of a change of bundles.
    pub fn written<T>(
        &self,
        event: AuditEvent,
        outcome: Result<T, BundleFault>,
    ) -> Result<T, BundleFault> {
        match &outcome {
            Ok(_) => self.audit.record(event)?,
            Err(fault) => self.audit.refused(event.because(fault)),
        }
        outcome
    }
}

fn put(bundle: Arc<Bundle>) -> Plan {
    Plan::default().change(Change::PutBundle(bundle))
}

/// The union; the sequence number grows if something is new. An authority is known by its
/// certificate or key, whatever its taint.
pub fn appended(own: &Bundle, addition: &Addition) -> Bundle {
    let mut bundle = own.clone();
    for authority in &addition.x509 {
        if bundle
            .x509_authorities
            .iter()
            .all(|known| known.der != authority.der)
        {
            bundle.x509_authorities.push(authority.clone());
        }
    }
    append_keys(&mut bundle.jwt_authorities, &addition.jwt);
    append_keys(&mut bundle.wit_authorities, &addition.wit);
    if bundle != *own {
        bundle.sequence += 1;
    }
    bundle
}

/// A token names its key by the ID alone, also over the two kinds of keys: two keys of one ID are a
/// mistake of whoever publishes the later one, who would go on to sign what nobody can verify.
fn key_ids_are_free(own: &Bundle, addition: &Addition) -> Result<(), BundleFault> {
    let kinds = [
        (&addition.jwt, &own.jwt_authorities, &own.wit_authorities),
        (&addition.wit, &own.wit_authorities, &own.jwt_authorities),
    ];
    for (keys, same_kind, other_kind) in kinds {
        let taken = keys.iter().find(|key| {
            let same_id = |known: &&JwtAuthority| known.key_id == key.key_id;
            let mut known = same_kind.iter().filter(same_id);
            known.any(|known| known.public_key != key.public_key)
                || other_kind.iter().any(|known| same_id(&known))
        });
        if let Some(key) = taken {
            return Err(BundleFault::TakenKeyId(key.key_id.clone()));
        }
    }
    Ok(())
}

fn append_keys(known: &mut Vec<JwtAuthority>, keys: &[JwtAuthority]) {
    for key in keys {
        if known.iter().all(|known| known.key_id != key.key_id) {
            known.push(key.clone());
        }
    }
}

fn dissociated(plan: Plan, entry: &Arc<Entry>, trust_domain: &TrustDomain) -> Plan {
    let mut left = Entry::clone(entry);
    left.federates_with.remove(trust_domain);
    left.revision_number += 1;
    plan.change(Change::PutEntry(Arc::new(left)))
}
