//! Public keys: a parsed SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), and verification.
//!
//! Only named curves with uncompressed points and plain RSA keys are understood, in exactly one
//! encoding each, so two equal keys have equal bytes.

use std::fmt;
use std::sync::Arc;

use ring::signature as algorithms;

use crate::der::{self, Reader};
use crate::{Curve, HashAlgorithm, KeyType, SignatureAlgorithm, hex, sha1, sha256};

/// Longest SubjectPublicKeyInfo read: an RSA key of 8192 bits takes about 1,060 bytes.
pub const MAX_SPKI_LEN: usize = 2048;

/// RSA moduli outside this range are refused before any computation: shorter ones are weak, longer
/// ones cost a verifier seconds.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Public exponents above 33 bits are refused, as ring does: they only slow the verifier.
const MAX_RSA_EXPONENT_LEN: usize = 5;

const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// A key cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the encoding it should be.
    #[error("malformed {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
    },
    /// Well formed, but of a kind that is not used here.
    #[error(
        "unsupported {what}; supported are EC P-256, P-384 and P-521 and RSA of 2048 to 8192 bits"
    )]
    Unsupported {
        /// What is not supported.
        what: &'static str,
    },
    /// Longer than any key of a supported kind.
    #[error("key of {len} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Making the key failed.
    #[error("the key could not be generated")]
    Generation,
    /// This build lacks the library that can do it.
    #[error("{what} needs a build with the feature `aws-lc`; this one is ring only")]
    NeedsAwsLc {
        /// What was asked for.
        what: &'static str,
    },
}

impl From<der::DerError> for KeyError {
    fn from(_: der::DerError) -> Self {
        Self::Malformed { what: "public key" }
    }
}

/// A signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature is not by this key over this message.
    #[error("the signature does not verify")]
    BadSignature,
    /// The algorithm is for another kind of key.
    #[error("the signature algorithm does not fit the key")]
    WrongKey,
    /// This build lacks the library that can do it.
    #[error("{what} needs a build with the feature `aws-lc`; this one is ring only")]
    NeedsAwsLc {
        /// What was asked for.
        what: &'static str,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Ec(Curve),
    Rsa { bits: usize },
}

/// A public key. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    spki: Arc<[u8]>,
    kind: Kind,
    /// Length of the key itself, which ends the encoding.
    key_len: usize,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        if spki.len() > MAX_SPKI_LEN {
            return Err(KeyError::TooLong {
                len: spki.len(),
                limit: MAX_SPKI_LEN,
            });
        }
        let mut outer = Reader::new(der::only(spki, der::SEQUENCE)?);
        let mut algorithm = Reader::new(outer.read(der::SEQUENCE)?);
        let key = outer.read_bytes_in_bits()?;
        outer.finish()?;
        let kind = match algorithm.read(der::OID)? {
            OID_EC => ec_kind(&mut algorithm, key)?,
            OID_RSA => rsa_kind(&mut algorithm, key)?,
            _ => {
                return Err(KeyError::Unsupported {
                    what: "public key algorithm",
                });
            }
        };
        algorithm.finish()?;
        Ok(Self {
            spki: spki.into(),
            kind,
            key_len: key.len(),
        })
    }

    /// An EC key from its coordinates, each of exactly the curve's length.
    pub fn from_ec_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let len = curve.coordinate_len();
        if x.len() != len || y.len() != len {
            return Err(KeyError::Malformed { what: "EC point" });
        }
        Self::from_ec_point(curve, &[&[4], x, y].concat())
    }

    /// An RSA key from modulus and exponent, big-endian.
    pub fn from_rsa_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        if modulus.len() > MAX_SPKI_LEN || exponent.len() > MAX_SPKI_LEN {
            return Err(KeyError::TooLong {
                len: modulus.len().max(exponent.len()),
                limit: MAX_SPKI_LEN,
            });
        }
        let parts = [der::unsigned(modulus), der::unsigned(exponent)];
        Self::from_rsa_public_key(&der::element(der::SEQUENCE, &[&parts[0], &parts[1]]))
    }

    pub(crate) fn from_ec_point(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        let oids = [
            der::element(der::OID, &[OID_EC]),
            der::element(der::OID, &[curve.oid()]),
        ];
        Self::from_spki_der(&spki(&oids, point))
    }

    pub(crate) fn from_rsa_public_key(key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = [
            der::element(der::OID, &[OID_RSA]),
            der::element(der::NULL, &[]),
        ];
        Self::from_spki_der(&spki(&algorithm, key))
    }

    /// Checks that `signature` was made over `message` by the owner of this key. Only the
    /// algorithm given is tried, and it must be for this kind of key and this curve.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        use SignatureAlgorithm as A;
        match (algorithm, self.kind) {
            (A::EcdsaP256Sha256, Kind::Ec(Curve::P256)) => {
                self.verify_ecdsa(Sha256, message, signature)
            }
            (A::EcdsaP384Sha384, Kind::Ec(Curve::P384)) => {
                self.verify_ecdsa(Sha384, message, signature)
            }
            (A::EcdsaP521Sha512, Kind::Ec(Curve::P521)) => {
                self.verify_ecdsa(Sha512, message, signature)
            }
            (A::RsaPkcs1Sha256, _) => self.verify_rsa_pkcs1(Sha256, message, signature),
            (A::RsaPkcs1Sha384, _) => self.verify_rsa_pkcs1(Sha384, message, signature),
            (A::RsaPkcs1Sha512, _) => self.verify_rsa_pkcs1(Sha512, message, signature),
            (A::RsaPssSha256, _) => self.verify_rsa_pss(Sha256, message, signature),
            (A::RsaPssSha384, _) => self.verify_rsa_pss(Sha384, message, signature),
            (A::RsaPssSha512, _) => self.verify_rsa_pss(Sha512, message, signature),
            _ => Err(VerifyError::WrongKey),
        }
    }

    /// ECDSA (signature in DER) with whatever curve the key has, as X.509 names it: there the
    /// algorithm says the hash and the key says the curve.
    pub fn verify_ecdsa(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        let Kind::Ec(curve) = self.kind else {
            return Err(VerifyError::WrongKey);
        };
        let algorithm = match (curve, hash) {
            (Curve::P256, Sha256) => &algorithms::ECDSA_P256_SHA256_ASN1,
            (Curve::P256, Sha384) => &algorithms::ECDSA_P256_SHA384_ASN1,
            (Curve::P384, Sha256) => &algorithms::ECDSA_P384_SHA256_ASN1,
            (Curve::P384, Sha384) => &algorithms::ECDSA_P384_SHA384_ASN1,
            (Curve::P521, Sha256 | Sha512) => return self.verify_p521(hash, message, signature),
            _ => return Err(VerifyError::WrongKey),
        };
        self.verify_with_ring(algorithm, message, signature)
    }

    /// RSASSA-PKCS1-v1_5.
    pub fn verify_rsa_pkcs1(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        self.require_rsa()?;
        let algorithm = match hash {
            HashAlgorithm::Sha256 => &algorithms::RSA_PKCS1_2048_8192_SHA256,
            HashAlgorithm::Sha384 => &algorithms::RSA_PKCS1_2048_8192_SHA384,
            HashAlgorithm::Sha512 => &algorithms::RSA_PKCS1_2048_8192_SHA512,
        };
        self.verify_with_ring(algorithm, message, signature)
    }

    fn verify_rsa_pss(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        self.require_rsa()?;
        let algorithm = match hash {
            HashAlgorithm::Sha256 => &algorithms::RSA_PSS_2048_8192_SHA256,
            HashAlgorithm::Sha384 => &algorithms::RSA_PSS_2048_8192_SHA384,
            HashAlgorithm::Sha512 => &algorithms::RSA_PSS_2048_8192_SHA512,
        };
        self.verify_with_ring(algorithm, message, signature)
    }

    /// RSASSA-PSS with SHA-256 and a salt of any length, where the protocol leaves the length open.
    /// [`verify`](Self::verify) wants it as long as the hash.
    pub fn verify_rsa_pss_sha256_any_salt(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let Kind::Rsa { bits } = self.kind else {
            return Err(VerifyError::WrongKey);
        };
        let (modulus, exponent) = self.rsa_components().ok_or(VerifyError::WrongKey)?;
        crate::rsa_pss::verify_sha256(modulus, bits, exponent, message, signature)
    }

    fn require_rsa(&self) -> Result<(), VerifyError> {
        matches!(self.kind, Kind::Rsa { .. })
            .then_some(())
            .ok_or(VerifyError::WrongKey)
    }

    fn verify_with_ring(
        &self,
        algorithm: &'static dyn algorithms::VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        algorithms::UnparsedPublicKey::new(algorithm, self.key_bytes())
            .verify(message, signature)
            .map_err(|_| VerifyError::BadSignature)
    }

    #[cfg(feature = "aws-lc")]
    fn verify_p521(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        crate::aws_lc::verify_p521(self.key_bytes(), hash, message, signature)
    }

    #[cfg(not(feature = "aws-lc"))]
    fn verify_p521(&self, _: HashAlgorithm, _: &[u8], _: &[u8]) -> Result<(), VerifyError> {
        Err(VerifyError::NeedsAwsLc {
            what: "verifying a P-521 signature",
        })
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// What stands inside the SubjectPublicKeyInfo's BIT STRING: the point `04 x y` of an EC key,
    /// the `RSAPublicKey` (RFC 8017) of an RSA key.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        &self.spki[self.spki.len() - self.key_len..]
    }

    /// The kind, if it is one that Signet makes.
    #[must_use]
    pub fn key_type(&self) -> Option<KeyType> {
        match self.kind {
            Kind::Ec(Curve::P256) => Some(KeyType::EcP256),
            Kind::Ec(Curve::P384) => Some(KeyType::EcP384),
            Kind::Rsa { bits: 2048 } => Some(KeyType::Rsa2048),
            Kind::Rsa { bits: 4096 } => Some(KeyType::Rsa4096),
            _ => None,
        }
    }

    /// The algorithm the owner of this key signs with unless another is agreed.
    #[must_use]
    pub fn default_algorithm(&self) -> SignatureAlgorithm {
        match self.kind {
            Kind::Ec(Curve::P256) => SignatureAlgorithm::EcdsaP256Sha256,
            Kind::Ec(Curve::P384) => SignatureAlgorithm::EcdsaP384Sha384,
            Kind::Ec(Curve::P521) => SignatureAlgorithm::EcdsaP521Sha512,
            Kind::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha256,
        }
    }

    /// The key identifier of RFC 5280 section 4.2.1.2, method 1: SHA-1 of the key's bits.
    #[must_use]
    pub fn subject_key_id(&self) -> [u8; 20] {
        sha1(self.key_bytes())
    }

    /// The curve of an EC key.
    #[must_use]
    pub fn curve(&self) -> Option<Curve> {
        match self.kind {
            Kind::Ec(curve) => Some(curve),
            Kind::Rsa { .. } => None,
        }
    }

    /// Curve, x and y of an EC key.
    #[must_use]
    pub fn ec_coordinates(&self) -> Option<(Curve, &[u8], &[u8])> {
        let curve = self.curve()?;
        let (x, y) = self.key_bytes()[1..].split_at(curve.coordinate_len());
        Some((curve, x, y))
    }

    /// Length of the modulus of an RSA key, in bits.
    #[must_use]
    pub fn rsa_bits(&self) -> Option<usize> {
        match self.kind {
            Kind::Rsa { bits } => Some(bits),
            Kind::Ec(_) => None,
        }
    }

    /// Modulus and exponent of an RSA key, big-endian, without leading zeros.
    #[must_use]
    pub fn rsa_components(&self) -> Option<(&[u8], &[u8])> {
        matches!(self.kind, Kind::Rsa { .. })
            .then(|| rsa_numbers(self.key_bytes()).expect("read once already"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey(sha256:{})", hex(&sha256(&self.spki)[..8]))
    }
}

fn spki(algorithm: &[Vec<u8>; 2], key: &[u8]) -> Vec<u8> {
    let algorithm = der::element(der::SEQUENCE, &[&algorithm[0], &algorithm[1]]);
    let bits = der::element(der::BIT_STRING, &[&[0], key]);
    der::element(der::SEQUENCE, &[&algorithm, &bits])
}

fn ec_kind(parameters: &mut Reader<'_>, point: &[u8]) -> Result<Kind, KeyError> {
    let oid = parameters.read(der::OID)?;
    let curve = Curve::ALL
        .into_iter()
        .find(|curve| curve.oid() == oid)
        .ok_or(KeyError::Unsupported { what: "EC curve" })?;
    let uncompressed = point.first() == Some(&4) && point.len() == 1 + 2 * curve.coordinate_len();
    uncompressed
        .then_some(Kind::Ec(curve))
        .ok_or(KeyError::Malformed { what: "EC point" })
}

fn rsa_kind(parameters: &mut Reader<'_>, key: &[u8]) -> Result<Kind, KeyError> {
    // RFC 3279 section 2.3.1: the parameters are NULL.
    if !parameters.read(der::NULL)?.is_empty() {
        return Err(KeyError::Malformed { what: "RSA key" });
    }
    let (modulus, exponent) = rsa_numbers(key)?;
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - usize::try_from(leading).expect("at most 8");
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::Unsupported { what: "RSA size" });
    }
    let odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
    let plausible = odd && exponent != [1] && exponent.len() <= MAX_RSA_EXPONENT_LEN;
    plausible
        .then_some(Kind::Rsa { bits })
        .ok_or(KeyError::Unsupported {
            what: "RSA exponent",
        })
}

fn rsa_numbers(key: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let mut numbers = Reader::new(der::only(key, der::SEQUENCE)?);
    let pair = (numbers.read_unsigned()?, numbers.read_unsigned()?);
    numbers.finish()?;
    Ok(pair)
}
