//! Ports of node attestation and the attestors themselves, both halves.
//!
//! An agent proves to the server on which machine it runs: it sends a payload, answers the
//! challenges that follow, and the server says which agent this is. What travels is opaque bytes
//! to all but the attestor. One folder per attestor, with its agent's half, its server's half and
//! the words they exchange.
//!
//! ```text
//! AgentAttestor::payload ──▶ ServerAttestor::attest
//! AgentAttestor::respond ◀── Challenger::challenge     (any number of times)
//!                        ──▶ Attested: agent ID, selectors
//! ```

mod agent_path;
mod attestor;
pub mod aws_iid;
pub mod azure_imds;
pub mod azure_msi;
pub mod combined;
pub mod gcp_iit;
pub mod join_token;
mod json;
pub mod k8s_psat;
mod metadata;
mod network;
pub mod oidc;
pub mod pkcs7;
mod token;
pub mod x509pop;

pub use agent_path::{AgentPathTemplate, RenderError, TemplateError, Value, is_segment};
pub use attestor::{
    AgentAttestor, AgentError, Attested, BoxError, Challenger, Fault, Finding, MAX_PAYLOAD, Peer,
    Refused, ServerAttestor,
};
pub use json::JsonError;
