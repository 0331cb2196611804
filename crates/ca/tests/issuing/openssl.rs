//! Certificates, judged by openssl. Skipped, and said so, where it is not installed.

use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use signet_ca::sign_x509;
use signet_crypto::KeyType;
use signet_spiffe::csr::Csr;
use signet_spiffe::pem;

use crate::support::{approved, authority, local, now, random, request};

/// What openssl says, or `None` if there is none.
#[allow(clippy::print_stdout, reason = "a test that skips something says so")]
pub(crate) fn openssl(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = match Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .output()
    {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: openssl is not installed");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {said} {errors}"
    );
    Some(said)
}

pub(crate) fn write(directory: &Path, name: &str, der: &[u8]) {
    std::fs::write(directory.join(name), pem::encode_pem_certs([der])).unwrap();
}

/// The lines, without indentation, that follow `heading`, up to and with the `count`th.
fn after<'a>(text: &'a str, heading: &str, count: usize) -> Vec<&'a str> {
    let lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with(heading));
    lines.skip(1).take(count).collect()
}

async fn made(directory: &Path, key_type: KeyType) {
    let authority = authority(local(key_type)).await;
    let asked = Csr {
        dns_names: vec!["web.test".into(), "api.test".into()],
        ..request()
    };
    let issued = sign_x509(&authority, approved(asked), &random(), now())
        .await
        .unwrap();
    write(directory, "ca.pem", authority.certificate_der());
    write(directory, "leaf.pem", &issued.chain[0]);
}

#[tokio::test]
async fn openssl_verifies_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let at = now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .to_string();
    for key_type in [KeyType::EcP256, KeyType::EcP384] {
        made(directory.path(), key_type).await;
        for purpose in ["sslclient", "sslserver"] {
            let arguments = [
                "verify",
                "-x509_strict",
                "-attime",
                &at,
                "-purpose",
                purpose,
                "-CAfile",
                "ca.pem",
                "leaf.pem",
            ];
            openssl(directory.path(), &arguments);
        }
    }
}

#[tokio::test]
async fn openssl_shows_the_template_of_a_workload() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path(), KeyType::EcP256).await;
    let show = ["x509", "-in", "leaf.pem", "-noout", "-text"];
    let Some(text) = openssl(directory.path(), &show) else {
        return;
    };
    assert!(text.contains("Version: 3"));
    assert!(
        text.contains("Subject: C = US, O = SPIRE, CN = web.test"),
        "{text}"
    );
    assert!(text.contains("Not Before: Jan 15 07:59:50 2027 GMT"));
    assert!(text.contains("Not After : Jan 15 09:00:00 2027 GMT"));
    assert!(text.contains("Signature Algorithm: ecdsa-with-SHA256"));
    assert_eq!(
        after(&text, "X509v3 Key Usage: critical", 1),
        ["Digital Signature, Key Encipherment, Key Agreement"]
    );
    assert_eq!(
        after(&text, "X509v3 Extended Key Usage:", 1),
        ["TLS Web Server Authentication, TLS Web Client Authentication"]
    );
    assert_eq!(
        after(&text, "X509v3 Basic Constraints: critical", 1),
        ["CA:FALSE"]
    );
    assert_eq!(
        after(&text, "X509v3 Subject Alternative Name:", 1),
        ["URI:spiffe://example.org/web, DNS:web.test, DNS:api.test"]
    );
    assert!(!text.contains("Subject Alternative Name: critical"));
    let extensions = text.matches("X509v3 ").count();
    assert_eq!(extensions, 7, "six extensions and their heading: {text}");
    let show_ca = ["x509", "-in", "ca.pem", "-noout", "-text"];
    let ca = openssl(directory.path(), &show_ca).unwrap();
    assert_eq!(
        after(&text, "X509v3 Authority Key Identifier", 1),
        after(&ca, "X509v3 Subject Key Identifier", 1)
    );
}

#[tokio::test]
async fn openssl_shows_the_template_of_an_authority() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path(), KeyType::EcP256).await;
    let show = ["x509", "-in", "ca.pem", "-noout", "-text"];
    let Some(text) = openssl(directory.path(), &show) else {
        return;
    };
    let hex = openssl(
        directory.path(),
        &["x509", "-in", "ca.pem", "-noout", "-serial"],
    )
    .unwrap();
    let hex = hex.trim().trim_start_matches("serial=");
    let decimal = u128::from_str_radix(hex, 16).unwrap();
    let subject = format!("Subject: C = US, O = SPIFFE, serialNumber = {decimal}");
    assert!(text.contains(&subject), "{text}");
    assert_eq!(
        after(&text, "X509v3 Key Usage: critical", 1),
        ["Certificate Sign, CRL Sign"]
    );
    assert_eq!(
        after(&text, "X509v3 Basic Constraints: critical", 1),
        ["CA:TRUE"]
    );
    assert_eq!(
        after(&text, "X509v3 Subject Alternative Name:", 1),
        ["URI:spiffe://example.org"]
    );
    assert!(!text.contains("Extended Key Usage") && !text.contains("pathlen"));
    assert_eq!(
        text.matches("X509v3 ").count(),
        5,
        "four extensions and their heading: {text}"
    );
}
