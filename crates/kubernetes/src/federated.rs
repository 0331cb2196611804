//! A `ClusterFederatedTrustDomain` that was understood.

use signet_spiffe::{Bundle, SpiffeId, TrustDomain, jwks};

use crate::resource::FederatedSpec;
use crate::settings::Settings;

/// A trust domain whose bundle the cluster declares.
#[derive(Clone, Debug, PartialEq)]
pub struct Federated {
    /// Which.
    pub trust_domain: TrustDomain,
    /// Where its bundle is published.
    pub endpoint: Endpoint,
    /// Its bundle as it stands in the resource.
    pub bundle: Option<Bundle>,
}

/// Where a bundle is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// An `https` URL.
    pub url: String,
    /// Who answers there, if not a server of the web: `https_spiffe` in place of `https_web`.
    pub spiffe_id: Option<SpiffeId>,
}

impl Federated {
    pub(crate) fn read(spec: &FederatedSpec, settings: &Settings) -> Result<Self, String> {
        let name = &spec.trust_domain;
        let trust_domain = TrustDomain::from_name_or_id(name)
            .map_err(|error| format!("trustDomain: {name:?} is no trust domain: {error}"))?;
        if trust_domain == settings.trust_domain {
            return Err("trustDomain: it is this server's own".to_owned());
        }
        let bundle = match spec.trust_domain_bundle.trim() {
            "" => None,
            text => Some(
                jwks::parse(trust_domain.clone(), text.as_bytes())
                    .map_err(|error| format!("trustDomainBundle: {error}"))?,
            ),
        };
        Ok(Self {
            trust_domain,
            endpoint: endpoint(spec)?,
            bundle,
        })
    }
}

fn endpoint(spec: &FederatedSpec) -> Result<Endpoint, String> {
    let url = &spec.bundle_endpoint_url;
    let authority = url
        .strip_prefix("https://")
        .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match authority {
        None => return Err("bundleEndpointURL: must begin with https://".to_owned()),
        Some("") => return Err("bundleEndpointURL: has no host".to_owned()),
        Some(host) if host.contains('@') => {
            return Err("bundleEndpointURL: must not hold a user or password".to_owned());
        }
        Some(_) => {}
    }
    let profile = &spec.bundle_endpoint_profile;
    let spiffe_id = match (&*profile.kind, &*profile.endpoint_spiffe_id) {
        ("https_web", "") => None,
        ("https_web", _) => {
            return Err(
                "bundleEndpointProfile: endpointSPIFFEID is for https_spiffe only".to_owned(),
            );
        }
        ("https_spiffe", text) => Some(SpiffeId::parse(text).map_err(|error| {
            format!("bundleEndpointProfile: endpointSPIFFEID {text:?} is no SPIFFE ID: {error}")
        })?),
        (other, _) => {
            return Err(format!(
                "bundleEndpointProfile: type {other:?} is neither https_web nor https_spiffe"
            ));
        }
    };
    Ok(Endpoint {
        url: url.clone(),
        spiffe_id,
    })
}
