//! RSA keys of 1024 bits, to verify with only: too short for anything new, but some signers of long
//! ago still have them and are known by exactly their key.

use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

use crate::der::{self, Reader};
use crate::{KeyError, Verified, VerifyError};

/// `rsaEncryption` with its NULL parameters (RFC 3279 section 2.3.1).
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

/// The only size in bytes that is read.
const MODULUS_LEN: usize = 128;

/// An RSA key of 1024 bits, pinned by whoever trusts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyRsaKey(Vec<u8>);

impl LegacyRsaKey {
    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`KeyError`] if it is not that of an RSA key of 1024 bits.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        let mut outer = Reader::new(der::only(spki, der::SEQUENCE)?);
        let algorithm = outer.read(der::SEQUENCE)?;
        let key = outer.read_bytes_in_bits()?;
        outer.finish()?;
        let modulus = Reader::new(der::only(key, der::SEQUENCE)?).read_unsigned()?;
        if algorithm != RSA || modulus.len() != MODULUS_LEN {
            return Err(KeyError::Unsupported { what: "old key" });
        }
        Ok(Self(key.to_vec()))
    }

    /// The message, if `signature` is RSASSA-PKCS1-v1_5 with SHA-256 over it by the owner of this
    /// key.
    ///
    /// # Errors
    /// [`VerifyError`] if it is not.
    pub fn verified<'m>(
        &self,
        message: &'m [u8],
        signature: &[u8],
    ) -> Result<Verified<&'m [u8]>, VerifyError> {
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &self.0)
            .verify(message, signature)
            .map_err(|_| VerifyError::BadSignature)?;
        Ok(Verified::new(message))
    }
}
