//! Token, agent, entry, and both kinds of SVID, judged by others' code.

use std::collections::HashSet;
use std::path::Path;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::Value;
use signet_tests::{Scene, id};
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::judges::{assert_key_fits, assert_verifies, jwt_bundle, jwt_key, text_of};

const WORKLOAD: &str = "/workload";

#[tokio::test]
async fn a_workload_gets_an_x509_svid_that_openssl_accepts() {
    let scene = Scene::start().await;
    scene.server.entry(WORKLOAD, &["-x509SVIDTTL", "600"]).await;
    let svids = scene.path().join("svids");
    scene.agent.fetch_x509_to(&svids).await;

    let (bundle, svid) = (svids.join("bundle.0.pem"), svids.join("svid.0.pem"));
    assert_verifies(&bundle, &svid).await;
    assert_key_fits(&svid, &svids.join("svid.0.key")).await;
    the_text_shows_the_template(&svid).await;
    the_facts_fit_the_template(&svids);
}

async fn the_text_shows_the_template(svid: &Path) {
    let text = text_of(svid).await;
    let uri = format!("URI:{}", id(WORKLOAD));
    let facts = [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Subject: C = US, O = SPIRE",
        "ASN1 OID: prime256v1",
        "X509v3 Key Usage: critical",
        "Digital Signature, Key Encipherment, Key Agreement",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical",
        "CA:FALSE",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        &uri,
    ];
    for fact in facts {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
    assert!(
        !text.contains("Subject Alternative Name: critical"),
        "{text}"
    );
    assert_eq!(text.matches("URI:").count(), 1, "{text}");
}

fn the_facts_fit_the_template(svids: &Path) {
    let svid = pem_der(&svids.join("svid.0.pem"));
    let authority = pem_der(&svids.join("bundle.0.pem"));
    let (_, svid) = X509Certificate::from_der(&svid).unwrap();
    let (_, authority) = X509Certificate::from_der(&authority).unwrap();
    let validity = svid.validity();
    let lifetime = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert_eq!(lifetime, 610, "ten seconds back, and the entry's lifetime");
    assert!(svid.raw_serial().len() <= 17);
    assert_ne!(svid.raw_serial(), authority.raw_serial());
    assert_eq!(authority_key_id(&svid), subject_key_id(&authority));
    assert!(authority.is_ca());
}

fn subject_key_id(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let ids =
        certificate
            .iter_extensions()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            });
    ids.last().unwrap()
}

fn authority_key_id(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let found = certificate.get_extension_unique(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
    match found.unwrap().unwrap().parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            id.key_identifier.as_ref().unwrap().0.to_vec()
        }
        other => panic!("{other:?}"),
    }
}

fn pem_der(path: &Path) -> Vec<u8> {
    let pem = std::fs::read(path).unwrap();
    let (rest, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    assert!(
        rest.trim_ascii().is_empty(),
        "one certificate in {}",
        path.display()
    );
    pem.contents
}

#[tokio::test]
async fn a_workload_gets_a_jwt_svid_that_another_library_accepts() {
    let scene = Scene::start().await;
    scene.server.entry(WORKLOAD, &["-jwtSVIDTTL", "300"]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    let token = scene.agent.fetch_jwt("payments").await;

    let header = decode_header(&token).unwrap();
    assert_eq!(
        (header.alg, header.typ.as_deref()),
        (Algorithm::ES256, Some("JWT"))
    );
    let bundle = jwt_bundle(&scene.server).await;
    let key = jwt_key(&bundle, &header.kid.unwrap());
    let claims = decode::<Value>(&token, &key, &expecting("payments"))
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], id(WORKLOAD));
    assert_eq!(claims["aud"], serde_json::json!(["payments"]));
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        300
    );
    let names: HashSet<_> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, HashSet::from(["sub", "aud", "exp", "iat"]));
    assert!(decode::<Value>(&token, &key, &expecting("orders")).is_err());
}

fn expecting(audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation
}

#[tokio::test]
async fn a_workload_without_an_entry_is_told_that_it_has_no_identity() {
    let scene = Scene::start().await;
    let answer = scene.agent.cli(&["api", "fetch", "x509"]).await.refused();
    assert!(answer.contains("no identity issued"), "{answer}");
}

#[tokio::test]
async fn a_token_for_one_audience_is_not_valid_for_another() {
    let scene = Scene::start().await;
    scene.server.entry(WORKLOAD, &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    let token = scene.agent.fetch_jwt("payments").await;
    let validate = async |audience| {
        scene
            .agent
            .cli(&[
                "api",
                "validate",
                "jwt",
                "-audience",
                audience,
                "-svid",
                &token,
            ])
            .await
    };
    let valid = validate("payments").await.ok();
    assert!(
        valid.contains("SVID is valid.") && valid.contains(&id(WORKLOAD)),
        "{valid}"
    );
    validate("orders").await.refused();
}
