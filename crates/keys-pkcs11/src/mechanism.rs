//! What a token is given to sign, and by which mechanism.
//!
//! The message is hashed here, so that only the bare mechanisms are needed, which every token has.

use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::types::Ulong;
use signet_crypto::jose::ecdsa_fixed_to_der;
use signet_crypto::{Curve, HashAlgorithm, PublicKey, SignError, SignatureAlgorithm};

/// The `DigestInfo` before a hash (RFC 8017 section 9.2, note 1).
const SHA256_INFO: [u8; 19] = digest_info(0x01, 32);
const SHA384_INFO: [u8; 19] = digest_info(0x02, 48);
const SHA512_INFO: [u8; 19] = digest_info(0x03, 64);

/// One signature to be made.
pub(crate) struct Request {
    scheme: Scheme,
    input: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Scheme {
    Ecdsa(Curve),
    Pkcs1,
    Pss(HashAlgorithm),
}

impl Request {
    /// A signature over `message`, if a key of this kind can make it.
    pub(crate) fn new(
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Self, SignError> {
        let scheme = scheme(key, algorithm).ok_or(SignError::WrongKey)?;
        let hash = algorithm.hash();
        let mut input = hash.digest(message);
        if let Scheme::Pkcs1 = scheme {
            input.splice(..0, info(hash));
        }
        Ok(Self { scheme, input })
    }

    pub(crate) fn mechanism(&self) -> Mechanism<'static> {
        match self.scheme {
            Scheme::Ecdsa(_) => Mechanism::Ecdsa,
            Scheme::Pkcs1 => Mechanism::RsaPkcs,
            Scheme::Pss(hash) => Mechanism::RsaPkcsPss(pss(hash)),
        }
    }

    pub(crate) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Turns what the token gave into what the port promises.
    pub(crate) fn signature(&self, given: Vec<u8>) -> Result<Vec<u8>, SignError> {
        match self.scheme {
            Scheme::Ecdsa(curve) => {
                ecdsa_fixed_to_der(curve, &given).map_err(|_| SignError::Failed)
            }
            Scheme::Pkcs1 | Scheme::Pss(_) => Ok(given),
        }
    }
}

fn scheme(key: &PublicKey, algorithm: SignatureAlgorithm) -> Option<Scheme> {
    use SignatureAlgorithm as A;
    match (key.curve(), algorithm) {
        (Some(Curve::P256), A::EcdsaP256Sha256) => Some(Scheme::Ecdsa(Curve::P256)),
        (Some(Curve::P384), A::EcdsaP384Sha384) => Some(Scheme::Ecdsa(Curve::P384)),
        (None, A::RsaPkcs1Sha256 | A::RsaPkcs1Sha384 | A::RsaPkcs1Sha512) => Some(Scheme::Pkcs1),
        (None, A::RsaPssSha256 | A::RsaPssSha384 | A::RsaPssSha512) => {
            Some(Scheme::Pss(algorithm.hash()))
        }
        _ => None,
    }
}

fn info(hash: HashAlgorithm) -> [u8; 19] {
    match hash {
        HashAlgorithm::Sha256 => SHA256_INFO,
        HashAlgorithm::Sha384 => SHA384_INFO,
        HashAlgorithm::Sha512 => SHA512_INFO,
    }
}

/// The hashes' names differ in one byte, their encodings in that and the lengths.
const fn digest_info(name: u8, len: u8) -> [u8; 19] {
    [
        0x30,
        17 + len,
        0x30,
        13,
        0x06,
        9,
        0x60,
        0x86,
        0x48,
        0x01,
        0x65,
        0x03,
        0x04,
        0x02,
        name,
        0x05,
        0,
        0x04,
        len,
    ]
}

/// The salt is as long as the hash.
fn pss(hash: HashAlgorithm) -> PkcsPssParams {
    let (hash_alg, mgf, len) = match hash {
        HashAlgorithm::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32_u64),
        HashAlgorithm::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        HashAlgorithm::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    };
    PkcsPssParams {
        hash_alg,
        mgf,
        s_len: Ulong::from(len),
    }
}

#[cfg(test)]
mod tests {
    use signet_crypto::{KeyType, PrivateKey};

    use super::*;

    fn key(key_type: KeyType) -> PublicKey {
        PrivateKey::generate(key_type).unwrap().public_key().clone()
    }

    #[test]
    fn an_ec_key_signs_the_hash_of_its_curve() {
        let algorithm = SignatureAlgorithm::EcdsaP384Sha384;
        let request = Request::new(&key(KeyType::EcP384), algorithm, b"m").unwrap();
        assert!(matches!(request.mechanism(), Mechanism::Ecdsa));
        assert_eq!(request.input(), HashAlgorithm::Sha384.digest(b"m"));
    }

    #[test]
    fn an_algorithm_of_another_key_is_refused() {
        let p256 = key(KeyType::EcP256);
        for algorithm in [
            SignatureAlgorithm::EcdsaP384Sha384,
            SignatureAlgorithm::EcdsaP521Sha512,
            SignatureAlgorithm::RsaPkcs1Sha256,
            SignatureAlgorithm::RsaPssSha512,
        ] {
            let refused = Request::new(&p256, algorithm, b"m").err();
            assert_eq!(refused, Some(SignError::WrongKey), "{algorithm:?}");
        }
    }

    #[test]
    fn a_signature_of_a_wrong_length_is_no_signature() {
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        let request = Request::new(&key(KeyType::EcP256), algorithm, b"m").unwrap();
        assert!(request.signature(vec![1; 64]).is_ok());
        assert_eq!(request.signature(vec![1; 63]), Err(SignError::Failed));
    }
}
