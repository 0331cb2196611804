//! The node attestors as configured, and what they may see of the server's state.

mod aws_iid;
mod oidc;
mod x509pop;

use super::{StartError, clouds, k8s_psat};
use crate::config::NodeAttestorSettings;
use crate::running::Parts;
use crate::state::State;
use signet_model::{JoinToken, TokenId};
use signet_node_attestor::combined::CombinedServer;
use signet_node_attestor::join_token::{JoinTokenServer, TokenState, Tokens};
use signet_node_attestor::x509pop::TrustBundle;
use signet_node_attestor::{BoxError, ServerAttestor};
use signet_spiffe::{Bundle, TrustDomain};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) type Attestors = BTreeMap<&'static str, Arc<dyn ServerAttestor>>;

pub(crate) fn attestors(parts: &Parts, state: &Arc<State>) -> Result<Attestors, StartError> {
    let mut attestors = Attestors::new();
    // Join tokens are the server's own: they need no block, as in SPIRE.
    let tokens = Arc::new(StateView(state.clone(), parts.trust_domain.clone()));
    let join_token = JoinTokenServer::new(
        parts.trust_domain.clone(),
        tokens.clone(),
        parts.clock.clone(),
    );
    attestors.insert("join_token", Arc::new(join_token));
    for settings in &parts.attestors {
        let attestor: Arc<dyn ServerAttestor> = match settings {
            NodeAttestorSettings::JoinToken | NodeAttestorSettings::Combined(_) => continue,
            NodeAttestorSettings::Oidc(issuers) => Arc::new(oidc::open(issuers, parts)?),
            NodeAttestorSettings::X509Pop(settings) => {
                Arc::new(x509pop::open(settings, parts, tokens.clone())?)
            }
            NodeAttestorSettings::AwsIid(settings) => Arc::new(aws_iid::open(settings, parts)?),
            NodeAttestorSettings::GcpIit(settings) => {
                Arc::new(clouds::gcp_iit(parts, settings).map_err(of("gcp_iit"))?)
            }
            NodeAttestorSettings::AzureImds(settings) => {
                Arc::new(clouds::azure_imds(parts, settings).map_err(of("azure_imds"))?)
            }
            NodeAttestorSettings::AzureMsi(settings) => {
                Arc::new(clouds::azure_msi(parts, settings).map_err(of("azure_msi"))?)
            }
            NodeAttestorSettings::K8sPsat(settings) => {
                Arc::new(k8s_psat::attestor(settings, parts)?)
            }
        };
        attestors.insert(attestor.kind(), attestor);
    }
    for settings in &parts.attestors {
        if let NodeAttestorSettings::Combined(kinds) = settings {
            let combined = combined(kinds, &mut attestors)?;
            attestors.insert("combined", Arc::new(combined));
        }
    }
    Ok(attestors)
}

fn of(attestor: &'static str) -> impl FnOnce(BoxError) -> StartError {
    move |source| StartError::Attestor { attestor, source }
}

/// Takes the attestors out of those that are accepted alone: agents of a combination are named by its
/// first one, so that alone it would give the same agents for less.
fn combined(kinds: &[&'static str], alone: &mut Attestors) -> Result<CombinedServer, StartError> {
    let taken = kinds.iter().filter_map(|kind| alone.remove(kind)).collect();
    CombinedServer::new(taken).ok_or(StartError::Combined)
}

/// What attestors may see of the state.
struct StateView(Arc<State>, TrustDomain);

#[async_trait::async_trait]
impl Tokens for StateView {
    async fn find(&self, id: &TokenId, now: SystemTime) -> Result<TokenState, BoxError> {
        let find = || {
            let snapshot = self.0.read();
            let token: Option<&JoinToken> = snapshot.index.token(id).map(AsRef::as_ref);
            TokenState::of(token, now)
        };
        let found = find();
        if !matches!(found, TokenState::Unknown) {
            return Ok(found);
        }
        self.0.catch_up().await;
        Ok(find())
    }
}

impl TrustBundle for StateView {
    fn bundle(&self) -> Arc<Bundle> {
        let own = self.0.read().index.bundle(&self.1).cloned();
        own.unwrap_or_else(|| Arc::new(Bundle::empty(self.1.clone())))
    }
}
