//! The port of workload attestation.

use async_trait::async_trait;
use signet_model::Selector;
use tokio::sync::watch;

use crate::peer::{Peer, PeerGone, ProcError};

/// Turns what the kernel (and a runtime such as a container engine) says about a process into
/// selectors.
///
/// **Contract.** All selectors have the type [`kind`](Self::kind). The answer is a function of
/// facts that the workload cannot forge: never its environment, command line or mount table. An
/// attestor that cannot answer in full fails: half an answer could select another identity. It
/// may be called for the same peer many times and concurrently. It need not check that the peer
/// is still the same: the caller asks [`Peer::still_same`] after all attestors have answered.
#[async_trait]
pub trait WorkloadAttestor: Send + Sync {
    /// The attestor's name, which is the type of its selectors.
    fn kind(&self) -> &'static str;

    /// The selectors of this peer.
    async fn attest(&self, peer: &Peer) -> Result<Vec<Selector>, AttestError>;

    /// Changes whenever what the attestor says of some peer may have changed, so that whoever is served
    /// over a long time can be attested again. `None` if a peer that stays the same keeps its selectors.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}

/// Why an attestor could not answer. None of the texts contains a selector's value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The peer is not, or no longer, the process that connected.
    #[error("the workload is no longer the process that connected")]
    Gone(#[from] PeerGone),

    /// What the workload ran in has ended, although a process of it lives.
    #[error("the {attestor} attestor knew the workload's container, which is gone")]
    Departed {
        /// The attestor's name.
        attestor: &'static str,
    },

    /// The kernel did not tell what the attestor needs. Often the agent lacks the rights to look
    /// at processes of other users.
    #[error("cannot read what the {attestor} attestor needs of process {pid}")]
    Process {
        /// The attestor's name.
        attestor: &'static str,
        /// The workload's process ID.
        pid: i32,
        /// What failed.
        #[source]
        source: ProcError,
    },

    /// The program is larger than the operator allows to be hashed.
    #[error("the workload's program has {size} bytes, more than the limit of {limit}")]
    ProgramTooLarge {
        /// Bytes of the program file.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },

    /// The program file was written to while it was read.
    #[error("the workload's program changed while it was hashed")]
    ProgramChanged,

    /// The attestor's work was cut short, because the program stops.
    #[error("the attestor was interrupted")]
    Interrupted,

    /// Another failure, of an attestor that has its own kinds of them.
    #[error("the {attestor} attestor failed")]
    Other {
        /// The attestor's name.
        attestor: &'static str,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
