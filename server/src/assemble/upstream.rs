//! The upstream authority that the configuration names.

use crate::config::{ServerConfig, UpstreamSettings};
use signet_crypto::SystemRandom;
use signet_runtime::Clock;
use signet_tls::{KeyExchange, ServerAddress};
use signet_upstream::UpstreamAuthority;
use signet_upstream::disk::{DiskFiles, DiskUpstream};
use signet_upstream::spire::{SpireSettings, SpireUpstream};
use std::sync::Arc;

/// Nothing is read or dialled yet.
pub(super) fn open(
    config: &ServerConfig,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn UpstreamAuthority>> {
    let trust_domain = config.trust_domain.clone();
    Some(match config.upstream.clone()? {
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
    })
}
