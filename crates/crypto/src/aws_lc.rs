//! What ring lacks, from aws-lc-rs: making RSA keys, P-521, and signing with P-384 over a shorter
//! hash.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA256_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

use crate::{HashAlgorithm, KeyError, SecretBytes, SignError, VerifyError, sha256};

pub(crate) fn generate_rsa(bits: u16) -> Result<SecretBytes, KeyError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        4096 => KeySize::Rsa4096,
        _ => return Err(KeyError::Unsupported { what: "RSA size" }),
    };
    let pair = KeyPair::generate(size).map_err(|_| KeyError::Generation)?;
    let pkcs8 = pair.as_der().map_err(|_| KeyError::Generation)?;
    Ok(SecretBytes::new(pkcs8.as_ref().to_vec()))
}

pub(crate) fn verify_p521(
    point: &[u8],
    hash: HashAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let algorithm = match hash {
        HashAlgorithm::Sha256 => &ECDSA_P521_SHA256_ASN1,
        HashAlgorithm::Sha512 => &ECDSA_P521_SHA512_ASN1,
        HashAlgorithm::Sha384 => return Err(VerifyError::WrongKey),
    };
    UnparsedPublicKey::new(algorithm, point)
        .verify(message, signature)
        .map_err(|_| VerifyError::BadSignature)
}

/// ECDSA with P-384 over SHA-256. A hash is used as a number (FIPS 186-5 section 6.4.1), so the
/// shorter one with zeros before it is the same as itself.
pub(crate) fn sign_p384_sha256(pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, SignError> {
    const ZEROS: usize = digest::SHA384_OUTPUT_LEN - digest::SHA256_OUTPUT_LEN;
    let number = [&[0; ZEROS][..], &sha256(message)].concat();
    let failed = |_| SignError::Failed;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8)
        .map_err(|_| SignError::Failed)?;
    let digest = Digest::import_less_safe(&number, &digest::SHA384).map_err(failed)?;
    let signature = pair.sign_digest(&digest).map_err(failed)?;
    Ok(signature.as_ref().to_vec())
}

/// The public half of a P-521 key, as a point.
pub(crate) fn p521_point(pkcs8: &[u8]) -> Result<Vec<u8>, KeyError> {
    let malformed = |_| KeyError::Malformed {
        what: "EC private key",
    };
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_ASN1_SIGNING, pkcs8);
    Ok(pair.map_err(malformed)?.public_key().as_ref().to_vec())
}

/// ECDSA with P-521.
pub(crate) fn sign_p521(
    pkcs8: &[u8],
    hash: HashAlgorithm,
    message: &[u8],
) -> Result<Vec<u8>, SignError> {
    let algorithm = match hash {
        HashAlgorithm::Sha256 => &ECDSA_P521_SHA256_ASN1_SIGNING,
        HashAlgorithm::Sha512 => &ECDSA_P521_SHA512_ASN1_SIGNING,
        HashAlgorithm::Sha384 => return Err(SignError::WrongKey),
    };
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(|_| SignError::Failed)?;
    let signature = pair.sign(&SystemRandom::new(), message);
    let signature = signature.map_err(|_| SignError::Failed)?;
    Ok(signature.as_ref().to_vec())
}
