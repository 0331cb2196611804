//! JOSE: compact signatures (RFC 7515), algorithm names (RFC 7518) and public keys (RFC 7517).
//!
//! Only asymmetric signatures; `none` and the HMAC algorithms have no name here, so they cannot be
//! chosen by a token. The key a token is checked with is the caller's choice, never the token's.

mod algorithm;
mod compact;
mod date;
mod ecdsa;
mod json;
mod jwk;

pub use algorithm::{JwsAlgorithm, UnknownAlgorithm};
pub use compact::{Compact, CompactError, MAX_KEY_ID_LEN, attach_signature, encode_signing_input};
pub use date::numeric_date;
pub use ecdsa::{SignatureFormError, ecdsa_der_to_fixed, ecdsa_fixed_to_der};
pub use json::{JsonError, parse_unique};
pub use jwk::{JwkError, jwk_members, public_key_of_jwk};
