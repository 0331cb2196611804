//! `bundle …`.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use signet_cli::testing::Fake;
use signet_proto::spire::server::bundle::v1::{
    BatchDeleteFederatedBundleRequest, BatchDeleteFederatedBundleResponse,
    BatchSetFederatedBundleRequest, BatchSetFederatedBundleResponse, CountBundlesRequest,
    CountBundlesResponse, GetBundleRequest, GetFederatedBundleRequest, ListFederatedBundlesRequest,
    ListFederatedBundlesResponse, batch_delete_federated_bundle_response,
    batch_set_federated_bundle_response,
};
use signet_proto::spire::types::{Bundle, JwtKey, Status, X509Certificate};

use super::asked;

const SHOW: &str = "/spire.api.server.bundle.v1.Bundle/GetBundle";
const COUNT: &str = "/spire.api.server.bundle.v1.Bundle/CountBundles";
const LIST: &str = "/spire.api.server.bundle.v1.Bundle/ListFederatedBundles";
const GET: &str = "/spire.api.server.bundle.v1.Bundle/GetFederatedBundle";
const SET: &str = "/spire.api.server.bundle.v1.Bundle/BatchSetFederatedBundle";
const DELETE: &str = "/spire.api.server.bundle.v1.Bundle/BatchDeleteFederatedBundle";

/// A root certificate and the public half of its key.
fn root() -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap(), key)
}

fn bundle(trust_domain: &str) -> (Bundle, String) {
    let (certificate, key) = root();
    let bundle = Bundle {
        trust_domain: trust_domain.into(),
        x509_authorities: vec![X509Certificate {
            asn1: certificate.der().to_vec().into(),
            tainted: false,
        }],
        jwt_authorities: vec![JwtKey {
            public_key: rcgen::PublicKeyData::subject_public_key_info(&key).into(),
            key_id: "kid".into(),
            expires_at: 7,
            tainted: false,
        }],
        refresh_hint: 300,
        sequence_number: 4,
        wit_authorities: Vec::new(),
    };
    (bundle, certificate.pem().replace("\r\n", "\n"))
}

fn ok() -> Option<Status> {
    Some(Status {
        code: 0,
        message: "OK".into(),
    })
}

fn showing(bundle: Bundle) -> Fake {
    Fake::new().on(SHOW, move |_: GetBundleRequest| Ok(bundle.clone()))
}

#[tokio::test]
async fn a_bundle_is_shown_in_pem() {
    let (bundle, pem) = bundle("td");
    let answer = asked(&showing(bundle), "bundle show").await.unwrap();
    assert_eq!(answer.text, pem);
    let json = answer.json.unwrap();
    assert_eq!(json["sequence_number"], "4");
    assert_eq!(json["jwt_authorities"][0]["expires_at"], "7");
}

#[tokio::test]
async fn a_bundle_is_shown_as_a_spiffe_document() {
    let server = showing(bundle("td").0);
    let answer = asked(&server, "bundle show -format spiffe").await.unwrap();
    let document: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(document["spiffe_sequence"], 4);
    assert_eq!(document["spiffe_refresh_hint"], 300);
    assert_eq!(document["keys"][0]["use"], "x509-svid");
    assert_eq!(document["keys"][1]["kid"], "kid");
}

#[tokio::test]
async fn a_bundle_that_is_none_is_named() {
    let mut broken = bundle("td").0;
    broken.x509_authorities[0].asn1 = b"no certificate".to_vec().into();
    let failure = asked(&showing(broken), "bundle show -format spiffe").await;
    let failure = failure.unwrap_err().to_string();
    assert!(
        failure.starts_with("the bundle of td cannot be used: "),
        "{failure}"
    );
}

#[tokio::test]
async fn bundles_are_counted() {
    let server = Fake::new().on(COUNT, |_: CountBundlesRequest| {
        Ok(CountBundlesResponse { count: 1 })
    });
    let answer = asked(&server, "bundle count").await.unwrap();
    assert_eq!(answer.text, "1 bundle\n");
    assert_eq!(answer.json, Some(json!({ "count": 1 })));
}

#[tokio::test]
async fn listed_bundles_stand_under_their_trust_domain() {
    let (one, one_pem) = bundle("one");
    let (two, two_pem) = bundle("two");
    let server = Fake::new().on(LIST, move |_: ListFederatedBundlesRequest| {
        Ok(ListFederatedBundlesResponse {
            bundles: vec![one.clone(), two.clone()],
            ..Default::default()
        })
    });
    let answer = asked(&server, "bundle list").await.unwrap();
    let rule = "*".repeat(40);
    let expected = format!(
        "{rule}\n* spiffe://one\n{rule}\n{one_pem}\n{rule}\n* spiffe://two\n{rule}\n{two_pem}"
    );
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn one_bundle_is_listed_alone() {
    let (one, pem) = bundle("one");
    let server = Fake::new().on(GET, move |request: GetFederatedBundleRequest| {
        assert_eq!(request.trust_domain, "one");
        Ok(one.clone())
    });
    let answer = asked(&server, "bundle list -id spiffe://one")
        .await
        .unwrap();
    assert_eq!(answer.text, pem);
}

/// Expects this bundle, and stores it.
fn storing(expected: Bundle) -> Fake {
    Fake::new().on(SET, move |request: BatchSetFederatedBundleRequest| {
        assert_eq!(request.bundle, std::slice::from_ref(&expected));
        let result = batch_set_federated_bundle_response::Result {
            status: ok(),
            bundle: request.bundle.into_iter().next(),
        };
        Ok(BatchSetFederatedBundleResponse {
            results: vec![result],
        })
    })
}

#[tokio::test]
async fn a_bundle_is_set_from_pem() {
    let (bundle, pem) = bundle("td");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.pem");
    std::fs::write(&path, pem).unwrap();
    let expected = Bundle {
        trust_domain: "td".into(),
        x509_authorities: bundle.x509_authorities,
        ..Bundle::default()
    };
    let line = format!("bundle set -id td -path {}", path.display());
    let answer = asked(&storing(expected), &line).await.unwrap();
    assert_eq!(answer.text, "bundle set.\n");
}

#[tokio::test]
async fn a_shown_document_can_be_set() {
    let (mut bundle, _) = bundle("td");
    let shown = asked(&showing(bundle.clone()), "bundle show -format spiffe")
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.json");
    std::fs::write(&path, shown.text).unwrap();
    // Documents do not carry when a key ends.
    bundle.jwt_authorities[0].expires_at = 0;
    let line = format!("bundle set -id td -format spiffe -path {}", path.display());
    asked(&storing(bundle), &line).await.unwrap();
}

#[tokio::test]
async fn a_file_without_certificate_is_refused_before_the_server_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.pem");
    std::fs::write(&path, "{\"keys\": []}").unwrap();
    let line = format!("bundle set -id td -path {}", path.display());
    let failure = asked(&Fake::new(), &line).await.unwrap_err().to_string();
    assert!(failure.contains("--format spiffe"), "{failure}");
}

#[tokio::test]
async fn a_bundle_still_in_use_is_not_deleted() {
    let server = Fake::new().on(DELETE, |request: BatchDeleteFederatedBundleRequest| {
        assert_eq!(request.mode, 0);
        let result = batch_delete_federated_bundle_response::Result {
            status: Some(Status {
                code: 9,
                message: "in use".into(),
            }),
            trust_domain: "td".into(),
        };
        Ok(BatchDeleteFederatedBundleResponse {
            results: vec![result],
        })
    });
    let answer = asked(&server, "bundle delete -id td").await.unwrap();
    assert!(answer.failed);
    assert!(
        answer.problems.contains("FailedPrecondition"),
        "{}",
        answer.problems
    );
}

#[tokio::test]
async fn the_mode_of_a_deletion_reaches_the_server() {
    let server = Fake::new().on(DELETE, |request: BatchDeleteFederatedBundleRequest| {
        assert_eq!(request.mode, 2);
        let result = batch_delete_federated_bundle_response::Result {
            status: ok(),
            trust_domain: "td".into(),
        };
        Ok(BatchDeleteFederatedBundleResponse {
            results: vec![result],
        })
    });
    let line = "bundle delete -id spiffe://td -mode dissociate";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(answer.text, "bundle deleted.\n");
}

#[tokio::test]
async fn a_path_behind_the_trust_domain_is_refused() {
    assert!(super::parsed("bundle delete -id spiffe://td/web").is_err());
}
