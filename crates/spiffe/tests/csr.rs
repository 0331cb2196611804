//! Certificate requests: what is read from them, and which are refused.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod pki;

use pki::{ID, KEY_USAGE, dns, extension, uri};
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _};
use signet_crypto::{KeyError, VerifyError};
use signet_spiffe::certificate::{CertificateError, MAX_ALT_NAMES};
use signet_spiffe::csr::{CsrError, MAX_CSR_LEN, MAX_SUBJECT_ATTRIBUTES, parse, verify};

fn request(params: &CertificateParams) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    (der, key)
}

fn ordinary() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "US");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "SPIRE");
    params.subject_alt_names = vec![uri(ID), dns("a.example.org")];
    params
}

fn fixture(text: &str) -> Vec<u8> {
    signet_crypto::pem::parse(text).unwrap()[0]
        .content
        .expose()
        .to_vec()
}

#[test]
fn a_request_gives_its_key_and_what_it_wishes() {
    let (der, key) = request(&ordinary());
    let csr = verify(&der).unwrap();
    assert_eq!(csr.public_key.spki_der(), key.subject_public_key_info());
    let subject = csr
        .subject
        .iter()
        .map(|attribute| (attribute.oid.as_slice(), attribute.value.as_str()))
        .collect::<Vec<_>>();
    assert_eq!(
        subject,
        [(&[2, 5, 4, 6][..], "US"), (&[2, 5, 4, 10][..], "SPIRE")]
    );
    assert_eq!(csr.spiffe_ids[0].as_str(), ID);
    assert_eq!((csr.spiffe_ids.len(), csr.uri_count), (1, 1));
    assert_eq!(csr.dns_names, ["a.example.org"]);
    assert_eq!(parse(&der).unwrap(), csr);
}

#[test]
fn a_request_may_wish_for_nothing() {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let csr = verify(&request(&params).0).unwrap();
    assert!(csr.subject.is_empty() && csr.spiffe_ids.is_empty() && csr.dns_names.is_empty());
}

#[test]
fn uris_that_are_no_ids_are_counted_and_not_kept() {
    let mut params = ordinary();
    params.subject_alt_names = vec![uri(ID), uri("https://example.org"), uri("spiffe://A/b")];
    let csr = verify(&request(&params).0).unwrap();
    assert_eq!((csr.spiffe_ids.len(), csr.uri_count), (1, 3));
}

#[test]
fn requests_of_openssl_with_each_kind_of_key_verify() {
    for text in [
        include_str!("fixtures/csr-ec-p256.pem"),
        include_str!("fixtures/csr-ec-p384-sha256.pem"),
        include_str!("fixtures/csr-ec-p384-sha384.pem"),
        include_str!("fixtures/csr-rsa-2048-sha256.pem"),
        include_str!("fixtures/csr-rsa-4096-sha512.pem"),
    ] {
        verify(&fixture(text)).unwrap();
    }
}

#[test]
fn a_request_not_signed_by_its_key_is_refused() {
    let (mut der, _) = request(&ordinary());
    *der.last_mut().unwrap() ^= 1;
    let error = verify(&der).unwrap_err();
    assert_eq!(error, CsrError::Signature(VerifyError::BadSignature));
    assert!(parse(&der).is_ok());
}

#[test]
fn a_request_changed_after_signing_is_refused() {
    let (mut der, _) = request(&ordinary());
    let at = der.windows(8).position(|part| part == b"workload").unwrap();
    der[at] = b'W';
    let error = verify(&der).unwrap_err();
    assert_eq!(error, CsrError::Signature(VerifyError::BadSignature));
}

#[test]
fn a_request_that_carries_anothers_key_is_refused() {
    let (mut der, key) = request(&ordinary());
    let victim = KeyPair::generate().unwrap();
    let (old, new) = (
        key.subject_public_key_info(),
        victim.subject_public_key_info(),
    );
    let at = der.windows(old.len()).position(|part| part == old).unwrap();
    der[at..at + old.len()].copy_from_slice(&new);
    let error = verify(&der).unwrap_err();
    assert_eq!(error, CsrError::Signature(VerifyError::BadSignature));
}

#[test]
fn requests_with_weak_or_unknown_keys_or_signatures_are_refused() {
    for text in [
        include_str!("fixtures/csr-rsa-1024.pem"),
        include_str!("fixtures/csr-ed25519.pem"),
    ] {
        let error = verify(&fixture(text)).unwrap_err();
        assert!(matches!(error, CsrError::Key(KeyError::Unsupported { .. })));
    }
    for text in [
        include_str!("fixtures/csr-signed-with-sha1.pem"),
        include_str!("fixtures/csr-signed-with-pss.pem"),
    ] {
        assert_eq!(verify(&fixture(text)), Err(CsrError::UnknownAlgorithm));
    }
}

#[test]
fn a_request_over_the_limits_is_refused() {
    let long = vec![0x30; MAX_CSR_LEN + 1];
    assert_eq!(
        parse(&long),
        Err(CsrError::TooLong {
            len: MAX_CSR_LEN + 1
        })
    );
    let mut params = ordinary();
    params.subject_alt_names = (0..=MAX_ALT_NAMES)
        .map(|index| dns(&format!("n{index}")))
        .collect();
    let count = MAX_ALT_NAMES + 1;
    let error = parse(&request(&params).0).unwrap_err();
    assert_eq!(
        error,
        CsrError::Extensions(CertificateError::TooManyNames { count })
    );
    let mut params = ordinary();
    for index in 0..=MAX_SUBJECT_ATTRIBUTES as u64 {
        let kind = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999, index]);
        params.distinguished_name.push(kind, "x");
    }
    assert_eq!(parse(&request(&params).0), Err(CsrError::Subject));
}

#[test]
fn a_request_with_a_malformed_extension_is_refused() {
    let mut params = ordinary();
    params.custom_extensions = vec![extension(&KEY_USAGE, &[3, 9, 0], true)];
    assert_eq!(parse(&request(&params).0), Err(CsrError::Attributes));
}

#[test]
fn a_request_with_an_extension_twice_is_refused() {
    let mut params = ordinary();
    let san = pki::san_of("spiffe://example.org/admin");
    params.custom_extensions = vec![extension(&pki::SAN, &san, false)];
    let oid = "2.5.29.17".to_owned();
    let expected = CsrError::Extensions(CertificateError::DuplicateExtension { oid });
    assert_eq!(parse(&request(&params).0), Err(expected));
}

#[test]
fn every_truncation_of_a_request_is_refused_and_so_is_a_tail() {
    let (mut der, _) = request(&ordinary());
    for len in 0..der.len() {
        assert!(parse(&der[..len]).is_err());
    }
    der.push(0);
    assert_eq!(parse(&der), Err(CsrError::Trailing { len: 1 }));
}

#[test]
fn a_certificate_is_no_request() {
    let der = pki::Signer::root().der();
    assert_eq!(parse(&der), Err(CsrError::Malformed));
}
