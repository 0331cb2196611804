//! The authority above this server's: it signs our X.509 authorities, so that this trust domain
//! hangs under an organisation's own PKI or under another server.
//!
//! ```text
//! reconciler ── mint ──▶ UpstreamAuthority ◀── disk | spire | (a crate of its own for heavy ones)
//!                │                │
//!                ▼                └── bundle: roots and JWT keys, followed while the server runs
//!            validate ──▶ UpstreamCa
//! ```
//!
//! An answer is used only as an [`UpstreamCa`], which only [`validate`] makes. What is done with
//! it, and when, is not decided here.

pub mod disk;
mod mint;
mod note;
mod port;
pub mod spire;
#[cfg(feature = "testing")]
pub mod testing;
mod validate;

pub(crate) use note::note;

pub use mint::{MINT_TIMEOUT, PUBLISH_TIMEOUT, mint, publish_jwt, publish_wit};
pub use port::{MintedCa, UpstreamAuthority, UpstreamBundle, UpstreamError};
pub use validate::{InvalidAnswer, MAX_ROOTS, UpstreamCa, validate};
