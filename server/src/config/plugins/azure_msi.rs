//! `NodeAttestor "azure_msi"`, the server's half.

use std::collections::BTreeMap;

use signet_cloud::Endpoint;
use signet_cloud::azure::{AppSecret, Credentials, METADATA_URL, ManagedIdentity};
use signet_config::{Key, Section, Unknown};
use signet_node_attestor::azure_msi::{DEFAULT_RESOURCE_ID, VARIABLES};

use super::azure_imds::{AzureEndpoints, azure, tenants};
use super::endpoints::Endpoints;
use super::node_attestor::agent_path_template;

const KEYS: [Key; 3] = [
    Key::implemented("tenants"),
    Key::implemented("agent_path_template"),
    Key::implemented("experimental"),
];

const TENANT: [Key; 5] = [
    Key::implemented("resource_id"),
    Key::implemented("subscription_id"),
    Key::implemented("app_id"),
    Key::implemented("app_secret"),
    Key::ignored(
        "use_msi",
        "without app_id it is the server's managed identity anyway",
    ),
];

const EXPERIMENTAL: [Key; 4] = [
    Key::implemented("login_url"),
    Key::implemented("management_url"),
    Key::implemented("metadata_url"),
    Key::implemented("ca_path"),
];

/// The `azure_msi` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureMsiSettings {
    /// `tenants`, by ID; never empty.
    pub tenants: BTreeMap<String, AzureMsiTenant>,
    /// `agent_path_template`; the attestor has a default.
    pub agent_path_template: Option<String>,
    /// Where Azure is.
    pub endpoints: AzureEndpoints,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureMsiTenant {
    /// `resource_id`.
    pub resource_id: String,
    /// `subscription_id`.
    pub subscription: Option<String>,
    /// `app_id` and `app_secret`, or the server's managed identity.
    pub credentials: Credentials,
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>) -> Option<AzureMsiSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    let experimental = data.block("experimental");
    experimental.check(&[&EXPERIMENTAL], Unknown::Warned);
    let endpoints = Endpoints::of(&experimental);
    let metadata = endpoints.metadata("metadata_url", METADATA_URL);
    Some(AzureMsiSettings {
        tenants: tenants(data, |tenant| read_tenant(tenant, &metadata))?,
        agent_path_template: agent_path_template(data, VARIABLES),
        endpoints: azure(&endpoints),
    })
}

fn read_tenant(tenant: &Section<'_>, metadata: &Endpoint) -> Option<AzureMsiTenant> {
    tenant.check(&[&TENANT], Unknown::Warned);
    let resource_id = tenant.string("resource_id").unwrap_or(DEFAULT_RESOURCE_ID);
    let subscription = tenant.string("subscription_id").map(str::to_owned);
    Some(AzureMsiTenant {
        resource_id: resource_id.to_owned(),
        credentials: credentials(tenant, subscription.is_some(), metadata)?,
        subscription,
    })
}

/// All of the three keys, or none, as in SPIRE.
fn credentials(
    tenant: &Section<'_>,
    has_subscription: bool,
    metadata: &Endpoint,
) -> Option<Credentials> {
    let (app_id, secret) = (tenant.string("app_id"), tenant.string("app_secret"));
    match (has_subscription, app_id, secret) {
        (true, Some(app_id), Some(secret)) => Some(Credentials::Secret {
            app_id: app_id.to_owned(),
            secret: AppSecret::new(secret.to_owned()),
        }),
        (false, None, None) => Some(Credentials::ManagedIdentity(ManagedIdentity {
            client_id: None,
            metadata: metadata.clone(),
        })),
        _ => {
            let message = "needs subscription_id, app_id and app_secret together, or none of them";
            tenant.problem_here(message);
            None
        }
    }
}
