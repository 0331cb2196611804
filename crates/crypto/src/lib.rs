//! The one place that names ring and aws-lc-rs: hash, sign, verify, keys, JOSE, secrets.
//!
//! ring does the work. The feature `aws-lc` (on by default) adds what ring lacks: making RSA keys
//! and verifying with P-521. Without it those two are refused with an error that says which build
//! can do them. Nothing here knows SPIFFE.

mod algorithm;
#[cfg(feature = "aws-lc")]
mod aws_lc;
mod curve;
mod der;
mod hash;
pub mod jose;
mod key_type;
mod legacy_rsa;
pub mod pem;
mod private_key;
mod public_key;
mod random;
mod rsa_pss;
mod secret;
mod verified;

/// Whether this build can do what ring lacks: make RSA keys, sign with P-384 over SHA-256, verify
/// with P-521. Asked at run time, since one crate of a build switches the feature on for all.
pub const HAS_AWS_LC: bool = cfg!(feature = "aws-lc");

pub use algorithm::{HashAlgorithm, SignatureAlgorithm};
pub use curve::Curve;
pub use hash::{Sha256, hex, hmac_sha256, sha1, sha256};
pub use key_type::{KeyType, UnknownKeyType};
pub use legacy_rsa::LegacyRsaKey;
pub use private_key::{PrivateKey, SignError};
pub use public_key::{KeyError, MAX_SPKI_LEN, PublicKey, VerifyError};
#[cfg(feature = "testing")]
pub use random::SeededRandom;
pub use random::{Random, SystemRandom};
pub use secret::{SecretBytes, SecretString, SharedSecret};
pub use verified::Verified;
