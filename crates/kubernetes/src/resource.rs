//! The resources by which identities are declared: `spire.spiffe.io/v1alpha1`, as they are written.

use serde::Deserialize;

use crate::labels::LabelSelector;

/// `spec` of a `ClusterSPIFFEID`: an identity for each pod that is selected.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpiffeIdSpec {
    #[serde(rename = "spiffeIDTemplate")]
    pub(crate) spiffe_id_template: String,
    #[serde(default)]
    pub(crate) ttl: Option<String>,
    #[serde(default)]
    pub(crate) jwt_ttl: Option<String>,
    #[serde(default)]
    pub(crate) dns_name_templates: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) workload_selector_templates: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) federates_with: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) namespace_selector: Option<LabelSelector>,
    #[serde(default)]
    pub(crate) pod_selector: Option<LabelSelector>,
    #[serde(default)]
    pub(crate) admin: bool,
    #[serde(default)]
    pub(crate) downstream: bool,
    #[serde(default, rename = "autoPopulateDNSNames")]
    pub(crate) auto_populate_dns_names: bool,
    #[serde(default)]
    pub(crate) class_name: String,
    #[serde(default)]
    pub(crate) fallback: bool,
    #[serde(default)]
    pub(crate) hint: String,
}

/// `spec` of a `ClusterStaticEntry`: one entry, word for word.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticSpec {
    #[serde(rename = "spiffeID")]
    pub(crate) spiffe_id: String,
    #[serde(rename = "parentID")]
    pub(crate) parent_id: String,
    pub(crate) selectors: Vec<String>,
    #[serde(default)]
    pub(crate) federates_with: Option<Vec<String>>,
    #[serde(default, rename = "x509SVIDTTL")]
    pub(crate) x509_svid_ttl: Option<String>,
    #[serde(default, rename = "jwtSVIDTTL")]
    pub(crate) jwt_svid_ttl: Option<String>,
    #[serde(default)]
    pub(crate) dns_names: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) hint: String,
    #[serde(default)]
    pub(crate) admin: bool,
    #[serde(default)]
    pub(crate) downstream: bool,
    #[serde(default, rename = "storeSVID")]
    pub(crate) store_svid: bool,
    #[serde(default)]
    pub(crate) class_name: String,
}

/// `spec` of a `ClusterFederatedTrustDomain`: a trust domain whose bundle the server has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedSpec {
    pub(crate) trust_domain: String,
    #[serde(rename = "bundleEndpointURL")]
    pub(crate) bundle_endpoint_url: String,
    pub(crate) bundle_endpoint_profile: Profile,
    #[serde(default)]
    pub(crate) trust_domain_bundle: String,
    #[serde(default)]
    pub(crate) class_name: String,
}

/// Who answers at a bundle endpoint.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Profile {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, rename = "endpointSPIFFEID")]
    pub(crate) endpoint_spiffe_id: String,
}
