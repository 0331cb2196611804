//! What goes wrong with authorities.

use super::parent::ParentError;
use crate::state::StateError;
use signet_ca::AuthorityError;
use signet_ca::slots::{Kind, SlotError};
use signet_keys::KeyError;
use signet_telemetry::audit::AuditError;

/// Why the authorities could not be brought in order.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityFault {
    /// The key manager failed.
    #[error("the key manager failed")]
    Keys(#[from] KeyError),
    /// A new X.509 authority got no certificate.
    #[error("could not make an X.509 authority")]
    Parent(#[from] ParentError),
    /// A stored authority cannot be used.
    #[error("the stored authority cannot be used")]
    Stored(#[from] AuthorityError),
    /// A key cannot stand in the bundle.
    #[error("the key cannot stand in the bundle")]
    Publish(#[from] signet_spiffe::AuthorityError),
    /// The upstream authority did not publish a key.
    #[error("the upstream authority did not publish the key")]
    Upstream(#[from] signet_upstream::UpstreamError),
    /// The slots do not allow it.
    #[error("the slots are not as expected")]
    Slots(#[from] SlotError),
    /// Not stored.
    #[error(transparent)]
    State(#[from] StateError),
    /// The steps do not come to an end.
    #[error("the rotation of {0} authorities does not settle: this is a defect")]
    Unsettled(Kind),
}

/// Why an operator's wish about an authority was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum LocalFault {
    /// There are no such authorities here.
    #[error("{0} functionality is disabled")]
    Disabled(Kind),
    /// No authority signs yet.
    #[error("server is initializing")]
    Initializing,
    /// No authority was named.
    #[error("no authority ID provided")]
    NoId,
    /// Not the authority that could be activated.
    #[error("unexpected authority ID: it is not the one beside the active authority")]
    NotNext,
    /// It could be, but was already.
    #[error("only Prepared authorities can be activated")]
    NotPrepared,
    /// It signs.
    #[error("invalid authority ID: this authority is active; prepare and activate another first")]
    Active,
    /// It is to sign.
    #[error("invalid authority ID: this authority is prepared; preparing again replaces it")]
    Prepared,
    /// It is not in the bundle.
    #[error("invalid authority ID: no authority of this ID is in the bundle")]
    Unknown,
    /// It is tainted.
    #[error("the authority is already tainted")]
    AlreadyTainted,
    /// It is not.
    #[error("only tainted authorities can be revoked: taint it first")]
    NotTainted,
    /// The certificate comes from an upstream authority.
    #[error(
        "a local authority cannot be tainted or revoked while there is an upstream authority: taint or revoke that, \
         and this server follows with a new key"
    )]
    HasUpstream,
    /// The upstream authority has the key, and would bring it back.
    #[error(
        "the upstream authority publishes the key {id}, so that the trust domain goes on accepting it: taint and \
         revoke it there (localauthority … taint, revoke), and this server follows; then do this again"
    )]
    UpstreamHas {
        /// The key.
        id: String,
    },
    /// The certificate does not come from an upstream authority.
    #[error("upstream authority is not configured")]
    NoUpstream,
    /// The old authority hangs on another one.
    #[error(
        "invalid subject key ID: the old authority was not signed by it, or the active one was"
    )]
    OtherUpstream,
    /// The step failed.
    #[error(transparent)]
    Step(#[from] AuthorityFault),
    /// The record was not kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl From<StateError> for LocalFault {
    fn from(error: StateError) -> Self {
        Self::Step(error.into())
    }
}
