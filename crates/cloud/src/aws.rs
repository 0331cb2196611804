//! Amazon Web Services: signed calls of the few actions that node attestation needs.
//!
//! ```text
//! environment ─▶ Credentials ◀─ shared files │ web identity │ container │ instance metadata
//!                     │ (AssumeRole where a role is configured; kept until shortly before expiry)
//!                     ▼
//! Aws ── EC2 │ IAM │ Organizations │ EKS │ Auto Scaling ──▶ plain values
//! ```
//!
//! Each call is signed (Signature Version 4), bounded in time and size, and sent again at most
//! twice. Where a service is follows from partition and region; `AWS_ENDPOINT_URL` and
//! `AWS_ENDPOINT_URL_<SERVICE>` name another place, as for AWS's own libraries, without TLS on this
//! machine only.

mod client;
mod credentials;
mod ec2;
mod eks;
mod environment;
mod error;
mod files;
mod iam;
pub mod metadata;
mod organizations;
mod partition;
mod sign;
mod sts;
mod xml;

pub use client::{Aws, AwsSettings, Identity, StaticKeys};
pub use ec2::Instance;
pub use environment::Environment;
pub use error::AwsError;
pub use metadata::InstanceMetadata;
pub use organizations::Account;
pub use partition::{Partition, UnknownPartition};
