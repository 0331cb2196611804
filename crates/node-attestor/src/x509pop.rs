//! The `x509pop` attestor: a certificate of the machine, and proof of possession of its key.
//!
//! **What it proves.** The agent holds the private key of a certificate that chains to one of the
//! configured authorities and is valid now. The key signs 32 bytes of the server and 32 bytes of
//! the agent, so that neither side alone chooses what is signed.
//!
//! **On the wire** ([`payload`]). The agent sends its chain, leaf first; the server sends a challenge
//! for the leaf's kind of key; the agent answers with a signature over
//! SHA-256(server's nonce ‖ agent's nonce): ECDSA, or RSA-PSS with SHA-256.
//!
//! **Agent ID.** `/spire/agent/x509pop/<SHA-1 of the leaf>` unless `agent_path_template` says
//! otherwise; with `mode = "spiffe"`, `/spire/agent/x509pop/<path behind the prefix>`. The agent can
//! attest again.
//!
//! | selector | value |
//! |---|---|
//! | `x509pop:subject:cn:<name>` | common name of the leaf |
//! | `x509pop:ca:fingerprint:<40 hex>` | SHA-1 of each authority above the leaf |
//! | `x509pop:serialnumber:<hex>` | serial number of the leaf |
//! | `x509pop:san:<key>:<value>` | for each URI name `x509pop://<trust domain>/<key>/<value>` |
//!
//! **Configuration of the server.** `mode`: `external_pki` (default; authorities from
//! `ca_bundle_path` or `ca_bundle_paths`) or `spiffe` (authorities are the trust bundle, and the
//! leaf's SPIFFE ID begins with `spiffe_prefix`, by default `/spire-exchange/`).
//! `agent_path_template` with the variables of [`VARIABLES`]. `max_intermediates` (4),
//! `max_rsa_key_size` (8192). `verify_client_ip` (false): the agent's address must be among the
//! leaf's IP names; behind a proxy it never is.
//!
//! **Configuration of the agent.** `private_key_path`, `certificate_path` (which may hold the whole
//! chain), `intermediates_path`.
//!
//! **Limits.** Certificates are not looked up in revocation lists: ban the agent. The leaf must have
//! the key usage `digitalSignature`; its extended key usage does not matter. Keys are EC on P-256,
//! P-384 or P-521, or RSA of 2048 to 8192 bits. Common names and URI names are as good as the
//! authority that signs them. URI name constraints are not understood, and so refused.

mod agent;
pub(crate) mod chain;
mod leaf;
pub mod payload;
mod server;

pub use agent::{X509PopAgent, X509PopFiles};
pub use chain::{ChainError, Limits, Roots};
pub use server::{
    ConfigError, DEFAULT_SPIFFE_PREFIX, EvidenceError, Mode, TrustBundle, VARIABLES, X509PopConfig,
    X509PopServer,
};

/// The attestor's name on the wire.
pub const KIND: &str = "x509pop";
