//! `NodeAttestor "azure_imds"`, the server's half.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use signet_cloud::Endpoint;
use signet_cloud::azure::{
    AppSecret, Credentials, LOGIN_URL, MANAGEMENT_URL, METADATA_URL, ManagedIdentity,
};
use signet_config::{Key, Lookup, Section, Unknown};
use signet_node_attestor::azure_imds::{CERTIFICATES_URL, DEFAULT_DOMAIN, VARIABLES};

use super::endpoints::Endpoints;
use super::gcp_iit::set;
use super::node_attestor::agent_path_template;

const KEYS: [Key; 5] = [
    Key::implemented("tenants"),
    Key::implemented("agent_path_template"),
    Key::implemented("allowed_metadata_domains"),
    Key::implemented("trust_bundle_path"),
    Key::implemented("experimental"),
];

const TENANT: [Key; 5] = [
    Key::implemented("restrict_to_subscriptions"),
    Key::implemented("allowed_vm_tags"),
    Key::implemented("secret_auth"),
    Key::implemented("token_auth"),
    Key::ignored("auth_type", "secret_auth or token_auth says it already"),
];

const SECRET_AUTH: [Key; 2] = [Key::implemented("app_id"), Key::implemented("app_secret")];

const TOKEN_AUTH: [Key; 2] = [Key::implemented("app_id"), Key::implemented("token_path")];

const EXPERIMENTAL: [Key; 5] = [
    Key::implemented("login_url"),
    Key::implemented("management_url"),
    Key::implemented("metadata_url"),
    Key::implemented("certificates_url"),
    Key::implemented("ca_path"),
];

/// The `azure_imds` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureImdsSettings {
    /// `tenants`, by domain; never empty.
    pub tenants: BTreeMap<String, AzureTenant>,
    /// `agent_path_template`; the attestor has a default.
    pub agent_path_template: Option<String>,
    /// `allowed_metadata_domains`, never empty.
    pub domains: Vec<String>,
    /// `trust_bundle_path`.
    pub trust_bundle_path: Option<PathBuf>,
    /// Where certificates of issuers are fetched.
    pub certificates: Endpoint,
    /// Where Azure is.
    pub endpoints: AzureEndpoints,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureTenant {
    /// `restrict_to_subscriptions`; empty for any.
    pub subscriptions: BTreeSet<String>,
    /// `allowed_vm_tags`.
    pub tags: BTreeSet<String>,
    /// `secret_auth`, `token_auth`, or what stands in for them.
    pub credentials: Credentials,
}

/// Where Azure is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureEndpoints {
    /// Gives tokens.
    pub login: Endpoint,
    /// Knows machines.
    pub management: Endpoint,
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>, environment: Lookup<'_>) -> Option<AzureImdsSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    let experimental = data.block("experimental");
    experimental.check(&[&EXPERIMENTAL], Unknown::Warned);
    let endpoints = Endpoints::of(&experimental);
    let metadata = endpoints.metadata("metadata_url", METADATA_URL);
    let tenants = tenants(data, |tenant| read_tenant(tenant, environment, &metadata));
    let domains = data.strings("allowed_metadata_domains").into_iter();
    let mut domains: Vec<_> = domains
        .filter(|one| !one.is_empty())
        .map(str::to_owned)
        .collect();
    if domains.is_empty() {
        domains.push(DEFAULT_DOMAIN.to_owned());
    }
    Some(AzureImdsSettings {
        tenants: tenants?,
        agent_path_template: agent_path_template(data, VARIABLES),
        domains,
        trust_bundle_path: data.path("trust_bundle_path"),
        certificates: endpoints.server("certificates_url", CERTIFICATES_URL),
        endpoints: azure(&endpoints),
    })
}

pub(super) fn azure(endpoints: &Endpoints<'_, '_>) -> AzureEndpoints {
    AzureEndpoints {
        login: endpoints.server("login_url", LOGIN_URL),
        management: endpoints.server("management_url", MANAGEMENT_URL),
    }
}

/// Each block of `tenants` by its name.
pub(super) fn tenants<T>(
    data: &Section<'_>,
    read: impl Fn(&Section<'_>) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let found = data.labelled("tenants");
    if found.is_empty() {
        data.problem("tenants", "is required: no other tenant may attest");
        return None;
    }
    let found = found.iter();
    let found = found.map(|(name, tenant)| Some(((*name).to_owned(), read(tenant)?)));
    // All of them are read before one that is wrong ends it.
    let found: Vec<_> = found.collect();
    found.into_iter().collect()
}

fn read_tenant(
    tenant: &Section<'_>,
    environment: Lookup<'_>,
    metadata: &Endpoint,
) -> Option<AzureTenant> {
    tenant.check(&[&TENANT], Unknown::Warned);
    Some(AzureTenant {
        subscriptions: set(tenant, "restrict_to_subscriptions"),
        tags: set(tenant, "allowed_vm_tags"),
        credentials: credentials(tenant, environment, metadata)?,
    })
}

fn credentials(
    tenant: &Section<'_>,
    environment: Lookup<'_>,
    metadata: &Endpoint,
) -> Option<Credentials> {
    let (secret, token) = (tenant.block("secret_auth"), tenant.block("token_auth"));
    match (secret.is_present(), token.is_present()) {
        (true, true) => {
            tenant.problem("token_auth", "stands beside secret_auth; give one of them");
            None
        }
        (true, false) => {
            secret.check(&[&SECRET_AUTH], Unknown::Warned);
            let app_id = secret.required_string("app_id");
            let app_secret = secret.required_string("app_secret");
            Some(Credentials::Secret {
                app_id: app_id?.to_owned(),
                secret: AppSecret::new(app_secret?.to_owned()),
            })
        }
        (false, true) => {
            token.check(&[&TOKEN_AUTH], Unknown::Warned);
            let app_id = token.required_string("app_id");
            let path = token.required_string("token_path");
            Some(Credentials::Token {
                app_id: app_id?.to_owned(),
                path: path?.into(),
            })
        }
        (false, false) => Some(of_environment(environment, metadata)),
    }
}

/// As Azure's own libraries look for them: environment, workload identity, managed identity.
fn of_environment(environment: Lookup<'_>, metadata: &Endpoint) -> Credentials {
    let variable = |name| environment(name).filter(|text| !text.is_empty());
    let app_id = variable("AZURE_CLIENT_ID");
    let secret = variable("AZURE_CLIENT_SECRET");
    let file = variable("AZURE_FEDERATED_TOKEN_FILE");
    match (app_id, secret, file) {
        (Some(app_id), Some(secret), _) => Credentials::Secret {
            app_id,
            secret: AppSecret::new(secret),
        },
        (Some(app_id), None, Some(path)) => Credentials::Token {
            app_id,
            path: path.into(),
        },
        (client_id, _, _) => Credentials::ManagedIdentity(ManagedIdentity {
            client_id,
            metadata: metadata.clone(),
        }),
    }
}
