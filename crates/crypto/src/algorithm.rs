//! Signature algorithms, named by key, padding and hash.

/// The hash of a signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How a signature is made. ECDSA signatures are in ASN.1 DER here; [`crate::jose`] converts them
/// to the fixed form that JWS uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// ECDSA on P-521 with SHA-512: verified only, and only by the `aws-lc` build.
    EcdsaP521Sha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512 and a salt of 64 bytes.
    RsaPssSha512,
}

impl SignatureAlgorithm {
    /// The hash that is signed.
    #[must_use]
    pub fn hash(self) -> HashAlgorithm {
        match self {
            Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => {
                HashAlgorithm::Sha256
            }
            Self::EcdsaP384Sha384 | Self::RsaPkcs1Sha384 | Self::RsaPssSha384 => {
                HashAlgorithm::Sha384
            }
            Self::EcdsaP521Sha512 | Self::RsaPkcs1Sha512 | Self::RsaPssSha512 => {
                HashAlgorithm::Sha512
            }
        }
    }
}
