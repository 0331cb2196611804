//! Private keys: made, read from PKCS#8 and the older forms, and used to sign.

use std::fmt;

use ring::signature::{
    self as algorithms, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RsaEncoding, RsaKeyPair,
};

#[cfg(feature = "aws-lc")]
use crate::HashAlgorithm;
use crate::der::{self, Reader};
use crate::{
    Curve, KeyError, KeyType, PublicKey, SecretBytes, SecretString, SignatureAlgorithm, pem,
};

/// Longest PKCS#8 encoding read: an RSA key of 4096 bits takes about 2,400 bytes.
const MAX_PKCS8_LEN: usize = 4096;

const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PARAMETERS: u8 = 0xa0;

/// A signature was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The algorithm is for another kind of key.
    #[error("the signature algorithm does not fit the key")]
    WrongKey,
    /// The library refused, for instance for want of randomness.
    #[error("signing failed")]
    Failed,
    /// This build lacks the library that can do it.
    #[error("{what} needs a build with the feature `aws-lc`; this one is ring only")]
    NeedsAwsLc {
        /// What was asked for.
        what: &'static str,
    },
}

enum Pair {
    Ec(Box<EcdsaKeyPair>, Curve),
    /// ring has no P-521; what it needs is in the encoding.
    #[cfg(feature = "aws-lc")]
    P521,
    Rsa(Box<RsaKeyPair>),
}

/// A private key with its public half. It can neither be cloned nor printed; share it in an `Arc`.
pub struct PrivateKey {
    pair: Pair,
    pkcs8: SecretBytes,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key from the operating system's randomness. RSA takes up to seconds of CPU.
    pub fn generate(kind: KeyType) -> Result<Self, KeyError> {
        match kind {
            KeyType::EcP256 => Self::generate_ec(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyType::EcP384 => Self::generate_ec(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyType::Rsa2048 => Self::generate_rsa(2048),
            KeyType::Rsa4096 => Self::generate_rsa(4096),
        }
    }

    fn generate_ec(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Self, KeyError> {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| KeyError::Generation)?;
        Self::from_pkcs8_der(pkcs8.as_ref())
    }

    #[cfg(feature = "aws-lc")]
    fn generate_rsa(bits: u16) -> Result<Self, KeyError> {
        Self::from_pkcs8_der(crate::aws_lc::generate_rsa(bits)?.expose())
    }

    #[cfg(not(feature = "aws-lc"))]
    fn generate_rsa(_: u16) -> Result<Self, KeyError> {
        Err(KeyError::NeedsAwsLc {
            what: "making an RSA key",
        })
    }

    /// Reads an unencrypted PKCS#8 key (RFC 5208): EC on P-256, P-384 or (with `aws-lc`) P-521 that
    /// carries its public half, or RSA of 2048 to 4096 bits.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, KeyError> {
        if pkcs8.len() > MAX_PKCS8_LEN {
            return Err(KeyError::TooLong {
                len: pkcs8.len(),
                limit: MAX_PKCS8_LEN,
            });
        }
        let (pair, public) = match algorithm_of(pkcs8)? {
            Algorithm::Ec(Curve::P256) => {
                ec_pair(Curve::P256, &ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)?
            }
            Algorithm::Ec(Curve::P384) => {
                ec_pair(Curve::P384, &ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8)?
            }
            Algorithm::Ec(Curve::P521) => p521_pair(pkcs8)?,
            Algorithm::Rsa => rsa_pair(pkcs8)?,
        };
        Ok(Self {
            pair,
            pkcs8: SecretBytes::new(pkcs8.to_vec()),
            public,
        })
    }

    /// Reads the first private key of a PEM text: `PRIVATE KEY`, `EC PRIVATE KEY` or
    /// `RSA PRIVATE KEY`, unencrypted.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed {
            what: "private key in PEM",
        };
        for block in pem::parse(text).map_err(|_| malformed.clone())? {
            let der = block.content.expose();
            match block.label.as_str() {
                "PRIVATE KEY" => return Self::from_pkcs8_der(der),
                "EC PRIVATE KEY" => return Self::from_sec1_der(der),
                "RSA PRIVATE KEY" => return Self::from_pkcs8_der(wrap_rsa(der).expose()),
                _ => {}
            }
        }
        Err(malformed)
    }

    /// Reads an `ECPrivateKey` (RFC 5915) that names its curve and carries its public half.
    fn from_sec1_der(sec1: &[u8]) -> Result<Self, KeyError> {
        let mut fields = Reader::new(der::only(sec1, der::SEQUENCE)?);
        fields.read_unsigned()?;
        fields.read(der::OCTET_STRING)?;
        let curve = der::only(fields.read(EC_PARAMETERS)?, der::OID)?;
        let ids = [
            der::element(der::OID, &[OID_EC]),
            der::element(der::OID, &[curve]),
        ];
        Self::from_pkcs8_der(wrap(&ids, sec1).expose())
    }

    /// Signs `message` (not its hash). ECDSA signatures are in DER; PSS salts are as long as the
    /// hash.
    pub fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        use SignatureAlgorithm as A;
        match (&self.pair, algorithm) {
            (Pair::Ec(pair, Curve::P256), A::EcdsaP256Sha256)
            | (Pair::Ec(pair, Curve::P384), A::EcdsaP384Sha384) => sign_ec(pair, message),
            #[cfg(feature = "aws-lc")]
            (Pair::P521, A::EcdsaP521Sha512) => self.sign_p521(HashAlgorithm::Sha512, message),
            (Pair::Rsa(pair), A::RsaPkcs1Sha256) => {
                sign_rsa(pair, &algorithms::RSA_PKCS1_SHA256, message)
            }
            (Pair::Rsa(pair), A::RsaPkcs1Sha384) => {
                sign_rsa(pair, &algorithms::RSA_PKCS1_SHA384, message)
            }
            (Pair::Rsa(pair), A::RsaPkcs1Sha512) => {
                sign_rsa(pair, &algorithms::RSA_PKCS1_SHA512, message)
            }
            (Pair::Rsa(pair), A::RsaPssSha256) => {
                sign_rsa(pair, &algorithms::RSA_PSS_SHA256, message)
            }
            (Pair::Rsa(pair), A::RsaPssSha384) => {
                sign_rsa(pair, &algorithms::RSA_PSS_SHA384, message)
            }
            (Pair::Rsa(pair), A::RsaPssSha512) => {
                sign_rsa(pair, &algorithms::RSA_PSS_SHA512, message)
            }
            _ => Err(SignError::WrongKey),
        }
    }

    /// ECDSA over SHA-256 whatever the curve, for protocols that fix the hash. [`sign`](Self::sign)
    /// takes the hash that belongs to the curve.
    pub fn sign_ecdsa_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.pair {
            Pair::Ec(pair, Curve::P256) => sign_ec(pair, message),
            Pair::Ec(_, Curve::P384) => self.sign_p384_sha256(message),
            #[cfg(feature = "aws-lc")]
            Pair::P521 => self.sign_p521(HashAlgorithm::Sha256, message),
            _ => Err(SignError::WrongKey),
        }
    }

    #[cfg(feature = "aws-lc")]
    fn sign_p384_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        crate::aws_lc::sign_p384_sha256(self.pkcs8.expose(), message)
    }

    #[cfg(feature = "aws-lc")]
    fn sign_p521(&self, hash: HashAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        crate::aws_lc::sign_p521(self.pkcs8.expose(), hash, message)
    }

    #[cfg(not(feature = "aws-lc"))]
    fn sign_p384_sha256(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError::NeedsAwsLc {
            what: "signing with P-384 over SHA-256",
        })
    }

    /// The PKCS#8 encoding, as it was made or read.
    #[must_use]
    pub fn pkcs8_der(&self) -> &SecretBytes {
        &self.pkcs8
    }

    /// The PKCS#8 encoding as PEM text.
    #[must_use]
    pub fn pkcs8_pem(&self) -> SecretString {
        SecretString::new(pem::encode("PRIVATE KEY", self.pkcs8.expose()))
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The kind, if it is one that Signet makes; an RSA key read from a file may be of another
    /// size.
    #[must_use]
    pub fn key_type(&self) -> Option<KeyType> {
        self.public.key_type()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey([secret] of {:?})", self.public)
    }
}

enum Algorithm {
    Ec(Curve),
    Rsa,
}

fn algorithm_of(pkcs8: &[u8]) -> Result<Algorithm, KeyError> {
    let malformed = |_| KeyError::Malformed { what: "PKCS#8 key" };
    let mut fields = Reader::new(der::only(pkcs8, der::SEQUENCE).map_err(malformed)?);
    fields.read_unsigned().map_err(malformed)?;
    let mut algorithm = Reader::new(fields.read(der::SEQUENCE).map_err(malformed)?);
    match algorithm.read(der::OID).map_err(malformed)? {
        OID_RSA => Ok(Algorithm::Rsa),
        OID_EC => {
            let oid = algorithm.read(der::OID).map_err(malformed)?;
            Curve::ALL
                .into_iter()
                .find(|curve| curve.oid() == oid)
                .map(Algorithm::Ec)
                .ok_or(KeyError::Unsupported { what: "EC curve" })
        }
        _ => Err(KeyError::Unsupported {
            what: "private key algorithm",
        }),
    }
}

fn ec_pair(
    curve: Curve,
    algorithm: &'static EcdsaSigningAlgorithm,
    pkcs8: &[u8],
) -> Result<(Pair, PublicKey), KeyError> {
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &ring::rand::SystemRandom::new())
        .map_err(|_| KeyError::Malformed {
            what: "EC private key",
        })?;
    let public = PublicKey::from_ec_point(curve, pair.public_key().as_ref())?;
    Ok((Pair::Ec(Box::new(pair), curve), public))
}

#[cfg(feature = "aws-lc")]
fn p521_pair(pkcs8: &[u8]) -> Result<(Pair, PublicKey), KeyError> {
    let point = crate::aws_lc::p521_point(pkcs8)?;
    let public = PublicKey::from_ec_point(Curve::P521, &point)?;
    Ok((Pair::P521, public))
}

#[cfg(not(feature = "aws-lc"))]
fn p521_pair(_: &[u8]) -> Result<(Pair, PublicKey), KeyError> {
    Err(KeyError::NeedsAwsLc {
        what: "using a P-521 private key",
    })
}

fn rsa_pair(pkcs8: &[u8]) -> Result<(Pair, PublicKey), KeyError> {
    let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::Malformed {
        what: "RSA private key",
    })?;
    let public = PublicKey::from_rsa_public_key(pair.public_key().as_ref())?;
    Ok((Pair::Rsa(Box::new(pair)), public))
}

fn wrap_rsa(pkcs1: &[u8]) -> SecretBytes {
    let algorithm = [
        der::element(der::OID, &[OID_RSA]),
        der::element(der::NULL, &[]),
    ];
    wrap(&algorithm, pkcs1)
}

/// Puts a key of an older form into PKCS#8.
fn wrap(algorithm: &[Vec<u8>; 2], key: &[u8]) -> SecretBytes {
    let version = der::unsigned(&[]);
    let algorithm = der::element(der::SEQUENCE, &[&algorithm[0], &algorithm[1]]);
    let key = SecretBytes::new(der::element(der::OCTET_STRING, &[key]));
    SecretBytes::new(der::element(
        der::SEQUENCE,
        &[&version, &algorithm, key.expose()],
    ))
}

fn sign_ec(pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, SignError> {
    pair.sign(&ring::rand::SystemRandom::new(), message)
        .map(|signature| signature.as_ref().to_vec())
        .map_err(|_| SignError::Failed)
}

fn sign_rsa(
    pair: &RsaKeyPair,
    padding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, SignError> {
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        padding,
        &ring::rand::SystemRandom::new(),
        message,
        &mut signature,
    )
    .map_err(|_| SignError::Failed)?;
    Ok(signature)
}
