//! `api fetch x509`.

use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType, date_time_ymd};
use signet_cli::testing::Fake;
use signet_proto::workload::{X509svid, X509svidRequest, X509svidResponse};
use tonic::Status;

use super::asked;

const FETCH: &str = "/SpiffeWorkloadAPI/FetchX509SVID";

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 2);
    params
}

fn root() -> Vec<u8> {
    let mut params = params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn response() -> X509svidResponse {
    let mut leaf = params();
    let id = "spiffe://td/web".try_into().unwrap();
    leaf.subject_alt_names = vec![SanType::URI(id)];
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.self_signed(&key).unwrap();
    X509svidResponse {
        svids: vec![X509svid {
            spiffe_id: "spiffe://td/web".into(),
            x509_svid: leaf.der().to_vec().into(),
            x509_svid_key: key.serialize_der().into(),
            bundle: [root(), root()].concat().into(),
            hint: "in".into(),
        }],
        federated_bundles: [("spiffe://other".to_owned(), root().into())].into(),
        ..X509svidResponse::default()
    }
}

fn agent() -> Fake {
    let response = response();
    Fake::new().on(FETCH, move |_: X509svidRequest| Ok(response.clone()))
}

fn without_first_line(text: &str) -> &str {
    text.split_once('\n').unwrap().1
}

#[tokio::test]
async fn svids_are_shown_with_their_lifetimes() {
    for line in ["api fetch", "api fetch x509", "api fetch -timeout 9s"] {
        let answer = asked(&agent(), line).await.unwrap();
        assert!(answer.text.starts_with("Received 1 svid after "), "{line}");
        assert_eq!(
            without_first_line(&answer.text),
            "\n\
             SPIFFE ID:\t\tspiffe://td/web\n\
             Hint:\t\t\tin\n\
             SVID Valid After:\t2026-01-01 00:00:00 +0000 UTC\n\
             SVID Valid Until:\t2026-01-02 00:00:00 +0000 UTC\n\
             CA #1 Valid After:\t2026-01-01 00:00:00 +0000 UTC\n\
             CA #1 Valid Until:\t2026-01-02 00:00:00 +0000 UTC\n\
             CA #2 Valid After:\t2026-01-01 00:00:00 +0000 UTC\n\
             CA #2 Valid Until:\t2026-01-02 00:00:00 +0000 UTC\n\
             [spiffe://other] CA #1 Valid After:\t2026-01-01 00:00:00 +0000 UTC\n\
             [spiffe://other] CA #1 Valid Until:\t2026-01-02 00:00:00 +0000 UTC\n"
        );
    }
}

#[tokio::test]
async fn json_has_every_field() {
    let answer = asked(&agent(), "api fetch x509").await.unwrap();
    let json = answer.json.unwrap();
    assert_eq!(json["svids"][0]["hint"], "in");
    assert_eq!(json["crl"], serde_json::json!([]));
    assert!(json["federated_bundles"]["spiffe://other"].is_string());
}

#[tokio::test]
async fn files_are_written_under_spires_names() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("api fetch x509 -silent -write {}", folder.path().display());
    let answer = asked(&agent(), &line).await.unwrap();
    assert_eq!(answer.text, "");
    let mut files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            (file.file_name().into_string().unwrap(), mode)
        })
        .collect();
    files.sort();
    let expected = [
        ("bundle.0.pem", 0o644),
        ("federated_bundle.0.0.pem", 0o644),
        ("svid.0.key", 0o600),
        ("svid.0.pem", 0o644),
    ];
    assert_eq!(files, expected.map(|(name, mode)| (name.to_owned(), mode)));
    let bundle = std::fs::read_to_string(folder.path().join("bundle.0.pem")).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
}

#[tokio::test]
async fn a_workload_without_identity_learns_how_to_find_out_why() {
    let agent = Fake::new().on(FETCH, |_: X509svidRequest| {
        Err::<X509svidResponse, _>(Status::permission_denied("no identity issued"))
    });
    let failure = asked(&agent, "api fetch").await.unwrap_err().to_string();
    assert!(failure.contains("no identity issued"), "{failure}");
    assert!(failure.contains("signet-agent why"), "{failure}");
}

#[tokio::test]
async fn an_answer_that_is_no_certificate_is_refused() {
    let agent = Fake::new().on(FETCH, |_: X509svidRequest| {
        let mut response = response();
        response.svids[0].x509_svid = b"nonsense".to_vec().into();
        Ok(response)
    });
    assert!(asked(&agent, "api fetch").await.is_err());
}
