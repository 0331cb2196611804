//! Why a stored record cannot be read. Names fields, never shows values.

use signet_model::{EntryIdError, SelectorError};
use signet_spiffe::{AuthorityError, IdError, TrustDomainError};

use crate::Record;

/// A record of the store that cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the stored record {key:?} cannot be read")]
pub struct RecordError {
    /// Where it is.
    pub key: String,
    /// What is wrong with it.
    #[source]
    pub problem: FieldError,
}

impl RecordError {
    pub(crate) fn new(record: &Record, problem: FieldError) -> Self {
        let key = record.key.clone();
        Self { key, problem }
    }
}

/// What is wrong with a stored value.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Longer than any value a store takes.
    #[error("it has {length} bytes")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Not protobuf, or not this message.
    #[error("it is not the protobuf message of its kind")]
    Wire(#[source] prost::DecodeError),
    /// It has fields of a form that no program of ours writes.
    #[error("it has protobuf groups")]
    Groups,
    /// The value belongs under another key.
    #[error("its content belongs under another key")]
    WrongKey,
    /// An agent of a trust domain that is not the server's.
    #[error("the agent is of another trust domain")]
    ForeignAgent,
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A SPIFFE ID.
    #[error("{field} is no SPIFFE ID")]
    Id {
        /// The field.
        field: &'static str,
        /// What is wrong.
        source: IdError,
    },
    /// A trust domain.
    #[error("{field} is no trust domain")]
    TrustDomain {
        /// The field.
        field: &'static str,
        /// What is wrong.
        source: TrustDomainError,
    },
    /// An entry ID.
    #[error("the entry ID is not valid")]
    EntryId(#[source] EntryIdError),
    /// A selector.
    #[error("a selector is not valid")]
    Selector(#[source] SelectorError),
    /// A time or a duration.
    #[error("{field} is out of range")]
    Time {
        /// The field.
        field: &'static str,
    },
    /// A hash.
    #[error("{field} has {length} bytes instead of 32")]
    Hash {
        /// The field.
        field: &'static str,
        /// Its length.
        length: usize,
    },
    /// A key of a bundle.
    #[error("an authority of the bundle is not valid")]
    Authority(#[source] AuthorityError),
    /// A public key.
    #[error("a public key is not valid")]
    PublicKey(#[source] signet_crypto::KeyError),
    /// A number that stands for one of several states.
    #[error("{field} has the unknown value {value}")]
    Enumeration {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i32,
    },
}
