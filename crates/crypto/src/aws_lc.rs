//! What ring lacks, from aws-lc-rs: making RSA keys and verifying with P-521.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1, UnparsedPublicKey};

use crate::{KeyError, SecretBytes, VerifyError};

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
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    UnparsedPublicKey::new(&ECDSA_P521_SHA512_ASN1, point)
        .verify(message, signature)
        .map_err(|_| VerifyError::BadSignature)
}
