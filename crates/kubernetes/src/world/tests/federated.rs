//! Which resource speaks for a federated trust domain.

use serde_json::{Value as Json, json};

use super::{Scene, rule};
use crate::objects::Kind;

fn federated(name: &str, created: u8, spec: Json) -> Json {
    rule(name, created, spec)
}

fn web(trust_domain: &str) -> Json {
    json!({"trustDomain": trust_domain, "bundleEndpointURL": "https://bundle.other.org/",
        "bundleEndpointProfile": {"type": "https_web"}})
}

#[test]
fn the_oldest_resource_speaks_for_a_trust_domain() {
    let mut scene = Scene::new();
    scene.put(
        Kind::FederatedTrustDomains,
        federated("young", 2, web("other.org")),
    );
    let mut old = web("other.org");
    old["bundleEndpointURL"] = json!("https://older.other.org/");
    scene.put(Kind::FederatedTrustDomains, federated("old", 1, old));
    let urls = |scene: &Scene| -> Vec<_> {
        scene
            .world
            .federated()
            .values()
            .map(|one| one.endpoint.url.clone())
            .collect()
    };
    assert_eq!(urls(&scene), ["https://older.other.org/"]);
    assert!(
        scene
            .problem_of("young")
            .unwrap()
            .contains("older resource")
    );
    scene.gone(Kind::FederatedTrustDomains, "uid-old");
    assert_eq!(urls(&scene), ["https://bundle.other.org/"]);
    let problem = scene.problem_of("young").unwrap();
    assert!(problem.contains("is not followed"), "{problem}");
}

#[test]
fn a_federated_trust_domain_that_cannot_be_is_refused() {
    let with = |key: &str, value: Json| {
        let mut spec = web("other.org");
        spec[key] = value;
        spec
    };
    let profile = |value: Json| with("bundleEndpointProfile", value);
    for (spec, problem) in [
        (web("Other"), "trustDomain"),
        (web("example.org"), "trustDomain: it is this server's own"),
        (
            with("bundleEndpointURL", json!("http://a")),
            "bundleEndpointURL",
        ),
        (
            with("bundleEndpointURL", json!("https:///x")),
            "bundleEndpointURL",
        ),
        (
            with("bundleEndpointURL", json!("https://u:p@a")),
            "bundleEndpointURL",
        ),
        (with("trustDomainBundle", json!("{}")), "trustDomainBundle"),
        (profile(json!({"type": "http"})), "bundleEndpointProfile"),
        (
            profile(json!({"type": "https_spiffe"})),
            "bundleEndpointProfile",
        ),
        (
            profile(json!({"type": "https_web", "endpointSPIFFEID": "spiffe://a/b"})),
            "bundleEndpointProfile",
        ),
    ] {
        let mut scene = Scene::new();
        scene.put(Kind::FederatedTrustDomains, federated("it", 1, spec));
        let found = scene.problem_of("it").unwrap();
        assert!(found.starts_with(problem), "{found}");
        assert!(scene.world.federated().is_empty());
    }
}
