//! Verifying RSASSA-PSS signatures (RFC 8017 section 8.1.2) whose salt has any length.
//!
//! ring and aws-lc-rs accept only salts as long as the hash. Go's signer takes the longest salt that
//! fits unless told otherwise, and so do SPIRE's agents in the `x509pop` attestation. Only the
//! public operation is done here, on public numbers, so its time needs not be constant.

use num_bigint::BigUint;

use crate::{VerifyError, sha256};

const HASH_LEN: usize = 32;
const TRAILER: u8 = 0xbc;

/// Checks a signature with SHA-256 for digest and mask, made with a key of this size.
pub(crate) fn verify_sha256(
    modulus: &[u8],
    modulus_bits: usize,
    exponent: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let encoded = open(modulus, exponent, signature);
    let verified = encoded.and_then(|encoded| verify_encoding(message, encoded, modulus_bits - 1));
    verified.ok_or(VerifyError::BadSignature)
}

/// RSAVP1: the signature to the power of the exponent, as long as the modulus.
fn open(modulus: &[u8], exponent: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let number = BigUint::from_bytes_be(signature);
    let limit = BigUint::from_bytes_be(modulus);
    if signature.len() != modulus.len() || number >= limit {
        return None;
    }
    let opened = number.modpow(&BigUint::from_bytes_be(exponent), &limit);
    let bytes = opened.to_bytes_be();
    let mut padded = vec![0; modulus.len() - bytes.len()];
    padded.extend_from_slice(&bytes);
    Some(padded)
}

/// EMSA-PSS-VERIFY (section 9.1.2). The salt is what follows the first 1 after zeros only; it is
/// bound by the hash, so that nobody gains by choosing where it begins.
fn verify_encoding(message: &[u8], encoded: Vec<u8>, bits: usize) -> Option<()> {
    let len = bits.div_ceil(8);
    let used = 0xff_u8 >> (8 * len - bits);
    let (surplus, encoded) = encoded.split_at_checked(encoded.len().checked_sub(len)?)?;
    let (trailer, encoded) = encoded.split_last()?;
    let (masked, hash) = encoded.split_at_checked(encoded.len().checked_sub(HASH_LEN)?)?;
    let well_formed = surplus.iter().all(|byte| *byte == 0)
        && *trailer == TRAILER
        && masked.first()? & !used == 0;
    let mut data = unmask(hash, masked);
    *data.first_mut()? &= used;
    let begin = data.iter().position(|byte| *byte != 0)?;
    let salt = data[begin..].strip_prefix(&[1])?;
    let expected = sha256(&[&[0; 8], &sha256(message)[..], salt].concat());
    (well_formed && expected == hash).then_some(())
}

/// Takes the mask away that MGF1 (appendix B.2.1) makes of `seed`.
fn unmask(seed: &[u8], masked: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(masked.len());
    for (counter, block) in (0_u32..).zip(masked.chunks(HASH_LEN)) {
        let mask = sha256(&[seed, &counter.to_be_bytes()].concat());
        data.extend(block.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    }
    data
}
