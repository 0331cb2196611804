//! Bundles of other trust domains that a cluster declares. One that stands in a resource is set when
//! the resource comes or changes, and when the server begins; what an administrator sets afterwards
//! holds.
//!
//! With the resource goes what it set, but not before the last entry that federates with it: those who
//! hold such an identity would otherwise trust nobody there from one moment to the next. What somebody
//! else has changed meanwhile stays. SPIRE only forgets where the bundle was to be fetched, and keeps it
//! for good.

use super::declare;
use crate::audit::AuditEventExt;
use crate::issuer::Issuer;
use crate::state::{Plan, Snapshot, StateError};
use signet_datastore::records::keys;
use signet_kubernetes::World;
use signet_spiffe::{Bundle, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    set: BTreeMap<TrustDomain, Bundle>,
    /// Whether it was looked through what the server has since something may have to go.
    is_looked_through: bool,
    /// What is to go once no entry federates with it.
    in_use: BTreeSet<TrustDomain>,
}

/// What became of a bundle that is declared no more.
enum Left {
    /// It is none that the cluster declared, or somebody else has changed it.
    Others,
    /// So many entries federate with it.
    InUse(usize),
    Gone,
}

impl Bundles {
    pub(super) async fn follow(
        &mut self,
        issuer: &Issuer,
        world: &World,
    ) -> Result<(), StateError> {
        let declared = world.federated();
        let before = self.set.len();
        self.set
            .retain(|trust_domain, _| declared.contains_key(trust_domain));
        self.is_looked_through &= self.set.len() == before;
        let cluster = &world.settings().cluster_name;
        for (trust_domain, federated) in &declared {
            let Some(bundle) = &federated.bundle else {
                continue;
            };
            if self.set.get(trust_domain) == Some(bundle) {
                continue;
            }
            set(issuer, cluster, bundle).await?;
            self.set.insert(trust_domain.clone(), bundle.clone());
        }
        if (self.is_looked_through && self.in_use.is_empty()) || !world.knows_federated() {
            return Ok(());
        }
        self.look_through(issuer, cluster, |trust_domain| {
            !declared.contains_key(trust_domain)
        })
        .await
    }

    async fn look_through(
        &mut self,
        issuer: &Issuer,
        cluster: &str,
        is_to_go: impl Fn(&TrustDomain) -> bool,
    ) -> Result<(), StateError> {
        let all = issuer.federated_bundles().into_iter();
        let all = all.map(|bundle| bundle.trust_domain.clone());
        let to_go: Vec<_> = all.filter(|one| is_to_go(one)).collect();
        let mut in_use = BTreeSet::new();
        for trust_domain in to_go {
            if let Left::InUse(entries) = remove(issuer, cluster, &trust_domain).await? {
                if !self.in_use.contains(&trust_domain) {
                    tracing::info!(
                        %trust_domain, entries,
                        "a bundle that the cluster declares no more stays until no entry federates with it"
                    );
                }
                in_use.insert(trust_domain);
            }
        }
        self.in_use = in_use;
        self.is_looked_through = true;
        Ok(())
    }
}

async fn set(issuer: &Issuer, cluster: &str, bundle: &Bundle) -> Result<(), StateError> {
    let trust_domain = &bundle.trust_domain;
    let set = |snapshot: &Snapshot| {
        let stored = snapshot.index.bundle(trust_domain);
        let same = stored.is_some_and(|stored| **stored == *bundle);
        let mark = keys::declared_bundle(cluster, trust_domain);
        let plan = match same {
            true => Plan::default(),
            false => Plan::default().put_marked_bundle(Arc::new(bundle.clone()), mark),
        };
        Ok((plan, !same))
    };
    if issuer.state.change::<_, StateError, _>(set).await? {
        tracing::info!(%trust_domain, "set the bundle that the cluster declares");
        let record = declare::record(issuer, "bundle.set", "declared in the cluster");
        declare::keep(issuer, record.about(trust_domain));
    }
    Ok(())
}

async fn remove(
    issuer: &Issuer,
    cluster: &str,
    trust_domain: &TrustDomain,
) -> Result<Left, StateError> {
    let remove = |snapshot: &Snapshot| {
        let mark = keys::declared_bundle(cluster, trust_domain);
        let written = snapshot.revision_of(&keys::bundle(trust_domain));
        if written.is_none() || written != snapshot.revision_of(&mark) {
            return Ok((Plan::default(), Left::Others));
        }
        match snapshot.index.entries_federating(trust_domain).count() {
            0 => {
                let plan = Plan::default().delete_marked_bundle(trust_domain, mark);
                Ok((plan, Left::Gone))
            }
            count => Ok((Plan::default(), Left::InUse(count))),
        }
    };
    let left = issuer.state.change::<_, StateError, _>(remove).await?;
    if matches!(left, Left::Gone) {
        tracing::info!(%trust_domain, "removed the bundle that the cluster declared");
        let record = declare::record(issuer, "bundle.delete", "no longer declared in the cluster");
        declare::keep(issuer, record.about(trust_domain));
    }
    Ok(left)
}
