//! Authorities below others: what stands in them, and what they can sign.

use std::sync::Arc;
use std::time::Duration;

use signet_ca::{Mismatch, X509Authority, X509Error, ca_request, sign_ca, sign_x509};
use signet_crypto::KeyType;
use signet_keys::Signer;
use signet_model::Approved;
use signet_model::approve::{Attribute, CaGrant, Subject, own_ca};
use signet_spiffe::csr;
use signet_spiffe::x509_svid;

use crate::support::{
    DAY, LyingSigner, approved, authority, bundle, local, moment, now, random, remote, request, td,
};

async fn grant(signer: &dyn Signer, ttl: Duration) -> Approved<CaGrant> {
    let asked = ca_request(&td(), None, signer).await.unwrap();
    own_ca(
        &td(),
        moment(now() + DAY),
        csr::verify(&asked).unwrap(),
        ttl,
    )
    .unwrap()
}

/// An authority below `above`.
async fn below(above: &X509Authority, signer: Arc<dyn Signer>) -> X509Authority {
    let approved = grant(&*signer, DAY).await;
    let issued = sign_ca(above, approved, &random(), now()).await.unwrap();
    let chain: Vec<Arc<[u8]>> = issued.chain.into_iter().map(Arc::from).collect();
    X509Authority::new(&chain[0].clone(), chain, signer).unwrap()
}

fn unit(authority: &X509Authority) -> String {
    let (_, name) = x509_parser::prelude::FromDer::from_der(authority.certificate().subject_der())
        .unwrap_or_else(|_| panic!("a name"));
    let name: x509_parser::x509::X509Name<'_> = name;
    name.to_string()
}

#[tokio::test]
async fn svids_verify_below_one_two_and_three_authorities() {
    let root = authority(local(KeyType::EcP256)).await;
    let bundle = bundle(&root);
    let mut signing = root;
    for (length, key_type) in [
        (1, KeyType::EcP384),
        (2, KeyType::EcP256),
        (3, KeyType::EcP256),
    ] {
        let issued = sign_x509(&signing, approved(request()), &random(), now())
            .await
            .unwrap();
        assert_eq!(issued.chain.len(), length);
        x509_svid::verify(&issued.chain, &bundle, now()).unwrap();
        signing = below(&signing, local(key_type)).await;
    }
}

#[tokio::test]
async fn a_downstream_authority_is_named_after_its_depth_and_lives_as_approved() {
    let root = authority(local(KeyType::EcP256)).await;
    let one = below(&root, local(KeyType::EcP256)).await;
    let two = below(&one, local(KeyType::EcP256)).await;
    let three = below(&two, local(KeyType::EcP256)).await;
    assert!(unit(&one).contains("OU=DOWNSTREAM-1"), "{}", unit(&one));
    assert!(unit(&two).contains("OU=DOWNSTREAM-2"), "{}", unit(&two));
    assert!(unit(&three).contains("OU=DOWNSTREAM-3"), "{}", unit(&three));
    let certificate = one.certificate();
    assert_eq!(certificate.uris(), ["spiffe://example.org"]);
    assert_eq!(certificate.path_len(), None);
    assert_eq!(certificate.not_after, now() + DAY);
    assert_eq!(certificate.authority_key_id, Some(root.subject_key_id()));
}

#[tokio::test]
async fn an_authority_that_would_outlive_the_signing_one_is_not_signed() {
    let root = authority(local(KeyType::EcP256)).await;
    let signer = local(KeyType::EcP256);
    let asked = ca_request(&td(), None, &*signer).await.unwrap();
    let late = moment(now() + 2 * DAY);
    let approved = own_ca(&td(), late, csr::verify(&asked).unwrap(), 2 * DAY).unwrap();
    let refused = sign_ca(&root, approved, &random(), now()).await;
    assert!(matches!(refused, Err(X509Error::Outlives)));
}

#[tokio::test]
async fn a_remote_key_signs_authorities_and_a_lying_one_is_caught() {
    let (_keys, signer) = remote().await;
    let root = authority(signer.clone()).await;
    let below = below(&root, local(KeyType::EcP256)).await;
    below
        .certificate()
        .check_issued_by(root.certificate())
        .unwrap();
    let liar = X509Authority::new(
        root.certificate_der(),
        Vec::new(),
        Arc::new(LyingSigner(signer)),
    )
    .unwrap();
    let key = local(KeyType::EcP256);
    let caught = sign_ca(&liar, grant(&*key, DAY).await, &random(), now()).await;
    assert!(matches!(
        caught,
        Err(X509Error::Product(Mismatch::Signature))
    ));
}

#[tokio::test]
async fn a_request_is_signed_by_its_key_and_names_the_trust_domain() {
    let (_keys, remote) = remote().await;
    for signer in [local(KeyType::EcP256), local(KeyType::EcP384), remote] {
        let subject = Subject::new([(Attribute::Organization, "Acme".to_owned())]);
        let made = ca_request(&td(), Some(subject), &*signer).await.unwrap();
        let asked = csr::verify(&made).unwrap();
        assert_eq!(asked.public_key, *signer.public_key());
        assert_eq!(asked.spiffe_ids, [td().id()]);
        assert_eq!(asked.uri_count, 1);
        assert_eq!(asked.subject[0].value, "Acme");
    }
}
