//! The `azure_msi` attestor: an access token of an Azure machine's managed identity.
//!
//! **What it proves.** Entra ID signed a token of a configured tenant, for the configured audience,
//! that names the identity. Every process of the machine can ask the metadata service for one, so it
//! is trusted on first use: while the server has an agent for the identity, no second one is taken in.
//! Prefer `azure_imds`, whose evidence is signed for one exchange and needs no managed identity.
//!
//! **On the wire** ([`payload`]). The agent sends the token in JSON. There is no challenge.
//!
//! **Agent ID.** `/spire/agent/azure_msi/<tenant ID>/<principal ID>` unless `agent_path_template`
//! says otherwise, with the variables of [`VARIABLES`]. The agent cannot attest again: it renews its
//! SVID.
//!
//! | selector | value |
//! |---|---|
//! | `azure_msi:subscription-id:<id>` | the subscription |
//! | `azure_msi:vm-name:<resource group>:<name>` | the machine |
//! | `azure_msi:network-security-group:<resource group>:<name>` | of each network interface |
//! | `azure_msi:virtual-network:<resource group>:<network>` | of each network interface |
//! | `azure_msi:virtual-network-subnet:<resource group>:<network>:<subnet>` | of each network interface |
//!
//! **Configuration of the server.** `tenants`, keyed by the tenant's ID, at least one; each with
//! `resource_id` (`https://management.azure.com/`), which the token must be for, and as whom the
//! Resource Graph, the list of resources, machines and network interfaces are read: `app_id` and `app_secret`, or neither:
//! then the managed identity of the server's own machine. `subscription_id` says where machines are
//! looked for, by default in all that the credentials show; it goes with `app_id` and `app_secret`.
//! `agent_path_template`.
//!
//! **Configuration of the agent.** `resource_id`, the same as on the server.
//!
//! **Limits.** Tokens are accepted five minutes after they expire, as in SPIRE. A token for the
//! default audience is also one for Azure's Resource Manager: the server could use it there in the
//! identity's name, so give the identity no rights, or use a `resource_id` of your own. A user-assigned
//! identity must be that of one machine, whose selector `vm-name` then has the resource group in lower
//! case: such a machine is found in the Resource Graph, which writes it so. Tokens of national clouds are not accepted.

mod agent;
pub mod payload;
mod server;

pub use agent::AzureMsiAgent;
pub use server::{AzureMsiConfig, AzureMsiServer, ConfigError, EvidenceError, Tenant, VARIABLES};

/// The attestor's name on the wire.
pub const KIND: &str = "azure_msi";

/// What a token is for, if nothing else is said.
pub const DEFAULT_RESOURCE_ID: &str = "https://management.azure.com/";

/// Where the keys of all tenants' tokens are, at Entra's login server: what its discovery document at
/// `/common/` points to. (That document names no one issuer, so that it cannot be checked against one.)
pub const KEYS_PATH: &str = "/common/discovery/keys";
