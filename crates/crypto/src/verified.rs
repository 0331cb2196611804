//! What a signature was found to cover.
//!
//! An attestor that checks one document and reads another lets its caller choose what is believed. So
//! whoever verifies a signature here gets the covered bytes back as [`Verified`], which nothing else
//! can make, and parses those.

use crate::jose::Compact;
use crate::{HashAlgorithm, PublicKey, SignatureAlgorithm, VerifyError};

/// A value whose bytes were covered by a signature that held. Only verification makes one, and
/// [`parse`](Self::parse) alone turns it into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn new(covered: T) -> Self {
        Self(covered)
    }

    /// The value that the bytes encode.
    pub fn parse<U, E>(self, parser: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        parser(self.0).map(Verified)
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value by itself, which does not tell any more where it comes from.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl PublicKey {
    /// The message, if `signature` was made over it by the owner of this key with this algorithm.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verified<'m>(
        &self,
        algorithm: SignatureAlgorithm,
        message: &'m [u8],
        signature: &[u8],
    ) -> Result<Verified<&'m [u8]>, VerifyError> {
        self.verify(algorithm, message, signature)?;
        Ok(Verified::new(message))
    }

    /// The message, if `signature` is RSASSA-PKCS1-v1_5 over it by the owner of this key.
    ///
    /// # Errors
    /// As [`verify_rsa_pkcs1`](Self::verify_rsa_pkcs1).
    pub fn verified_rsa_pkcs1<'m>(
        &self,
        hash: HashAlgorithm,
        message: &'m [u8],
        signature: &[u8],
    ) -> Result<Verified<&'m [u8]>, VerifyError> {
        self.verify_rsa_pkcs1(hash, message, signature)?;
        Ok(Verified::new(message))
    }
}

impl Compact {
    /// The payload, if the token was signed by the owner of this key.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verified(self, key: &PublicKey) -> Result<Verified<Vec<u8>>, VerifyError> {
        self.verify(key)?;
        Ok(Verified::new(self.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyType, PrivateKey};

    fn signed(message: &[u8]) -> (PublicKey, Vec<u8>) {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let signature = key.sign(SignatureAlgorithm::EcdsaP256Sha256, message);
        (key.public_key().clone(), signature.unwrap())
    }

    #[test]
    fn what_the_signature_covers_is_handed_out() {
        let (key, signature) = signed(b"7");
        let verified = key.verified(SignatureAlgorithm::EcdsaP256Sha256, b"7", &signature);
        let number = verified.unwrap().parse(|bytes| match bytes {
            [digit] => Ok(digit - b'0'),
            _ => Err("not a digit"),
        });
        assert_eq!(number.unwrap().into_inner(), 7);
    }

    #[test]
    fn nothing_is_handed_out_for_another_message() {
        let (key, signature) = signed(b"7");
        let verified = key.verified(SignatureAlgorithm::EcdsaP256Sha256, b"8", &signature);
        assert_eq!(verified, Err(VerifyError::BadSignature));
    }
}
