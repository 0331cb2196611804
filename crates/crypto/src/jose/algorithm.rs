//! The nine signature algorithms that SPIFFE allows in a token (J-02).

use std::fmt;

use crate::{Curve, PublicKey, SignatureAlgorithm};

/// A value of the JWS header parameter `alg` (RFC 7518 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is its standard's name")]
pub enum JwsAlgorithm {
    RS256,
    RS384,
    RS512,
    ES256,
    ES384,
    ES512,
    PS256,
    PS384,
    PS512,
}

/// The name is none of the nine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signature algorithm is not one of RS256 to RS512, ES256 to ES512, PS256 to PS512")]
pub struct UnknownAlgorithm;

impl JwsAlgorithm {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
    ];

    /// By its name, whose case matters.
    pub fn from_name(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(UnknownAlgorithm)
    }

    /// What tokens signed with `key` say unless another algorithm is agreed: RS256 for RSA, the
    /// one that fits the curve for EC.
    #[must_use]
    pub fn default_for(key: &PublicKey) -> Self {
        match key.curve() {
            Some(Curve::P256) => Self::ES256,
            Some(Curve::P384) => Self::ES384,
            Some(Curve::P521) => Self::ES512,
            None => Self::RS256,
        }
    }

    /// The name in a header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
        }
    }

    /// What is computed.
    #[must_use]
    pub fn signature_algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::RS256 => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::RS384 => SignatureAlgorithm::RsaPkcs1Sha384,
            Self::RS512 => SignatureAlgorithm::RsaPkcs1Sha512,
            Self::ES256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::ES384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::ES512 => SignatureAlgorithm::EcdsaP521Sha512,
            Self::PS256 => SignatureAlgorithm::RsaPssSha256,
            Self::PS384 => SignatureAlgorithm::RsaPssSha384,
            Self::PS512 => SignatureAlgorithm::RsaPssSha512,
        }
    }

    /// The curve, for the ECDSA three.
    #[must_use]
    pub fn curve(self) -> Option<Curve> {
        match self {
            Self::ES256 => Some(Curve::P256),
            Self::ES384 => Some(Curve::P384),
            Self::ES512 => Some(Curve::P521),
            _ => None,
        }
    }

    /// Whether `key` is of the kind this algorithm works with.
    #[must_use]
    pub fn fits(self, key: &PublicKey) -> bool {
        self.curve() == key.curve()
    }
}

impl fmt::Display for JwsAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
