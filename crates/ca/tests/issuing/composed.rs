//! Composed credentials: what a composer added is in what leaves, and foreign readers see it.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use signet_ca::{NewAuthority, X509Error, new_self_signed, sign_jwt, sign_x509};
use signet_crypto::KeyType;
use signet_model::approve::Attribute;
use signet_model::compose::{BoxError, CertificateParts, Composer, Composers, Extension};
use signet_spiffe::{PublicKey, SpiffeId, jwt_svid, x509_svid};

use crate::openssl::{openssl, write};
use crate::support::{
    approved, approved_jwt, authority, bundle, jwt_key, local, now, random, request, wanted,
};

/// Names the team that answers for a workload: in its subject, an extension and a claim.
struct Team {
    critical: bool,
}

fn team(critical: bool) -> Extension {
    // A UTF8String.
    let value = b"\x0c\x08platform".to_vec();
    Extension::new(vec![1, 3, 6, 1, 4, 1, 99999, 7], critical, value).unwrap()
}

impl Composer for Team {
    fn name(&self) -> &'static str {
        "team"
    }

    fn workload_x509(
        &self,
        _: &SpiffeId,
        _: &PublicKey,
        parts: &mut CertificateParts,
    ) -> Result<(), BoxError> {
        let subject = parts.subject.clone();
        parts.subject = subject.with(Attribute::OrganizationalUnit, "platform".to_owned());
        parts.dns_names = vec!["team.example".to_owned()];
        parts.extensions.push(team(self.critical));
        Ok(())
    }

    fn workload_jwt(&self, _: &SpiffeId, claims: &mut Map<String, Value>) -> Result<(), BoxError> {
        claims.insert("team".to_owned(), json!("platform"));
        Ok(())
    }
}

fn composers(critical: bool) -> Composers {
    Composers::new(vec![Arc::new(Team { critical })])
}

#[tokio::test]
async fn openssl_shows_subject_names_and_extension_of_a_composed_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(local(KeyType::EcP256)).await;
    let grant = approved(request()).composed(&composers(false)).unwrap();
    let issued = sign_x509(&authority, grant, &random(), now())
        .await
        .unwrap();
    assert!(x509_svid::verify(&issued.chain, &bundle(&authority), now()).is_ok());
    write(directory.path(), "leaf.pem", &issued.chain[0]);
    let show = ["x509", "-in", "leaf.pem", "-noout", "-text"];
    let Some(text) = openssl(directory.path(), &show) else {
        return;
    };
    assert!(
        text.contains("Subject: C = US, O = SPIRE, OU = platform"),
        "{text}"
    );
    assert!(
        text.contains("URI:spiffe://example.org/web, DNS:team.example"),
        "{text}"
    );
    assert!(text.contains("1.3.6.1.4.1.99999.7: \n"), "{text}");
    assert!(text.contains("platform"), "{text}");
    assert!(text.contains("Digital Signature, Key Encipherment, Key Agreement"));
}

#[tokio::test]
async fn a_critical_extension_is_written_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority(local(KeyType::EcP256)).await;
    let grant = approved(request()).composed(&composers(true)).unwrap();
    let issued = sign_x509(&authority, grant, &random(), now())
        .await
        .unwrap();
    write(directory.path(), "leaf.pem", &issued.chain[0]);
    let show = ["x509", "-in", "leaf.pem", "-noout", "-text"];
    if let Some(text) = openssl(directory.path(), &show) {
        assert!(text.contains("1.3.6.1.4.1.99999.7: critical"), "{text}");
    }
}

#[tokio::test]
async fn an_authority_carries_the_extensions_it_was_to_have() {
    let wanted = NewAuthority {
        extensions: vec![team(false)],
        ..wanted()
    };
    let made = new_self_signed(wanted, local(KeyType::EcP256), &random(), now()).await;
    let made = made.unwrap();
    let value = team(false).value().to_vec();
    let der = made.certificate_der();
    assert!(der.windows(value.len()).any(|window| window == value));
    let grant = approved(request());
    assert!(sign_x509(&made, grant, &random(), now()).await.is_ok());
}

#[tokio::test]
async fn a_subject_with_two_values_of_an_attribute_is_refused_and_not_written_wrongly() {
    let twice = Composers::new(vec![
        Arc::new(Team { critical: false }),
        Arc::new(AnotherUnit),
    ]);
    let authority = authority(local(KeyType::EcP256)).await;
    let grant = approved(request()).composed(&twice).unwrap();
    let error = sign_x509(&authority, grant, &random(), now()).await;
    assert!(matches!(error, Err(X509Error::Template(_))));
}

struct AnotherUnit;

impl Composer for AnotherUnit {
    fn name(&self) -> &'static str {
        "another unit"
    }

    fn workload_x509(
        &self,
        _: &SpiffeId,
        _: &PublicKey,
        parts: &mut CertificateParts,
    ) -> Result<(), BoxError> {
        let subject = parts.subject.clone();
        parts.subject = subject.with(Attribute::OrganizationalUnit, "other".to_owned());
        Ok(())
    }
}

#[tokio::test]
async fn a_composed_claim_is_in_the_token_beside_the_approved_ones() {
    let key = jwt_key(local(KeyType::EcP256));
    let grant = approved_jwt(&["db"]).composed(&composers(false)).unwrap();
    let issued = sign_jwt(&key, grant, now()).await.unwrap();
    let read = jwt_svid::parse_unverified(issued.token.expose()).unwrap();
    assert_eq!(read.claims["team"], "platform");
    assert_eq!(read.audience, ["db"]);
    assert_eq!(read.expires_at, issued.expires_at);
}
