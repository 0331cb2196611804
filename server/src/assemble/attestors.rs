//! The node attestors as configured, and what they may see of the server's state.

mod aws_iid;

use super::StartError;
use super::data_dir::at;
use crate::config::{self, NodeAttestorSettings};
use crate::running::Parts;
use crate::state::State;
use signet_model::{JoinToken, TokenId};
use signet_node_attestor::join_token::{JoinTokenServer, TokenState, Tokens};
use signet_node_attestor::x509pop::{
    Limits as ChainLimits, Mode, Roots, TrustBundle, X509PopConfig, X509PopServer,
};
use signet_node_attestor::{BoxError, ServerAttestor};
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
        match settings {
            NodeAttestorSettings::JoinToken => {}
            NodeAttestorSettings::X509Pop(settings) => {
                let config = x509pop_config(settings, &tokens)?;
                let x509pop = X509PopServer::new(
                    parts.trust_domain.clone(),
                    config,
                    parts.clock.clone(),
                    parts.random.clone(),
                )?;
                attestors.insert("x509pop", Arc::new(x509pop));
            }
            NodeAttestorSettings::AwsIid(settings) => {
                attestors.insert("aws_iid", Arc::new(aws_iid::open(settings, parts)?));
            }
        }
    }
    Ok(attestors)
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
