//! Why the agent ends by itself, and why one try of its did not work.

use crate::bootstrap::BootstrapError;
use crate::own::OwnError;
use crate::upstream::{AttestFailed, CallError};
use signet_model::AgentReason;
use signet_tls::IdentityError;
use std::io;
use std::path::PathBuf;

/// Why the agent ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The server refused the attestation for good.
    #[error("the server refuses to attest this agent")]
    Refused(#[source] AttestFailed),
    /// An operator banned the agent.
    #[error("this agent is banned: its SVID was removed; ask the operator of the server")]
    Banned,
    /// The server wants a new attestation, and this agent cannot attest again by itself.
    #[error(
        "the server does not accept this agent any more ({0}), and it cannot attest again by itself: start it with a new join token"
    )]
    CannotReattest(AgentReason),
    /// The agent's SVID ran out while the server was out of reach.
    #[error(
        "the SVID of this agent expired before it could be renewed, and it cannot attest again by itself: start it with a new join token"
    )]
    Expired,
    /// The agent has nothing to attest with.
    #[error(transparent)]
    NoAttestor(#[from] NoAttestor),
    /// The agent's own key or files failed.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// The agent's certificate cannot be shown.
    #[error("the agent's certificate cannot be used")]
    Identity(#[from] IdentityError),
}

/// Why there is no node attestor.
#[derive(Debug, thiserror::Error)]
pub enum NoAttestor {
    /// A join token is needed.
    #[error(
        "this agent has to attest and needs a join token: make one with `signet-server token generate` and give it as --join-token, join_token or join_token_file"
    )]
    NoJoinToken,
    /// The file with the join token cannot be read.
    #[error("could not read the join token from {}", .path.display())]
    JoinToken {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The client of a metadata service cannot be made.
    #[error("the node attestor cannot be set up")]
    Http(#[source] signet_http::SetupError),
}

/// Why one attestation or renewal did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Connect(#[from] signet_tls::ConnectError),
    #[error(transparent)]
    Attest(AttestFailed),
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Ended(#[from] Ended),
}
