//! The `azure_imds` attestor: a document about an Azure virtual machine that Azure signed.
//!
//! **What it proves.** The metadata service of a machine signed the server's nonce together with the
//! machine's ID and subscription. Every process of the machine can ask for that, so it is trusted on
//! first use: while the server has an agent for the machine, no second one is taken in.
//!
//! **On the wire** ([`payload`]). The agent begins with a fixed text; the server's challenge is a
//! nonce of 32 letters and digits; the agent answers with the signed document, and beside it, unsigned,
//! the tenant's domain and the name of its scale set.
//!
//! ```text
//! signed document ─ its one signer ─▶ name in an allowed domain ─▶ chain to a known root
//!                                        (issuers from www.microsoft.com) ─▶ Verified<document>
//! Verified<document> ─▶ nonce ─▶ subscription ─▶ the machine, asked of the tenant's API ─▶ agent ID
//! ```
//!
//! The agent only names the tenant: it must be configured, and the machine must be found in the signed
//! subscription with that tenant's credentials.
//!
//! **Agent ID.** `/spire/agent/azure_imds/<tenant ID>/<subscription ID>/<VM ID>` unless
//! `agent_path_template` says otherwise, with the variables of [`VARIABLES`]. The agent cannot attest
//! again: it renews its SVID.
//!
//! | selector | value |
//! |---|---|
//! | `azure_imds:subscription-id:<id>` | the subscription |
//! | `azure_imds:vm-name:<name>`, `:vm-location:<region>`, `:resource-group:<name>` | the machine |
//! | `azure_imds:vmss-name:<name>` | its scale set |
//! | `azure_imds:vm-tag:<key>:<value>` | each tag with a key of `allowed_vm_tags` |
//! | `azure_imds:network-security-group:<resource group>:<name>` | of each network interface |
//! | `azure_imds:virtual-network:<network>` | of each network interface |
//! | `azure_imds:virtual-network-subnet:<network>:<subnet>` | of each network interface |
//!
//! **Configuration of the server.** `tenants`, keyed by domain, at least one; each with
//! `restrict_to_subscriptions` (any), `allowed_vm_tags` (none) and the credentials that may read
//! machines, network interfaces and the Resource Graph: `secret_auth { app_id, app_secret }`,
//! `token_auth { app_id, token_path }`, or neither: then the environment (`AZURE_CLIENT_ID` with
//! `AZURE_CLIENT_SECRET` or `AZURE_FEDERATED_TOKEN_FILE`), or else the managed identity of the
//! server's own machine. `allowed_metadata_domains` (`["metadata.azure.com"]`; each with its subdomains). `trust_bundle_path`: more roots, in PEM.
//! `agent_path_template`.
//!
//! **Configuration of the agent.** `tenant_domain`, which must be there.
//!
//! **Limits.** The server must reach `login.microsoftonline.com`, `management.azure.com` and, for a
//! certificate whose issuer it has not met, `www.microsoft.com`. The document itself says nothing of
//! the tenant. Certificates are not looked up in revocation lists.

mod agent;
mod issuers;
pub mod payload;
mod roots;
mod server;
mod signer;

pub use agent::AzureImdsAgent;
pub use issuers::{CERTIFICATES_URL, FetchError, Issuers};
pub use roots::{RootsError, roots};
pub use server::{AzureImdsConfig, AzureImdsServer, ConfigError, EvidenceError, Tenant, VARIABLES};
pub use signer::{SignerError, Signers};
pub use signet_cloud::azure::METADATA_URL;

/// The attestor's name on the wire.
pub const KIND: &str = "azure_imds";

/// Whose certificates sign documents, if nothing else is said.
pub const DEFAULT_DOMAIN: &str = "metadata.azure.com";
