//! The `x509pop` attestor as configured.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::StartError;
use super::super::data_dir::at;
use crate::config::{X509PopRoots, X509PopSettings};
use crate::running::Parts;
use signet_node_attestor::x509pop::{
    Limits, Mode, Roots, TrustBundle, X509PopConfig, X509PopServer,
};
use signet_spiffe::pem;

/// `own` is the server's bundle.
pub(super) fn open(
    settings: &X509PopSettings,
    parts: &Parts,
    own: Arc<dyn TrustBundle>,
) -> Result<X509PopServer, StartError> {
    Ok(X509PopServer::new(
        parts.trust_domain.clone(),
        config(settings, own)?,
        parts.clock.clone(),
        parts.random.clone(),
    )?)
}

fn config(
    settings: &X509PopSettings,
    own: Arc<dyn TrustBundle>,
) -> Result<X509PopConfig, StartError> {
    let mode = match &settings.roots {
        X509PopRoots::Files(paths) => Mode::ExternalPki(read_roots(paths)?),
        X509PopRoots::OwnBundle { prefix } => Mode::Spiffe {
            bundle: own,
            prefix: prefix.clone(),
        },
    };
    Ok(X509PopConfig {
        mode,
        limits: Limits {
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
