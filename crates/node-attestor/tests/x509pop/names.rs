//! What follows from the names in a certificate; SVIDs in the place of certificates.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, SanType};
use signet_node_attestor::x509pop::{
    ChainError, DEFAULT_SPIFFE_PREFIX, EvidenceError, Limits, Mode, TrustBundle, X509PopConfig,
};
use signet_node_attestor::{Peer, Refused, ServerAttestor};
use signet_spiffe::{Bundle, X509Authority};

use crate::world::{
    Authority, Never, Signs, World, attest, chain_error, domain, evidence, leaf, payload, server,
    texts,
};

fn with_uris(name: &str, uris: &[&str]) -> CertificateParams {
    let mut params = leaf(name);
    let uris = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()));
    params.subject_alt_names = uris.collect();
    params
}

#[tokio::test]
async fn uri_names_of_our_trust_domain_become_selectors_and_part_of_the_id() {
    let world = World::new();
    let uris = [
        "x509pop://example.org/zone/a1",
        "x509pop://other.org/zone/b",
        "x509pop://example.org/lonely",
        "x509pop://example.org/path/x/y",
        "https://example.org/zone/c",
    ];
    let mut config = world.config();
    let template = "/{{ .PluginName }}/{{ .URISanSelectors.zone }}-{{ .SerialNumberHex }}";
    config.agent_path_template = Some(template.to_owned());
    let shown = payload(world.chain_of(&with_uris("node", &uris)));
    let attested = attest(config, &shown, &mut Signs(&world.key))
        .await
        .unwrap();
    assert_eq!(attested.agent_id.path(), "/spire/agent/x509pop/a1-0abc");
    let mut sans = texts(&attested);
    sans.retain(|text| text.starts_with("x509pop:san:"));
    assert_eq!(sans, ["x509pop:san:zone:a1", "x509pop:san:path:x/y"]);
}

#[tokio::test]
async fn a_name_that_is_no_path_segment_gives_no_id() {
    let world = World::new();
    for name in ["../../spire/server", "a/b", "..", "a%2fb", "a b"] {
        let mut config = world.config();
        config.agent_path_template = Some("/x/{{ .Subject.CommonName }}".to_owned());
        let shown = payload(world.chain_of(&leaf(name)));
        let refused = attest(config, &shown, &mut Signs(&world.key)).await;
        assert!(matches!(refused, Err(Refused::AgentId(_))), "{name}");
    }
}

#[tokio::test]
async fn the_agents_address_must_be_in_the_certificate_if_so_configured() {
    let world = World::new();
    let mut params = leaf("node");
    params.subject_alt_names = ["10.0.0.7", "fd00::7"]
        .map(|address| SanType::IpAddress(address.parse().unwrap()))
        .to_vec();
    let shown = payload(world.chain_of(&params));
    for (address, is_fine) in [
        (Some("10.0.0.7"), true),
        (Some("::ffff:10.0.0.7"), true),
        (Some("fd00::7"), true),
        (Some("10.0.0.8"), false),
        (Some("fd00::8"), false),
        (None, false),
    ] {
        let mut config = world.config();
        config.verify_client_ip = true;
        let addr = address.map(|address| address.parse::<IpAddr>().unwrap());
        let server = server(config);
        let outcome = server
            .attest(&shown, &Peer { addr }, &mut Signs(&world.key))
            .await;
        assert_eq!(outcome.is_ok(), is_fine, "{address:?}");
        if !is_fine {
            assert!(matches!(evidence(outcome), EvidenceError::Address));
        }
    }
}

struct OneBundle(Arc<Bundle>);

impl TrustBundle for OneBundle {
    fn bundle(&self) -> Arc<Bundle> {
        self.0.clone()
    }
}

pub(crate) fn spiffe_mode(root: &Authority) -> X509PopConfig {
    let mut bundle = Bundle::empty(domain());
    bundle
        .x509_authorities
        .push(X509Authority::from_der(root.der()).unwrap());
    X509PopConfig {
        mode: Mode::Spiffe {
            bundle: Arc::new(OneBundle(Arc::new(bundle))),
            prefix: DEFAULT_SPIFFE_PREFIX.to_owned(),
        },
        limits: Limits::default(),
        agent_path_template: None,
        verify_client_ip: false,
    }
}

#[tokio::test]
async fn an_svid_with_the_prefix_is_exchanged_for_an_agent() {
    let world = World::new();
    let uris = ["spiffe://example.org/spire-exchange/rack/7"];
    let shown = payload(world.chain_of(&with_uris("node", &uris)));
    let config = spiffe_mode(&world.root);
    let attested = attest(config, &shown, &mut Signs(&world.key))
        .await
        .unwrap();
    assert_eq!(attested.agent_id.path(), "/spire/agent/x509pop/rack/7");
}

#[tokio::test]
async fn an_svid_without_the_prefix_or_of_another_domain_is_refused() {
    let world = World::new();
    for uris in [
        &["spiffe://example.org/workload"][..],
        &["spiffe://example.org/spire-exchange"],
        &["spiffe://other.org/spire-exchange/rack"],
        &[
            "spiffe://example.org/workload",
            "spiffe://example.org/spire-exchange/rack",
        ],
        &["spiffe://example.org/spire-exchange/../server"],
        &[],
    ] {
        let shown = payload(world.chain_of(&with_uris("node", uris)));
        let refused = attest(spiffe_mode(&world.root), &shown, &mut Never).await;
        assert!(
            matches!(evidence(refused), EvidenceError::Prefix),
            "{uris:?}"
        );
    }
}

#[tokio::test]
async fn an_svid_under_another_bundle_is_refused() {
    let (world, other) = (World::new(), World::new());
    let uris = ["spiffe://example.org/spire-exchange/rack"];
    let shown = payload(world.chain_of(&with_uris("node", &uris)));
    let refused = attest(spiffe_mode(&other.root), &shown, &mut Never).await;
    assert!(matches!(chain_error(refused), ChainError::Path(_)));
}
