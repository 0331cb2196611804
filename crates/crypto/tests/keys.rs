//! Keys of every kind: made or read, signing, verifying, refused.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use signet_crypto::{
    HashAlgorithm, KeyError, KeyType, PrivateKey, PublicKey, SignError, SignatureAlgorithm as A,
    VerifyError, pem,
};

const MESSAGE: &[u8] = b"signed by openssl";
const RSA: [A; 6] = [
    A::RsaPkcs1Sha256,
    A::RsaPkcs1Sha384,
    A::RsaPkcs1Sha512,
    A::RsaPssSha256,
    A::RsaPssSha384,
    A::RsaPssSha512,
];

fn public(text: &str) -> Result<PublicKey, KeyError> {
    let blocks = pem::parse(text).unwrap();
    PublicKey::from_spki_der(blocks[0].content.expose())
}

fn signs_and_verifies(key: &PrivateKey, algorithm: A) {
    let signature = key.sign(algorithm, MESSAGE).unwrap();
    let public = key.public_key();
    assert_eq!(public.verify(algorithm, MESSAGE, &signature), Ok(()));
    let bad = Err(VerifyError::BadSignature);
    assert_eq!(
        public.verify(algorithm, b"another message", &signature),
        bad
    );
    assert_eq!(public.verify(algorithm, MESSAGE, &signature[1..]), bad);
    assert_eq!(public.verify(algorithm, MESSAGE, &[]), bad);
}

#[test]
fn an_ec_key_is_made_signs_and_survives_pkcs8() {
    for kind in [KeyType::EcP256, KeyType::EcP384] {
        let key = PrivateKey::generate(kind).unwrap();
        assert_eq!(key.key_type(), Some(kind));
        signs_and_verifies(&key, kind.default_algorithm());
        let again = PrivateKey::from_pkcs8_der(key.pkcs8_der().expose()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let again = PrivateKey::from_pem(key.pkcs8_pem().expose()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }
}

#[test]
fn two_keys_made_are_not_the_same() {
    let make = || PrivateKey::generate(KeyType::EcP256).unwrap();
    assert_ne!(make().public_key(), make().public_key());
}

#[cfg(feature = "aws-lc")]
#[test]
fn an_rsa_key_is_made_by_aws_lc_and_signs_with_ring() {
    for kind in [KeyType::Rsa2048, KeyType::Rsa4096] {
        let key = PrivateKey::generate(kind).unwrap();
        assert_eq!(key.key_type(), Some(kind));
        signs_and_verifies(&key, kind.default_algorithm());
    }
}

#[cfg(not(feature = "aws-lc"))]
#[test]
fn making_an_rsa_key_is_refused_by_the_ring_build_with_the_build_that_can() {
    let error = PrivateKey::generate(KeyType::Rsa2048).unwrap_err();
    assert!(matches!(error, KeyError::NeedsAwsLc { .. }));
    assert!(error.to_string().contains("feature `aws-lc`"));
}

#[test]
fn keys_made_by_openssl_in_each_form_are_read_and_sign() {
    for (text, kind) in [
        (
            include_str!("fixtures/ec-p256-sec1.pem"),
            Some(KeyType::EcP256),
        ),
        (
            include_str!("fixtures/ec-p384-pkcs8.pem"),
            Some(KeyType::EcP384),
        ),
        (
            include_str!("fixtures/rsa-2048-pkcs1.pem"),
            Some(KeyType::Rsa2048),
        ),
        (include_str!("fixtures/rsa-3072-pkcs8.pem"), None),
        (
            include_str!("fixtures/rsa-4096-pkcs8.pem"),
            Some(KeyType::Rsa4096),
        ),
    ] {
        let key = PrivateKey::from_pem(text).unwrap();
        assert_eq!(key.key_type(), kind);
        signs_and_verifies(&key, key.public_key().default_algorithm());
    }
}

#[test]
fn an_rsa_key_signs_with_every_padding_and_hash() {
    let key = PrivateKey::from_pem(include_str!("fixtures/rsa-2048-pkcs1.pem")).unwrap();
    RSA.into_iter()
        .for_each(|algorithm| signs_and_verifies(&key, algorithm));
}

#[test]
fn an_algorithm_of_another_kind_of_key_is_refused() {
    let ec = PrivateKey::generate(KeyType::EcP256).unwrap();
    let rsa = PrivateKey::from_pem(include_str!("fixtures/rsa-2048-pkcs1.pem")).unwrap();
    for algorithm in RSA
        .into_iter()
        .chain([A::EcdsaP384Sha384, A::EcdsaP521Sha512])
    {
        assert_eq!(ec.sign(algorithm, MESSAGE), Err(SignError::WrongKey));
        let verified = ec.public_key().verify(algorithm, MESSAGE, &[0; 256]);
        assert_eq!(verified, Err(VerifyError::WrongKey));
    }
    assert_eq!(
        rsa.sign(A::EcdsaP256Sha256, MESSAGE),
        Err(SignError::WrongKey)
    );
    let verified = rsa
        .public_key()
        .verify(A::EcdsaP256Sha256, MESSAGE, &[0; 70]);
    assert_eq!(verified, Err(VerifyError::WrongKey));
}

#[test]
fn a_p384_signature_with_sha256_as_some_requests_carry_it_verifies() {
    let key = PrivateKey::from_pem(include_str!("fixtures/ec-p384-pkcs8.pem")).unwrap();
    let signature = include_bytes!("fixtures/p384-sha256.sig");
    let verified = key
        .public_key()
        .verify_ecdsa(HashAlgorithm::Sha256, MESSAGE, signature);
    assert_eq!(verified, Ok(()));
}

#[test]
fn a_p521_signature_verifies_where_aws_lc_is_there_and_names_it_where_not() {
    let key = public(include_str!("fixtures/ec-p521-spki.pem")).unwrap();
    assert_eq!(key.key_type(), None);
    let signature = include_bytes!("fixtures/p521-sha512.sig");
    let verified = key.verify(A::EcdsaP521Sha512, MESSAGE, signature);
    if cfg!(feature = "aws-lc") {
        assert_eq!(verified, Ok(()));
        let other = key.verify(A::EcdsaP521Sha512, b"other", signature);
        assert_eq!(other, Err(VerifyError::BadSignature));
    } else {
        assert!(matches!(verified, Err(VerifyError::NeedsAwsLc { .. })));
    }
}

#[test]
fn a_p521_key_signs_with_both_hashes_where_aws_lc_is_there_and_is_refused_where_not() {
    let key = PrivateKey::from_pem(include_str!("fixtures/ec-p521-pkcs8.pem"));
    if cfg!(not(feature = "aws-lc")) {
        assert!(matches!(key, Err(KeyError::NeedsAwsLc { .. })));
        return;
    }
    let key = key.unwrap();
    assert_eq!(key.key_type(), None);
    signs_and_verifies(&key, A::EcdsaP521Sha512);
    let signature = key.sign_ecdsa_sha256(MESSAGE).unwrap();
    let verify = |message: &[u8]| {
        let public = key.public_key();
        public.verify_ecdsa(HashAlgorithm::Sha256, message, &signature)
    };
    assert_eq!(verify(MESSAGE), Ok(()));
    assert_eq!(verify(b"other"), Err(VerifyError::BadSignature));
    for algorithm in [A::EcdsaP384Sha384, A::RsaPssSha256] {
        assert_eq!(key.sign(algorithm, MESSAGE), Err(SignError::WrongKey));
    }
}

#[test]
fn public_keys_that_are_weak_or_of_unknown_kind_are_refused() {
    for (text, what) in [
        (include_str!("fixtures/rsa-1024-spki.pem"), "RSA size"),
        (
            include_str!("fixtures/ed25519-spki.pem"),
            "public key algorithm",
        ),
        (include_str!("fixtures/ec-secp256k1-spki.pem"), "EC curve"),
    ] {
        assert_eq!(public(text), Err(KeyError::Unsupported { what }));
    }
    let compressed = public(include_str!("fixtures/ec-p256-compressed-point-spki.pem"));
    assert_eq!(compressed, Err(KeyError::Malformed { what: "EC point" }));
}

#[test]
fn private_keys_that_cannot_sign_here_are_refused() {
    let error = PrivateKey::from_pem(include_str!("fixtures/ed25519-pkcs8.pem")).unwrap_err();
    assert!(matches!(error, KeyError::Unsupported { .. }));
    let none = PrivateKey::from_pem(include_str!("fixtures/rsa-2048-spki.pem"));
    assert!(matches!(none, Err(KeyError::Malformed { .. })));
}

#[test]
fn a_public_key_with_trailing_bytes_or_over_the_limit_is_refused() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mut long = key.public_key().spki_der().to_vec();
    long.push(0);
    assert!(PublicKey::from_spki_der(&long).is_err());
    let huge = vec![0x30; signet_crypto::MAX_SPKI_LEN + 1];
    let error = PublicKey::from_spki_der(&huge).unwrap_err();
    assert!(matches!(error, KeyError::TooLong { .. }));
}

#[test]
fn every_truncation_of_a_public_key_is_refused() {
    let key = PrivateKey::from_pem(include_str!("fixtures/rsa-2048-pkcs1.pem")).unwrap();
    let spki = key.public_key().spki_der();
    for len in 0..spki.len() {
        assert!(PublicKey::from_spki_der(&spki[..len]).is_err());
    }
}

#[test]
fn the_parts_of_a_public_key_make_it_again() {
    let ec = PrivateKey::generate(KeyType::EcP384).unwrap();
    let (curve, x, y) = ec.public_key().ec_coordinates().unwrap();
    assert_eq!(
        PublicKey::from_ec_coordinates(curve, x, y).as_ref(),
        Ok(ec.public_key())
    );
    let rsa = public(include_str!("fixtures/rsa-2048-spki.pem")).unwrap();
    let (n, e) = rsa.rsa_components().unwrap();
    assert_eq!(rsa.rsa_bits(), Some(2048));
    assert_eq!(PublicKey::from_rsa_components(n, e), Ok(rsa.clone()));
}

#[test]
fn rsa_exponents_that_are_even_or_one_or_long_are_refused() {
    let rsa = public(include_str!("fixtures/rsa-2048-spki.pem")).unwrap();
    let (n, _) = rsa.rsa_components().unwrap();
    for exponent in [&[][..], &[1], &[2], &[1, 0, 0], &[1, 0, 0, 0, 0, 1]] {
        let error = PublicKey::from_rsa_components(n, exponent).unwrap_err();
        assert_eq!(
            error,
            KeyError::Unsupported {
                what: "RSA exponent"
            }
        );
    }
}

#[test]
fn neither_half_of_a_key_prints_itself() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let private = format!("{key:?}");
    assert!(private.starts_with("PrivateKey([secret] of PublicKey(sha256:"));
    assert!(private.len() < 80);
}

#[test]
fn rsa_signatures_of_another_form_are_no_pss_signatures() {
    let key = public(include_str!("fixtures/rsa-2048-spki.pem")).unwrap();
    for bad in [
        &include_bytes!("fixtures/rsa-2048-pkcs1-sha256.sig")[..],
        include_bytes!("fixtures/rsa-2048-pss-sha256-mgf1-sha1.sig"),
    ] {
        let verified = key.verify_rsa_pss_sha256_any_salt(MESSAGE, bad);
        assert_eq!(verified, Err(VerifyError::BadSignature));
    }
}

#[test]
fn a_signature_with_a_longer_salt_is_no_signature_of_a_token() {
    let key = public(include_str!("fixtures/rsa-2048-spki.pem")).unwrap();
    let signature = include_bytes!("fixtures/rsa-2048-pss-sha256-max-salt.sig");
    let verified = key.verify(A::RsaPssSha256, MESSAGE, signature);
    assert_eq!(verified, Err(VerifyError::BadSignature));
}
