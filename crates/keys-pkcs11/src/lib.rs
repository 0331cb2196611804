//! The `pkcs11` key manager: keys that are made in a token and never leave it.
//!
//! A token is a hardware security module, a smart card, or a program that behaves like one
//! (SoftHSM). Its maker supplies a *module*, a shared library, which is loaded when the server
//! starts; nothing of it is needed to build. A program that is linked statically needs, to load one, the
//! very version of the C library that it was linked with.
//!
//! ```text
//! KeyManager "pkcs11" {
//!   plugin_data {
//!     module_path = "/usr/lib/softhsm/libsofthsm2.so"
//!     token_label = "signet"              # or slot_id = 3
//!     pin_path = "/etc/signet/token.pin"  # or pin = "$TOKEN_PIN" with --expand-env
//!   }
//! }
//! ```
//!
//! # A token to try it with
//!
//! ```text
//! apt install softhsm2
//! softhsm2-util --init-token --free --label signet --so-pin 87654321 --pin 12345678
//! install -m 600 /dev/stdin /etc/signet/token.pin <<< 12345678
//! ```
//!
//! The server must be able to read and write SoftHSM's token directory
//! (`directories.tokendir` in the file that `SOFTHSM2_CONF` names). For a token of hardware,
//! initialize it and its user PIN with the maker's tool or with `pkcs11-tool` of OpenSC, and name
//! the maker's module. `pkcs11-tool --module … --login --list-objects` shows what the server made.
//!
//! # What is on the token
//!
//! Each key is a pair of token objects, the private one sensitive and not extractable. Their label is
//! `IDENTIFIER/KEY`, such as `3c5d…/x509-CA-A`; the identifier is the server's id (the file
//! `server-id` in its data directory) unless `key_identifier_value` says otherwise, so that servers
//! can share a token. A data directory that is lost takes the identifier with it: the server makes
//! new keys, and the old ones stay on the token until they are removed by hand.
//!
//! Used are the mechanisms `CKM_EC_KEY_PAIR_GEN` and `CKM_ECDSA` for EC keys,
//! `CKM_RSA_PKCS_KEY_PAIR_GEN`, `CKM_RSA_PKCS` and `CKM_RSA_PKCS_PSS` for RSA keys. Hashing is done
//! here.
//!
//! # When things go wrong
//!
//! A token that went away or restarted is connected to again at the next use. A PIN that was refused
//! is never tried a second time, and none is tried when the token says that one more wrong PIN locks
//! it: neither this program nor a supervisor that restarts it can lock the token.
//!
//! ```text
//! Pkcs11Keys ──▶ objects   labels, versions, templates      (what stands on the token)
//!     │  └─ TokenSigner ─▶ mechanism                         (what is signed, and how)
//!     └──▶ Token ─▶ sessions, login, connecting again        (how it is reached)
//! ```

mod error;
mod identifier;
mod keys;
mod mechanism;
mod objects;
mod pin;
mod public;
mod signer;
mod token;
mod version;

pub use error::{ModuleError, Pkcs11Error};
pub use identifier::{Identifier, IdentifierError};
pub use keys::{Pkcs11Keys, Settings};
pub use pin::Pin;
pub use token::TokenName;
