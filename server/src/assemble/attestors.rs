//! The node attestors as configured, and what they may see of the server's state.

mod aws_iid;

use super::data_dir::at;
use super::{StartError, clouds, k8s_psat};
use crate::config::{self, NodeAttestorSettings};
use crate::running::Parts;
use crate::state::State;
use signet_model::{JoinToken, TokenId};
use signet_node_attestor::combined::CombinedServer;
use signet_node_attestor::join_token::{JoinTokenServer, TokenState, Tokens};
use signet_node_attestor::oidc::{IssuerConfig, OidcServer};
use signet_node_attestor::x509pop::{
    Limits as ChainLimits, Mode, Roots, TrustBundle, X509PopConfig, X509PopServer,
};
use signet_node_attestor::{BoxError, ServerAttestor};
use signet_oidc::{IssuerKeys, Published, Reach};
use signet_spiffe::{Bundle, TrustDomain, pem};
use std::collections::BTreeMap;
use std::path::PathBuf;
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
            NodeAttestorSettings::Oidc(issuers) => Arc::new(oidc(issuers, parts)?),
            NodeAttestorSettings::X509Pop(settings) => Arc::new(X509PopServer::new(
                parts.trust_domain.clone(),
                x509pop_config(settings, &tokens)?,
                parts.clock.clone(),
                parts.random.clone(),
            )?),
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

fn oidc(issuers: &[config::OidcIssuerSettings], parts: &Parts) -> Result<OidcServer, StartError> {
    let issuers = issuers.iter().map(|issuer| oidc_issuer(issuer, parts));
    let issuers: Result<_, _> = issuers.collect();
    Ok(OidcServer::new(
        parts.trust_domain.clone(),
        issuers?,
        parts.clock.clone(),
    ))
}

fn oidc_issuer(
    settings: &config::OidcIssuerSettings,
    parts: &Parts,
) -> Result<IssuerConfig, StartError> {
    let reach = Reach {
        roots: settings.roots.clone(),
        addresses: settings.addresses,
    };
    let source = match &settings.jwks_url {
        None => Published::discovered(settings.issuer.clone(), reach).map_err(BoxError::from),
        Some(url) => Published::at(url.as_str(), reach).map_err(BoxError::from),
    };
    let source = source.map_err(|source| StartError::Issuer {
        issuer: settings.issuer.to_string(),
        source,
    })?;
    Ok(IssuerConfig {
        issuer: settings.issuer.clone(),
        keys: IssuerKeys::new(source, parts.tasks.clone()),
        audiences: settings.audiences.clone(),
        conditions: settings.conditions.clone(),
        template: settings.agent_path_template.clone(),
        selector_claims: settings.selector_claims.clone(),
        single_use: settings.single_use,
        can_reattest: settings.can_reattest,
        leeway: settings.leeway,
    })
}

fn x509pop_config(
    settings: &config::X509PopSettings,
    own: &Arc<StateView>,
) -> Result<X509PopConfig, StartError> {
    let mode = match &settings.roots {
        config::X509PopRoots::Files(paths) => Mode::ExternalPki(read_roots(paths)?),
        config::X509PopRoots::OwnBundle { prefix } => Mode::Spiffe {
            bundle: own.clone(),
            prefix: prefix.clone(),
        },
    };
    Ok(X509PopConfig {
        mode,
        limits: ChainLimits {
            max_intermediates: settings.max_intermediates,
            max_rsa_key_size: settings.max_rsa_key_bits,
        },
        agent_path_template: settings.agent_path_template.clone(),
        verify_client_ip: settings.verify_client_ip,
    })
}

fn read_roots(paths: &[PathBuf]) -> Result<Roots, StartError> {
    let mut certificates = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(at("node attestor x509pop: CA bundle", path))?;
        let parsed = pem::parse_pem_certs(&text).map_err(|error| StartError::CaBundle {
            path: path.clone(),
            source: error.into(),
        })?;
        certificates.extend(parsed);
    }
    Ok(Roots::new(certificates)?)
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
