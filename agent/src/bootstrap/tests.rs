//! The first bundle from files.

use super::*;
use crate::testing::{Ca, td};
use signet_spiffe::pem::encode_pem_certs;

async fn read_from(content: &str, format: BundleFormat) -> Result<Option<Bundle>, BootstrapError> {
    let dir = tempfile::tempdir().expect("made");
    let path = dir.path().join("bundle");
    std::fs::write(&path, content).expect("written");
    let source = BundleSource::File { path, format };
    Bootstrap {
        trust_domain: td(),
        source,
    }
    .bundle()
    .await
}

#[tokio::test]
async fn a_pem_file_and_a_spiffe_document_give_the_same_authority() {
    let ca = Ca::new();
    let pem = encode_pem_certs([&ca.authority().der]);
    let from_pem = read_from(&pem, BundleFormat::Pem)
        .await
        .expect("read")
        .expect("some");
    let document = jwks::encode(&ca.bundle(), jwks::Flavor::Spiffe);
    let from_document = read_from(&document, BundleFormat::Spiffe)
        .await
        .expect("read");
    let from_document = from_document.expect("some");
    assert_eq!(from_pem.x509_authorities, from_document.x509_authorities);
}

#[tokio::test]
async fn a_file_without_authority_or_in_the_other_form_is_refused() {
    let ca = Ca::new();
    let document = jwks::encode(&ca.bundle(), jwks::Flavor::Spiffe);
    for (content, format) in [
        ("", BundleFormat::Pem),
        (document.as_str(), BundleFormat::Pem),
        ("{\"keys\":[]}", BundleFormat::Spiffe),
        ("-----BEGIN", BundleFormat::Spiffe),
    ] {
        read_from(content, format).await.expect_err("no bundle");
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let source = BundleSource::File {
        path: "/nonexistent/bundle".into(),
        format: BundleFormat::Pem,
    };
    let bootstrap = Bootstrap {
        trust_domain: td(),
        source,
    };
    let error = bootstrap.bundle().await.expect_err("missing");
    assert!(error.to_string().contains("/nonexistent/bundle"));
}
