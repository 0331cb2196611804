//! Bundles of other trust domains that a cluster declares. One that stands in a resource is set when
//! the resource comes or changes, and when the server begins; what an administrator sets afterwards
//! holds. None is ever removed: entries of others may federate with it.

use crate::issuer::Issuer;
use crate::state::{Plan, Snapshot, StateError};
use signet_kubernetes::World;
use signet_model::Change;
use signet_spiffe::{Bundle, TrustDomain};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which were set.
#[derive(Debug, Default)]
pub(super) struct Bundles(BTreeMap<TrustDomain, Bundle>);

impl Bundles {
    pub(super) async fn follow(
        &mut self,
        issuer: &Issuer,
        world: &World,
    ) -> Result<(), StateError> {
        let declared = world.federated();
        self.0
            .retain(|trust_domain, _| declared.contains_key(trust_domain));
        for (trust_domain, federated) in declared {
            let Some(bundle) = &federated.bundle else {
                continue;
            };
            if self.0.get(&trust_domain) == Some(bundle) {
                continue;
            }
            set(issuer, bundle).await?;
            self.0.insert(trust_domain, bundle.clone());
        }
        Ok(())
    }
}

async fn set(issuer: &Issuer, bundle: &Bundle) -> Result<(), StateError> {
    let set = |snapshot: &Snapshot| {
        let stored = snapshot.index.bundle(&bundle.trust_domain);
        let same = stored.is_some_and(|stored| **stored == *bundle);
        let plan = match same {
            true => Plan::default(),
            false => Plan::default().change(Change::PutBundle(Arc::new(bundle.clone()))),
        };
        Ok((plan, !same))
    };
    if issuer.state.change::<_, StateError, _>(set).await? {
        tracing::info!(trust_domain = %bundle.trust_domain, "set the bundle that the cluster declares");
    }
    Ok(())
}
