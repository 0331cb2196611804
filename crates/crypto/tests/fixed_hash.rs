//! What a protocol with a fixed hash needs: PSS with any salt, ECDSA over SHA-256 on any curve.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[cfg(feature = "aws-lc")]
use signet_crypto::{HashAlgorithm, SignatureAlgorithm};
use signet_crypto::{KeyType, PrivateKey, PublicKey, SignError, VerifyError, pem};

const MESSAGE: &[u8] = include_bytes!("fixtures/message.txt");
const RSA_2048: &str = include_str!("fixtures/rsa-2048-spki.pem");
/// One bit more than whole bytes, so that the encoding is a byte shorter than the modulus.
const RSA_2049: &str = include_str!("fixtures/rsa-2049-spki.pem");

const NO_SALT: &[u8] = include_bytes!("fixtures/rsa-2048-pss-sha256-no-salt.sig");
const USUAL_SALT: &[u8] = include_bytes!("fixtures/rsa-2048-pss-sha256-digest-salt.sig");
const LONGEST_SALT: &[u8] = include_bytes!("fixtures/rsa-2048-pss-sha256-max-salt.sig");
const OF_2049: [&[u8]; 2] = [
    include_bytes!("fixtures/rsa-2049-pss-sha256-max-salt.sig"),
    include_bytes!("fixtures/rsa-2049-pss-sha256-salt-of-20.sig"),
];

fn public(text: &str) -> PublicKey {
    let blocks = pem::parse(text).unwrap();
    PublicKey::from_spki_der(blocks[0].content.expose()).unwrap()
}

#[test]
fn pss_signatures_of_openssl_verify_whatever_the_salt() {
    let key = public(RSA_2048);
    for signature in [NO_SALT, USUAL_SALT, LONGEST_SALT] {
        assert_eq!(
            key.verify_rsa_pss_sha256_any_salt(MESSAGE, signature),
            Ok(())
        );
    }
    let key = public(RSA_2049);
    for signature in OF_2049 {
        assert_eq!(
            key.verify_rsa_pss_sha256_any_salt(MESSAGE, signature),
            Ok(())
        );
    }
}

#[test]
fn a_pss_signature_of_another_message_or_key_does_not_verify() {
    let bad = Err(VerifyError::BadSignature);
    let key = public(RSA_2048);
    for signature in [NO_SALT, USUAL_SALT, LONGEST_SALT] {
        assert_eq!(
            key.verify_rsa_pss_sha256_any_salt(b"another", signature),
            bad
        );
    }
    for signature in OF_2049 {
        assert_eq!(key.verify_rsa_pss_sha256_any_salt(MESSAGE, signature), bad);
    }
}

#[test]
fn a_pss_signature_with_any_bit_changed_does_not_verify() {
    let key = public(RSA_2048);
    for position in (0..LONGEST_SALT.len()).step_by(7) {
        let mut signature = LONGEST_SALT.to_vec();
        signature[position] ^= 1 << (position % 8);
        assert!(
            key.verify_rsa_pss_sha256_any_salt(MESSAGE, &signature)
                .is_err()
        );
    }
}

#[test]
fn a_pss_signature_of_another_length_or_above_the_modulus_does_not_verify() {
    let key = public(RSA_2048);
    let bad = Err(VerifyError::BadSignature);
    let (modulus, _) = key.rsa_components().unwrap();
    let padded = [&[0], LONGEST_SALT].concat();
    for signature in [
        &[][..],
        &LONGEST_SALT[1..],
        &padded,
        &[0; 256],
        &[0xff; 256],
        modulus,
    ] {
        assert_eq!(key.verify_rsa_pss_sha256_any_salt(MESSAGE, signature), bad);
    }
}

#[test]
fn an_ec_key_has_no_pss_signature() {
    let key = PrivateKey::generate(KeyType::EcP256).unwrap();
    let refused = key
        .public_key()
        .verify_rsa_pss_sha256_any_salt(MESSAGE, LONGEST_SALT);
    assert_eq!(refused, Err(VerifyError::WrongKey));
}

#[cfg(feature = "aws-lc")]
#[test]
fn our_own_pss_signature_verifies_too() {
    let key = PrivateKey::generate(KeyType::Rsa2048).unwrap();
    let signature = key.sign(SignatureAlgorithm::RsaPssSha256, MESSAGE).unwrap();
    let verified = key
        .public_key()
        .verify_rsa_pss_sha256_any_salt(MESSAGE, &signature);
    assert_eq!(verified, Ok(()));
}

#[cfg(feature = "aws-lc")]
#[test]
fn ecdsa_over_sha256_is_made_and_verified_on_each_curve() {
    for kind in [KeyType::EcP256, KeyType::EcP384] {
        let key = PrivateKey::generate(kind).unwrap();
        let signature = key.sign_ecdsa_sha256(MESSAGE).unwrap();
        let verify = |message| {
            let public = key.public_key();
            public.verify_ecdsa(HashAlgorithm::Sha256, message, &signature)
        };
        assert_eq!(verify(MESSAGE), Ok(()));
        assert_eq!(verify(b"another"), Err(VerifyError::BadSignature));
    }
}

#[cfg(not(feature = "aws-lc"))]
#[test]
fn ecdsa_over_sha256_with_p384_says_which_build_can_do_it() {
    let key = PrivateKey::generate(KeyType::EcP384).unwrap();
    let refused = key.sign_ecdsa_sha256(MESSAGE);
    assert!(matches!(refused, Err(SignError::NeedsAwsLc { .. })));
}

#[cfg(feature = "aws-lc")]
#[test]
fn an_rsa_key_makes_no_ecdsa_signature() {
    let key = PrivateKey::generate(KeyType::Rsa2048).unwrap();
    assert_eq!(key.sign_ecdsa_sha256(MESSAGE), Err(SignError::WrongKey));
}
