//! The `gcp_iit` attestor: the identity token of a Google Compute Engine instance.
//!
//! **What it proves.** Google signed a token for this attestor's audience that names the instance.
//! Every process of the instance can ask the metadata service for one, so it is trusted on first use:
//! while the server has an agent for the instance, no second one is taken in.
//!
//! **On the wire.** The agent sends the token as it is. There is no challenge.
//!
//! **Agent ID.** `/spire/agent/gcp_iit/<project ID>/<instance ID>` unless `agent_path_template` says
//! otherwise, with the variables of [`VARIABLES`]. The agent cannot attest again: it renews its SVID.
//!
//! | selector | value |
//! |---|---|
//! | `gcp_iit:project-id:<id>` | the project |
//! | `gcp_iit:zone:<zone>` | the zone |
//! | `gcp_iit:instance-name:<name>` | the name |
//! | `gcp_iit:sa:<email>` | the service account whose token it is |
//! | `gcp_iit:tag:<tag>` | each network tag; this and the next two with `use_instance_metadata` |
//! | `gcp_iit:label:<key>:<value>` | each label with a key of `allowed_label_keys` |
//! | `gcp_iit:metadata:<key>:<value>` | each metadata value with a key of `allowed_metadata_keys` |
//!
//! **Configuration of the server.** `projectid_allow_list`, which must be there.
//! `use_instance_metadata` (false) asks Compute Engine's API for the instance, which takes the
//! permission `compute.instances.get`: with the key of a service account in `service_account_file` or
//! in the file that `GOOGLE_APPLICATION_CREDENTIALS` names, or else as the service account of the
//! server's own instance. `allowed_label_keys`, `allowed_metadata_keys` (none).
//! `max_metadata_value_size` (128 bytes): a longer value of an allowed key refuses the agent.
//! `agent_path_template`.
//!
//! **Configuration of the agent.** `identity_token_host` (`metadata.google.internal`),
//! `service_account` (`default`).
//!
//! **Limits.** Tokens last an hour, and whoever reads one meanwhile can be the agent if he comes
//! first. Project IDs with a colon (of a domain) cannot be part of a SPIFFE ID: leave them out of the
//! template. Key files of kinds other than `service_account` are refused.

mod agent;
pub mod payload;
mod server;

pub use agent::GcpIitAgent;
pub use server::{
    DEFAULT_MAX_METADATA_VALUE_SIZE, EvidenceError, GcpIitConfig, GcpIitServer, InstanceMetadata,
    VARIABLES,
};

/// The attestor's name on the wire.
pub const KIND: &str = "gcp_iit";

/// What the token must be for.
pub const AUDIENCE: &str = "spire-gcp-node-attestor";

/// Who signs the tokens.
pub const ISSUER: &str = "https://accounts.google.com";

/// Where that signer's keys are.
pub const KEYS_URL: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// Where an instance finds its metadata service.
pub const DEFAULT_HOST: &str = "metadata.google.internal";
