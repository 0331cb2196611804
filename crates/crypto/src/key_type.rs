//! The kinds of keys that Signet makes.

use std::fmt;
use std::str::FromStr;

use crate::SignatureAlgorithm;

/// A kind of key pair, by the name configuration files use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyType {
    /// `ec-p256`: the NIST curve P-256.
    EcP256,
    /// `ec-p384`: the NIST curve P-384.
    EcP384,
    /// `rsa-2048`.
    Rsa2048,
    /// `rsa-4096`.
    Rsa4096,
}

/// The name is not one of the four.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown key type; use one of ec-p256, ec-p384, rsa-2048, rsa-4096")]
pub struct UnknownKeyType;

impl KeyType {
    /// All kinds, in the order of their names.
    pub const ALL: [Self; 4] = [Self::EcP256, Self::EcP384, Self::Rsa2048, Self::Rsa4096];

    /// The algorithm such a key signs with unless another is asked for.
    #[must_use]
    pub fn default_algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::EcP256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::EcP384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::Rsa2048 | Self::Rsa4096 => SignatureAlgorithm::RsaPkcs1Sha256,
        }
    }

    /// The name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa4096 => "rsa-4096",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    /// Case does not matter, as in SPIRE's files.
    fn from_str(text: &str) -> Result<Self, UnknownKeyType> {
        Self::ALL
            .into_iter()
            .find(|kind| text.eq_ignore_ascii_case(kind.name()))
            .ok_or(UnknownKeyType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_type_is_read_in_any_case_and_written_in_lower_case() {
        for kind in KeyType::ALL {
            assert_eq!(kind.to_string().to_uppercase().parse(), Ok(kind));
        }
        assert_eq!(KeyType::EcP256.to_string(), "ec-p256");
    }

    #[test]
    fn an_unknown_key_type_is_refused() {
        for bad in ["", "ec-p521", "rsa-1024", "ec_p256", " ec-p256"] {
            assert_eq!(bad.parse::<KeyType>(), Err(UnknownKeyType));
        }
    }
}
