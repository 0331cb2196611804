//! The two halves of node attestation, as ports.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use signet_model::{Selector, SingleUse, TokenId, TokenRefusal};
use signet_spiffe::SpiffeId;

/// The longest payload of an attestor that names no limit of its own: a chain of a dozen certificates,
/// or a token of the largest size that web servers take, is shorter.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Any error, kept as a cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The agent's half.
///
/// **Contract.** [`payload`](Self::payload) begins an exchange and may read files anew;
/// [`respond`](Self::respond) belongs to the latest one begun. An agent has one exchange at a time.
#[async_trait]
pub trait AgentAttestor: Send + Sync {
    /// The attestor's name on the wire.
    fn kind(&self) -> &'static str;

    /// What the agent says of itself. Never empty.
    async fn payload(&self) -> Result<Vec<u8>, AgentError>;

    /// The answer to a challenge.
    async fn respond(&self, challenge: &[u8]) -> Result<Vec<u8>, AgentError>;

    /// What can be said here of a payload, for the node's operator: no secrets, and nothing that only
    /// the server can judge.
    async fn findings(&self, payload: &[u8], _: SystemTime) -> Result<Vec<Finding>, AgentError> {
        let length = format!("{} bytes of evidence", payload.len());
        Ok(vec![Finding::holds(length)])
    }
}

/// What an agent finds of its own evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it speaks for an attestation.
    pub holds: bool,
    /// What it is.
    pub text: String,
}

impl Finding {
    /// Something that is as it should be.
    pub fn holds(text: impl Into<String>) -> Self {
        Self {
            holds: true,
            text: text.into(),
        }
    }

    /// Something that no server will accept.
    pub fn fails(text: impl Into<String>) -> Self {
        Self {
            holds: false,
            text: text.into(),
        }
    }
}

/// The server's half.
///
/// **Contract.** Nothing is written: what must happen at most once is named in [`Attested`] and
/// becomes part of the server's commit. Limits are checked before cryptography. An exchange that is
/// dropped leaves nothing behind.
#[async_trait]
pub trait ServerAttestor: Send + Sync {
    /// The attestor's name on the wire, and the type of its selectors.
    fn kind(&self) -> &'static str;

    /// The longest payload and the longest answer to a challenge, in bytes. What is longer is refused
    /// before the attestor sees it.
    fn max_payload(&self) -> usize {
        MAX_PAYLOAD
    }

    /// Decides which agent sent this payload, if any.
    async fn attest(
        &self,
        payload: &[u8],
        peer: &Peer,
        challenger: &mut dyn Challenger,
    ) -> Result<Attested, Refused>;
}

/// The way back to the agent during an exchange.
#[async_trait]
pub trait Challenger: Send {
    /// Sends a challenge and waits for its answer.
    async fn challenge(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused>;
}

/// What the connection says of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address, where there is one.
    pub addr: Option<IpAddr>,
}

/// An agent that is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// Its ID.
    pub agent_id: SpiffeId,
    /// What is known of its node.
    pub selectors: Vec<Selector>,
    /// Whether it can prove itself in the same way again; otherwise it must renew its SVID.
    pub can_reattest: bool,
    /// Trust on first use: the evidence does not change and could be shown by anybody who ever read
    /// it, so that it counts only while the server has no agent of this ID.
    pub first_use: bool,
    /// A join token to be taken in the commit that writes the agent. The exchange is void if that
    /// cannot be.
    pub token: Option<TokenId>,
    /// Evidence that counts once, to be marked as used in the commit that writes the agent. The
    /// exchange is void if another key or agent has used it.
    pub once: Vec<SingleUse>,
    /// The attestors, where several had to agree: from then on fewer do not do for this agent.
    pub proofs: Vec<&'static str>,
}

/// Why the agent's half has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A file of the attestor cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} does not hold {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// What is wrong, if more is known.
        #[source]
        source: Option<BoxError>,
    },
    /// A variable of the environment is missing.
    #[error("the environment variable {name} is not set{hint}")]
    Variable {
        /// The variable.
        name: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A service of the platform, which vouches for the node, does not.
    #[error("could not get {what}")]
    Platform {
        /// What was asked for.
        what: &'static str,
        /// What failed.
        #[source]
        source: BoxError,
    },
    /// The private key is not that of the certificate.
    #[error("the private key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The server asks what this attestor has no answer to.
    #[error("the server sent a challenge that does not fit")]
    Challenge(#[source] Option<BoxError>),
    /// The machine's metadata service does not give what the attestor shows.
    #[error("the metadata service at {url} did not give {what}")]
    Metadata {
        /// The service.
        url: String,
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The answer could not be signed.
    #[error("cannot sign the answer to the challenge")]
    Sign(#[source] BoxError),
}

/// Why an agent is not attested. The texts hold nothing that the agent sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The payload is not in the attestor's form, or over a limit.
    #[error("attestation payload is malformed")]
    Payload(#[source] BoxError),
    /// An answer is not in the attestor's form, or over a limit.
    #[error("answer to the challenge is malformed")]
    Response(#[source] BoxError),
    /// The agent has not proved what it says.
    #[error("attestation evidence does not hold")]
    Evidence(#[source] BoxError),
    /// The join token is not to be used (again).
    #[error(transparent)]
    Token(TokenRefusal),
    /// The agent left before the end.
    #[error("the agent ended the exchange")]
    Ended(#[source] Option<BoxError>),
    /// What the agent proved gives no agent ID.
    #[error("no agent ID follows from the evidence")]
    AgentId(#[source] BoxError),
    /// It cannot be decided now.
    #[error("the attestor is not able to decide")]
    Unavailable(#[source] BoxError),
}

/// Who must act upon a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The agent sent something wrong.
    Caller,
    /// The agent may not have what it asks for.
    NotAllowed,
    /// The server, or who configured it.
    Ours,
}

impl Refused {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Payload(_) | Self::Response(_) | Self::Token(_) | Self::Ended(_) => Fault::Caller,
            Self::Evidence(_) => Fault::NotAllowed,
            Self::AgentId(_) | Self::Unavailable(_) => Fault::Ours,
        }
    }
}
