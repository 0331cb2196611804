//! `NodeAttestor "gcp_iit"`, `"azure_imds"` and `"azure_msi"`, the agent's halves.

use signet_config::{Key, Section, Unknown};
use signet_node_attestor::azure_imds::METADATA_URL;
use signet_node_attestor::azure_msi::DEFAULT_RESOURCE_ID;
use signet_node_attestor::gcp_iit::DEFAULT_HOST;

const GCP_IIT: [Key; 2] = [
    Key::implemented("identity_token_host"),
    Key::implemented("service_account"),
];

const AZURE_IMDS: [Key; 2] = [
    Key::implemented("tenant_domain"),
    Key::implemented("experimental"),
];

const AZURE_MSI: [Key; 2] = [
    Key::implemented("resource_id"),
    Key::implemented("experimental"),
];

/// For emulators: SPIRE's agent has no key for the address.
const AZURE_EXPERIMENTAL: [Key; 1] = [Key::implemented("metadata_url")];

/// The `gcp_iit` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpIitSettings {
    /// `identity_token_host`, with a port if it is not 80.
    pub host: String,
    /// `service_account`.
    pub service_account: String,
}

/// The `azure_imds` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureImdsSettings {
    /// `tenant_domain`.
    pub tenant_domain: String,
    /// Where the metadata service is.
    pub metadata_url: String,
}

/// The `azure_msi` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureMsiSettings {
    /// `resource_id`: what the token is for.
    pub resource_id: String,
    /// Where the metadata service is.
    pub metadata_url: String,
}

/// `None` where a problem was found, as in all of these.
pub(super) fn gcp_iit(data: &Section<'_>) -> Option<GcpIitSettings> {
    data.check(&[&GCP_IIT], Unknown::Warned);
    let account = data.string("service_account").unwrap_or("default");
    if data.is_set("identity_token_host") {
        let host = data.parsed("identity_token_host", host)?;
        return Some(GcpIitSettings {
            host,
            service_account: account.to_owned(),
        });
    }
    Some(GcpIitSettings {
        host: DEFAULT_HOST.to_owned(),
        service_account: account.to_owned(),
    })
}

pub(super) fn azure_imds(data: &Section<'_>) -> Option<AzureImdsSettings> {
    data.check(&[&AZURE_IMDS], Unknown::Warned);
    let tenant_domain = data.required_string("tenant_domain");
    let metadata_url = metadata_url(data);
    Some(AzureImdsSettings {
        tenant_domain: tenant_domain?.to_owned(),
        metadata_url: metadata_url?,
    })
}

pub(super) fn azure_msi(data: &Section<'_>) -> Option<AzureMsiSettings> {
    data.check(&[&AZURE_MSI], Unknown::Warned);
    let resource_id = data.string("resource_id").unwrap_or(DEFAULT_RESOURCE_ID);
    Some(AzureMsiSettings {
        resource_id: resource_id.to_owned(),
        metadata_url: metadata_url(data)?,
    })
}

fn metadata_url(data: &Section<'_>) -> Option<String> {
    let experimental = data.block("experimental");
    experimental.check(&[&AZURE_EXPERIMENTAL], Unknown::Warned);
    if !experimental.is_set("metadata_url") {
        return Some(METADATA_URL.to_owned());
    }
    experimental.parsed("metadata_url", signet_cloud::metadata_url)
}

fn host(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let is_one = !text.is_empty() && text.chars().all(plain);
    is_one
        .then(|| text.to_owned())
        .ok_or("is not a host, with or without a port")
}
