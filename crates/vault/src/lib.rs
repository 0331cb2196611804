//! HashiCorp Vault and OpenBao, which speak the same: [`TransitKeys`] keeps the server's keys in a
//! transit engine, [`PkiUpstream`] has its authorities signed by a PKI engine.
//!
//! ```text
//! TransitKeys ─┐                 ┌─ Auth: token | AppRole | certificate | Kubernetes
//! PkiUpstream ─┴─▶ Vault ── Session (token, lease) ──▶ api ──▶ signet-http
//!                    └─ keep_token: renews or logs in again in time, by itself
//! ```
//!
//! No private key ever leaves the transit engine. What a token needs there: on `transit/keys/*` create,
//! read, update, delete and list, on `transit/sign/*` update; for the other, on
//! `pki/root/sign-intermediate` update.

mod api;
mod auth;
mod client;
mod error;
mod identifier;
mod pki;
mod session;
mod settings;
mod transit;

pub use auth::Auth;
pub use client::Vault;
pub use error::VaultError;
pub use identifier::{Identifier, IdentifierError};
pub use pki::PkiUpstream;
pub use settings::{Address, AddressError, Mount, MountError, Secret, Settings};
pub use transit::TransitKeys;
