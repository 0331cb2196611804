//! Certificates, read by our own reader.

use std::sync::Arc;
use std::time::Duration;

use signet_ca::{
    AuthorityError, BridgeError, Mismatch, NewAuthority, TemplateError, X509Authority, X509Error,
    new_self_signed, sign_x509,
};
use signet_crypto::KeyType;
use signet_model::approve::{Attribute, Subject, agent_x509, server_x509};
use signet_spiffe::csr::{Csr, SubjectAttribute};
use signet_spiffe::{Certificate, SpiffeId, x509_svid};

use crate::support::{
    DAY, LyingSigner, approved, authority, bundle, id, local, moment, now, policy, random, remote,
    request, td, wanted, workload_key,
};

#[tokio::test]
async fn a_workloads_certificate_verifies_and_says_what_was_approved() {
    let authority = authority(local(KeyType::EcP256)).await;
    let asked = Csr {
        dns_names: vec!["web".into(), "api".into()],
        ..request()
    };
    let key = asked.public_key.clone();
    let issued = sign_x509(&authority, approved(asked), &random(), now())
        .await
        .unwrap();
    assert_eq!(
        issued.chain.len(),
        1,
        "under a self-signed authority only the leaf"
    );
    let svid = x509_svid::verify(&issued.chain, &bundle(&authority), now()).unwrap();
    assert_eq!(svid.id, id("/web"));
    assert_eq!(svid.public_key, key);
    assert_eq!(svid.serial, issued.serial);
    assert_eq!(svid.not_before, now() - Duration::from_secs(10));
    assert_eq!(svid.not_after, now() + Duration::from_secs(3600));
    let leaf = Certificate::parse(&issued.chain[0]).unwrap();
    assert_eq!(leaf.alt_names.unwrap().dns_names, ["web", "api"]);
    assert_eq!(leaf.authority_key_id.unwrap(), authority.subject_key_id());
}

#[tokio::test]
async fn the_certificates_of_server_and_agent_verify() {
    let authority = authority(local(KeyType::EcP256)).await;
    let agent = id("/spire/agent/join_token/a");
    let end = moment(authority.not_after());
    let grants = [
        (
            id("/spire/server"),
            server_x509(&policy(), end, workload_key()).unwrap(),
        ),
        (
            agent.clone(),
            agent_x509(&policy(), end, &agent, None, workload_key()).unwrap(),
        ),
    ];
    for (id, grant) in grants {
        let issued = sign_x509(&authority, grant, &random(), now())
            .await
            .unwrap();
        let svid = x509_svid::verify(&issued.chain, &bundle(&authority), now()).unwrap();
        assert_eq!(svid.id, id);
    }
}

#[tokio::test]
async fn authorities_of_every_key_type_sign_keys_of_every_type() {
    for authority_type in key_types() {
        let authority = authority(local(authority_type)).await;
        for leaf_type in key_types() {
            let public_key = local(leaf_type).public_key().clone();
            let asked = Csr {
                public_key,
                ..request()
            };
            let issued = sign_x509(&authority, approved(asked), &random(), now())
                .await
                .unwrap();
            x509_svid::verify(&issued.chain, &bundle(&authority), now()).unwrap();
        }
    }
}

fn key_types() -> Vec<KeyType> {
    let mut types = vec![KeyType::EcP256, KeyType::EcP384];
    if signet_crypto::HAS_AWS_LC {
        types.push(KeyType::Rsa2048);
    }
    types
}

#[tokio::test]
async fn a_remote_key_signs_the_same_as_a_local_one() {
    let (_keys, signer) = remote().await;
    let authority = authority(signer).await;
    let issued = sign_x509(&authority, approved(request()), &random(), now())
        .await
        .unwrap();
    x509_svid::verify(&issued.chain, &bundle(&authority), now()).unwrap();
}

#[tokio::test]
async fn a_remote_key_out_of_reach_is_a_transient_error() {
    let (keys, signer) = remote().await;
    let authority = authority(signer).await;
    keys.cut_off(true);
    let error = sign_x509(&authority, approved(request()), &random(), now())
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    keys.cut_off(false);
    sign_x509(&authority, approved(request()), &random(), now())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_remote_key_that_signs_something_else_is_caught() {
    let honest = local(KeyType::EcP256);
    let made = authority(Arc::clone(&honest)).await;
    let liar = Arc::new(LyingSigner(honest));
    let wanted = new_self_signed(wanted(), Arc::clone(&liar) as _, &random(), now()).await;
    assert!(matches!(
        wanted,
        Err(X509Error::Product(Mismatch::Signature))
    ));
    let authority = X509Authority::new(made.certificate_der(), Vec::new(), liar).unwrap();
    let error = sign_x509(&authority, approved(request()), &random(), now())
        .await
        .unwrap_err();
    assert!(matches!(error, X509Error::Product(Mismatch::Signature)));
}

#[tokio::test]
async fn serial_numbers_are_random_and_of_128_bits() {
    let authority = authority(local(KeyType::EcP256)).await;
    let random = random();
    let first = sign_x509(&authority, approved(request()), &random, now())
        .await
        .unwrap();
    let second = sign_x509(&authority, approved(request()), &random, now())
        .await
        .unwrap();
    assert_ne!(first.serial, second.serial);
    assert!(first.serial.as_bytes().len() > 12 && first.serial.as_bytes().len() <= 16);
}

#[tokio::test]
async fn under_an_upstream_authority_the_chain_follows_the_leaf() {
    let signer = local(KeyType::EcP256);
    let made = authority(Arc::clone(&signer)).await;
    let carried = vec![Arc::clone(made.certificate_der())];
    let authority = X509Authority::new(made.certificate_der(), carried, signer).unwrap();
    let issued = sign_x509(&authority, approved(request()), &random(), now())
        .await
        .unwrap();
    assert_eq!(issued.chain.len(), 2);
    assert_eq!(issued.chain[1], made.certificate_der().to_vec());
    x509_svid::verify(&issued.chain, &bundle(&authority), now()).unwrap();
}

#[tokio::test]
async fn a_certificate_does_not_outlive_its_authority() {
    let short = NewAuthority {
        ttl: Duration::from_secs(600),
        ..wanted()
    };
    let authority = new_self_signed(short, local(KeyType::EcP256), &random(), now())
        .await
        .unwrap();
    let error = sign_x509(&authority, approved(request()), &random(), now())
        .await
        .unwrap_err();
    assert!(matches!(error, X509Error::Outlives));
}

#[tokio::test]
async fn what_is_not_valid_now_does_not_leave() {
    let authority = authority(local(KeyType::EcP256)).await;
    let late = now() + Duration::from_secs(3601);
    for at in [late, now() - Duration::from_secs(60)] {
        let error = sign_x509(&authority, approved(request()), &random(), at)
            .await
            .unwrap_err();
        assert!(
            matches!(error, X509Error::Product(Mismatch::NotValidNow)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_authority_is_a_self_signed_ca_of_its_trust_domain() {
    let authority = authority(local(KeyType::EcP256)).await;
    let certificate = authority.certificate();
    assert_eq!(certificate.uris(), [td().id().to_string()]);
    assert_eq!(certificate.subject_der(), certificate.issuer_der());
    assert_eq!(certificate.not_before, now() - Duration::from_secs(10));
    assert_eq!(authority.not_after(), now() + DAY);
    assert_eq!(authority.authority_id().len(), 40);
    assert_eq!(
        authority.subject_key_id(),
        authority.signer().public_key().subject_key_id()
    );
}

#[tokio::test]
async fn a_stored_authority_signs_as_the_one_that_was_made() {
    let signer = local(KeyType::EcP256);
    let subject = Subject::new([
        (Attribute::Country, "DE".to_owned()),
        (Attribute::Organization, "Größe & Söhne".to_owned()),
        (Attribute::CommonName, "example.org".to_owned()),
    ]);
    let named = NewAuthority {
        subject: Some(subject),
        ..wanted()
    };
    let made = new_self_signed(named, Arc::clone(&signer), &random(), now())
        .await
        .unwrap();
    let stored = X509Authority::new(made.certificate_der(), Vec::new(), signer).unwrap();
    let issued = sign_x509(&stored, approved(request()), &random(), now())
        .await
        .unwrap();
    x509_svid::verify(&issued.chain, &bundle(&made), now()).unwrap();
}

#[tokio::test]
async fn a_certificate_with_another_key_or_of_a_leaf_is_no_authority() {
    let authority = authority(local(KeyType::EcP256)).await;
    let other = local(KeyType::EcP256);
    let refused = X509Authority::new(authority.certificate_der(), Vec::new(), Arc::clone(&other));
    assert!(matches!(refused, Err(AuthorityError::OtherKey)));
    let asked = Csr {
        public_key: other.public_key().clone(),
        ..request()
    };
    let issued = sign_x509(&authority, approved(asked), &random(), now())
        .await
        .unwrap();
    let refused = X509Authority::new(&issued.chain[0], Vec::new(), other);
    assert!(matches!(refused, Err(AuthorityError::Certificate { .. })));
}

#[tokio::test]
async fn a_lifetime_that_no_certificate_can_say_is_refused() {
    for ttl in [
        Duration::ZERO,
        Duration::from_millis(900),
        Duration::MAX,
        DAY * 365 * 9000,
    ] {
        let wanted = NewAuthority { ttl, ..wanted() };
        let signer = local(KeyType::EcP256);
        let refused = new_self_signed(wanted, signer, &random(), now())
            .await
            .unwrap_err();
        assert!(matches!(refused, X509Error::Lifetime { .. }));
    }
}

#[tokio::test]
async fn a_subject_with_two_values_of_an_attribute_is_refused_by_name() {
    let authority = authority(local(KeyType::EcP256)).await;
    const UNIT: [u64; 4] = [2, 5, 4, 11];
    let unit = |name: &str| SubjectAttribute {
        oid: UNIT.to_vec(),
        value: name.to_owned(),
    };
    let asked = Csr {
        subject: vec![unit("a"), unit("b")],
        ..request()
    };
    let refused = sign_x509(&authority, approved(asked), &random(), now())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, X509Error::Template(TemplateError::Name(_))),
        "{refused:?}"
    );
}

/// SubjectPublicKeyInfo of a P-521 key, for which rcgen over ring has no name.
const P521_SPKI: &str = "30819b301006072a8648ce3d020106052b81040023038186000401b6862871d575889a076bf4aa68843c1132ab64d5dbde9d091959ffda6bce07837b209667ba88a390edca6c21fdcfa7f2c217459dea1c423c536e715ac6269bcf2e00ef7e53074ebf2b93cc5eefc296cd26949bbe56e42a11f462593548385e75d40b6b1b295547d2ff13ff8d9daf7bd58862737a6af7a491c8063ca90808eee21b7686";

#[tokio::test]
async fn a_p521_key_is_refused_by_name() {
    let authority = authority(local(KeyType::EcP256)).await;
    let spki: Vec<u8> = (0..P521_SPKI.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&P521_SPKI[at..at + 2], 16).unwrap())
        .collect();
    let Ok(public_key) = signet_spiffe::PublicKey::from_spki_der(&spki) else {
        return;
    };
    let asked = Csr {
        public_key,
        ..request()
    };
    let refused = sign_x509(&authority, approved(asked), &random(), now())
        .await
        .unwrap_err();
    assert!(matches!(
        refused,
        X509Error::Sign(BridgeError::UnsupportedKey)
    ));
}

#[test]
fn a_foreign_trust_domain_is_not_even_approved() {
    let foreign = SpiffeId::parse("spiffe://other.org/web").unwrap();
    let asked = Csr {
        spiffe_ids: vec![foreign],
        ..request()
    };
    signet_model::approve::mint_x509(&policy(), moment(now() + DAY), asked, None).unwrap_err();
}
