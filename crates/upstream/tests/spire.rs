//! The upstream server that cannot be reached: what the operator is told.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use signet_crypto::KeyType;
use signet_runtime::{Clock, TokioClock};
use signet_spiffe::TrustDomain;
use signet_tls::{KeyExchange, ServerAddress};
use signet_upstream::spire::{SpireSettings, SpireUpstream};
use signet_upstream::testing::request;
use signet_upstream::{UpstreamError, mint};

#[tokio::test]
async fn without_an_agent_the_socket_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent.sock");
    let settings = SpireSettings {
        server: ServerAddress {
            host: "127.0.0.1".to_owned(),
            port: 1,
        },
        workload_api_socket: socket.clone(),
        key_exchange: KeyExchange::default(),
    };
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(now));
    let upstream = SpireUpstream::new(settings, trust_domain.clone(), Arc::clone(&clock));
    let (_, request) = request(&trust_domain, KeyType::EcP256);
    let hour = Duration::from_secs(3600);
    let error = mint(&upstream, &request, hour, &trust_domain, &clock)
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(socket.to_str().unwrap()));
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("is the agent running?"), "{cause}");
    let refused = signet_upstream::UpstreamAuthority::mint_x509_ca(&upstream, b"x", hour).await;
    assert!(matches!(refused, Err(UpstreamError::Request(_))));
}
