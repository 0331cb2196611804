//! What every use case needs: the state, the authorities, the clock, the audit log and the rules
//! that the operator chose. The use cases themselves are `impl Issuer` blocks, a file each.

use crate::audit::Audit;
use crate::authority::{Authorities, Reconciler};
use crate::limits::Limits;
use crate::state::State;
use crate::sync::Online;
use signet_crypto::Random;
use signet_kubernetes::Whereabouts;
use signet_model::{Composers, Policy};
use signet_node_attestor::ServerAttestor;
use signet_runtime::{Clock, Tasks};
use signet_spiffe::{SpiffeId, TrustDomain};
use signet_tls::Trust;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Identities with admin rights, of this or a federated trust domain.
    pub admin_ids: BTreeSet<SpiffeId>,
    /// Lifetimes and the `iss` claim.
    pub policy: Policy,
    /// How long authorities live; that of a downstream server too, if it asks for no lifetime.
    pub ca_ttl: Duration,
    /// What is added to what is approved.
    pub composers: Composers,
    /// Whether each call is logged too, as SPIRE's `audit_log_enabled`.
    pub log_calls: bool,
    /// Whether JWT-SVIDs are off.
    pub disable_jwt_svids: bool,
    /// Expired agents are removed this long after their expiry; never, if unset.
    pub prune_agents_after: Option<Duration>,
    /// Whether agents that cannot attest again are removed too.
    pub prune_tofu_agents: bool,
    /// How many agents one round removes at most.
    pub prune_agents_batch: usize,
}

impl Settings {
    /// SPIRE's defaults.
    pub fn defaults(trust_domain: TrustDomain) -> Self {
        Self {
            admin_ids: BTreeSet::new(),
            policy: Policy {
                trust_domain,
                default_x509_svid_ttl: Duration::from_secs(3600),
                default_jwt_svid_ttl: Duration::from_secs(300),
                agent_ttl: None,
                jwt_issuer: None,
                wit_issuer: None,
            },
            ca_ttl: Duration::from_secs(24 * 3600),
            composers: Composers::default(),
            log_calls: false,
            disable_jwt_svids: false,
            prune_agents_after: None,
            prune_tofu_agents: false,
            prune_agents_batch: 1000,
        }
    }
}

/// The issuer of one trust domain.
pub struct Issuer {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// Entries, agents, bundles.
    pub state: Arc<State>,
    /// What signs.
    pub authorities: Arc<Authorities>,
    /// What makes new authorities, and retires old ones.
    pub rotation: Arc<Reconciler>,
    /// What callers' certificates are verified against.
    pub trust: Arc<Trust>,
    /// Which agents are connected, and what they have.
    pub online: Arc<Online>,
    /// How much each caller may ask for.
    pub limits: Limits,
    /// The node attestors by type.
    pub attestors: BTreeMap<&'static str, Arc<dyn ServerAttestor>>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Serials, tokens, ids.
    pub random: Arc<dyn Random>,
    /// The record of every decision.
    pub audit: Audit,
    /// Which pods run where, in the cluster whose objects declare entries.
    pub pods: Arc<Whereabouts>,
    /// What the operator chose.
    pub settings: Settings,
    /// Where work runs that must not end with the connection that asked for it.
    pub tasks: Tasks,
    /// When this process began to serve.
    pub started_at: SystemTime,
}

impl Issuer {
    /// 16 random bytes as a version 4 UUID.
    pub fn random_uuid(&self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A version 7 UUID: the order of these is the order of creation, which is also the order in
    /// which workloads see their identities.
    pub fn ordered_uuid(&self) -> uuid::Uuid {
        let mut bytes = [0; 10];
        self.random.fill(&mut bytes);
        let since_epoch = self.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = since_epoch.map_or(0, |since| since.as_millis());
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer")
            .field("trust_domain", &self.trust_domain)
            .finish_non_exhaustive()
    }
}
