//! The upstream authority that the configuration names.

use super::{StartError, vault};
use crate::config::{ServerConfig, UpstreamSettings};
use signet_crypto::SystemRandom;
use signet_runtime::{Clock, Tasks};
use signet_tls::{KeyExchange, ServerAddress};
use signet_upstream::UpstreamAuthority;
use signet_upstream::disk::{DiskFiles, DiskUpstream};
use signet_upstream::spire::{SpireSettings, SpireUpstream};
use signet_vault::PkiUpstream;
use std::sync::Arc;

/// Only a Vault is dialled yet, for its token.
pub(super) async fn open(
    config: &ServerConfig,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Option<Arc<dyn UpstreamAuthority>>, StartError> {
    let trust_domain = config.trust_domain.clone();
    let Some(settings) = config.upstream.clone() else {
        return Ok(None);
    };
    Ok(Some(match settings {
        UpstreamSettings::Disk { cert, key, bundle } => {
            let files = DiskFiles {
                cert_file_path: cert,
                key_file_path: key,
                bundle_file_path: bundle,
            };
            let random = Arc::new(SystemRandom::new());
            Arc::new(DiskUpstream::new(
                files,
                trust_domain,
                clock.clone(),
                random,
            ))
        }
        UpstreamSettings::Spire {
            host,
            port,
            socket,
            post_quantum,
        } => {
            let settings = SpireSettings {
                server: ServerAddress { host, port },
                workload_api_socket: socket,
                key_exchange: match post_quantum {
                    true => KeyExchange::PostQuantum,
                    false => KeyExchange::Any,
                },
            };
            Arc::new(SpireUpstream::new(settings, trust_domain, clock.clone()))
        }
        UpstreamSettings::Vault { vault, engine } => {
            let vault = vault::connect(&vault, "upstream authority vault", tasks).await?;
            Arc::new(PkiUpstream::new(vault, engine))
        }
    }))
}
