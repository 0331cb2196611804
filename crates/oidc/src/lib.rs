//! Tokens of OpenID Connect issuers: their keys, and what a token proves.
//!
//! ```text
//! Published (discovery | fixed URL) ──▶ KeySet ──▶ IssuerKeys: cached, asked again within limits
//!   any other KeySource ──────────────┘                │
//! Token::parse ── claimed_issuer: whose keys? ─────────┴─ verify(Expected) ──▶ Verified<Claims>
//! ```
//!
//! A token is bounded before it is read, its algorithm is chosen by the key and never by the token
//! alone, and claims are read from the bytes that the signature covers. Issuers are reached over
//! HTTPS only, without redirects, and at public addresses unless the operator says otherwise for an
//! issuer: the URL of its keys is the issuer's word.

mod claims;
mod fetch;
mod issuer;
mod key_set;
mod keys;
#[cfg(feature = "testing")]
pub mod testing;
mod token;

pub use claims::{Claims, ClaimsError, Expected, MAX_AUDIENCES};
pub use fetch::{BoxError, FetchError, KeySource, MAX_DOCUMENT, Published, Reach, keys_url};
pub use issuer::{IssuerUrl, UrlError};
pub use key_set::{KeySet, KeySetError, MAX_KEYS, NoKey};
pub use keys::{IssuerKeys, KeysError};
pub use token::{MAX_TOKEN_LEN, Token, TokenError};
