//! The attestors of Google's and Azure's machines as configured.

use std::sync::Arc;

use signet_cloud::Endpoint;
use signet_cloud::azure::{LOGIN_URL, Machines, Tenants};
use signet_cloud::gcp::{Compute, Credentials, ServiceAccountKey};
use signet_http::{Addresses, Roots};
use signet_node_attestor::BoxError;
use signet_node_attestor::azure_imds::{self, AzureImdsConfig, AzureImdsServer, Issuers, Signers};
use signet_node_attestor::azure_msi::{self, AzureMsiConfig, AzureMsiServer};
use signet_node_attestor::gcp_iit::{self, GcpIitConfig, GcpIitServer, InstanceMetadata};
use signet_oidc::{IssuerKeys, Published, Reach};

use crate::config::{
    AzureEndpoints, AzureImdsSettings, AzureMsiSettings, GcpCredentials, GcpIitSettings,
    GcpMetadata,
};
use crate::running::Parts;

pub(super) fn gcp_iit(parts: &Parts, settings: &GcpIitSettings) -> Result<GcpIitServer, BoxError> {
    let metadata = settings.metadata.as_ref();
    let config = GcpIitConfig {
        projects: settings.projects.clone(),
        instance_metadata: metadata
            .map(|one| instance_metadata(parts, one))
            .transpose()?,
        agent_path_template: settings.agent_path_template.clone(),
    };
    let keys = keys(
        parts,
        &settings.keys,
        settings.keys.url == gcp_iit::KEYS_URL,
    )?;
    let clock = parts.clock.clone();
    Ok(GcpIitServer::new(
        parts.trust_domain.clone(),
        config,
        keys,
        clock,
    )?)
}

fn instance_metadata(parts: &Parts, settings: &GcpMetadata) -> Result<InstanceMetadata, BoxError> {
    let credentials = match &settings.credentials {
        GcpCredentials::File { path, roots } => Credentials::ServiceAccount {
            key: ServiceAccountKey::read(path)?,
            roots: roots.clone(),
        },
        GcpCredentials::Metadata(endpoint) => Credentials::Metadata(endpoint.clone()),
    };
    Ok(InstanceMetadata {
        compute: Compute::new(settings.compute.clone(), credentials, parts.clock.clone())?,
        label_keys: settings.label_keys.clone(),
        metadata_keys: settings.metadata_keys.clone(),
        max_metadata_value_size: settings.max_metadata_value_size,
    })
}

pub(super) fn azure_imds(
    parts: &Parts,
    settings: &AzureImdsSettings,
) -> Result<AzureImdsServer, BoxError> {
    let roots = azure_imds::roots(settings.trust_bundle_path.as_deref())?;
    let issuers = Issuers::new(settings.certificates.clone(), parts.clock.clone())?;
    let signers = Signers::new(roots, settings.domains.clone(), issuers);
    let tenants = settings.tenants.iter().map(|(domain, tenant)| {
        let credentials = tenant.credentials.clone();
        let tenant = azure_imds::Tenant {
            subscriptions: tenant.subscriptions.clone(),
            tags: tenant.tags.clone(),
            machines: machines(parts, &settings.endpoints, domain, credentials)?,
        };
        Ok((domain.clone(), tenant))
    });
    let config = AzureImdsConfig {
        tenants: tenants.collect::<Result<_, BoxError>>()?,
        agent_path_template: settings.agent_path_template.clone(),
    };
    let directory = Tenants::new(settings.endpoints.login.clone())?;
    let domain = parts.trust_domain.clone();
    let (clock, random) = (parts.clock.clone(), parts.random.clone());
    Ok(AzureImdsServer::new(
        domain, config, signers, directory, clock, random,
    )?)
}

pub(super) fn azure_msi(
    parts: &Parts,
    settings: &AzureMsiSettings,
) -> Result<AzureMsiServer, BoxError> {
    let tenants = settings.tenants.iter().map(|(id, tenant)| {
        let credentials = tenant.credentials.clone();
        let tenant = azure_msi::Tenant {
            resource_id: tenant.resource_id.clone(),
            subscription: tenant.subscription.clone(),
            machines: machines(parts, &settings.endpoints, id, credentials)?,
        };
        Ok((id.clone(), tenant))
    });
    let config = AzureMsiConfig {
        tenants: tenants.collect::<Result<_, BoxError>>()?,
        agent_path_template: settings.agent_path_template.clone(),
    };
    let login = &settings.endpoints.login;
    let place = Endpoint {
        url: format!("{}{}", login.url, azure_msi::KEYS_PATH),
        roots: login.roots.clone(),
    };
    let keys = keys(parts, &place, login.url == LOGIN_URL)?;
    let clock = parts.clock.clone();
    Ok(AzureMsiServer::new(
        parts.trust_domain.clone(),
        config,
        keys,
        clock,
    )?)
}

fn machines(
    parts: &Parts,
    endpoints: &AzureEndpoints,
    tenant: &str,
    credentials: signet_cloud::azure::Credentials,
) -> Result<Machines, BoxError> {
    let (management, login) = (endpoints.management.clone(), endpoints.login.clone());
    let clock = Arc::clone(&parts.clock);
    Ok(Machines::new(
        management,
        login,
        tenant,
        credentials,
        clock,
    )?)
}

/// Keys at a URL: of the cloud on the Internet, of the operator's emulator anywhere.
fn keys(parts: &Parts, endpoint: &Endpoint, is_clouds: bool) -> Result<IssuerKeys, BoxError> {
    let reach = Reach {
        roots: endpoint.roots.clone(),
        addresses: match is_clouds && endpoint.roots == Roots::System {
            true => Addresses::Public,
            false => Addresses::Any,
        },
    };
    let source = Published::at(&endpoint.url, reach)?;
    Ok(IssuerKeys::new(source, parts.tasks.clone()))
}
