//! The `oidc` attestor as configured.

use super::super::StartError;
use crate::config::OidcIssuerSettings;
use crate::running::Parts;
use signet_node_attestor::BoxError;
use signet_node_attestor::oidc::{IssuerConfig, OidcServer};
use signet_oidc::{IssuerKeys, Published, Reach};

pub(super) fn open(
    issuers: &[OidcIssuerSettings],
    parts: &Parts,
) -> Result<OidcServer, StartError> {
    let issuers = issuers.iter().map(|one| issuer(one, parts));
    let issuers: Result<_, _> = issuers.collect();
    Ok(OidcServer::new(
        parts.trust_domain.clone(),
        issuers?,
        parts.clock.clone(),
    ))
}

fn issuer(settings: &OidcIssuerSettings, parts: &Parts) -> Result<IssuerConfig, StartError> {
    let reach = Reach {
        roots: settings.roots.clone(),
        addresses: settings.addresses,
    };
    let source = match &settings.jwks_url {
        None => Published::discovered(settings.issuer.clone(), reach).map_err(BoxError::from),
        Some(url) => Published::at(url.as_str(), reach).map_err(BoxError::from),
    };
    let source = source.map_err(|source| StartError::Issuer {
        issuer: settings.issuer.to_string(),
        source,
    })?;
    Ok(IssuerConfig {
        issuer: settings.issuer.clone(),
        keys: IssuerKeys::new(source, parts.tasks.clone()),
        audiences: settings.audiences.clone(),
        conditions: settings.conditions.clone(),
        template: settings.agent_path_template.clone(),
        selector_claims: settings.selector_claims.clone(),
        single_use: settings.single_use,
        can_reattest: settings.can_reattest,
        leeway: settings.leeway,
    })
}
