//! The bundle in a ConfigMap of a Kubernetes cluster, and in a ClusterTrustBundle where the cluster has
//! those.

use super::Publisher;
use crate::config::{BundleForm, ClusterBundleSettings};
use async_trait::async_trait;
use signet_cluster::{Api, ApiError};
use signet_spiffe::jwks::{self, Flavor};
use signet_spiffe::{Bundle, pem};
use std::error::Error;

/// The objects of one cluster.
pub struct ClusterBundle {
    api: Api,
    settings: ClusterBundleSettings,
}

/// Which object was not written.
#[derive(Debug, thiserror::Error)]
enum NotWritten {
    #[error("the ConfigMap was not written")]
    ConfigMap(#[source] ApiError),
    #[error("the ClusterTrustBundle was not written")]
    TrustBundle(#[source] ApiError),
}

impl ClusterBundle {
    /// Where the settings say. Nothing is asked yet.
    pub fn new(settings: ClusterBundleSettings) -> Self {
        Self {
            api: Api::new(settings.reach.clone()),
            settings,
        }
    }

    async fn write(&self, bundle: &Bundle) -> Result<(), NotWritten> {
        let settings = &self.settings;
        let content = text(bundle, settings.form);
        let (namespace, name) = (&settings.namespace, &settings.config_map);
        self.api
            .apply_config_map(namespace, name, &settings.key, &content)
            .await
            .map_err(NotWritten::ConfigMap)?;
        if let Some(name) = &settings.trust_bundle {
            let content = text(bundle, BundleForm::Pem);
            let known = self.api.apply_trust_bundle(name, &content).await;
            if !known.map_err(NotWritten::TrustBundle)? {
                tracing::debug!("the cluster has no ClusterTrustBundles");
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Publisher for ClusterBundle {
    fn place(&self) -> String {
        let ClusterBundleSettings {
            cluster,
            namespace,
            config_map,
            ..
        } = &self.settings;
        match cluster.is_empty() {
            true => format!("ConfigMap {namespace}/{config_map}"),
            false => format!("ConfigMap {namespace}/{config_map} of cluster {cluster}"),
        }
    }

    async fn publish(&self, bundle: &Bundle) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.write(bundle).await?)
    }
}

fn text(bundle: &Bundle, form: BundleForm) -> String {
    match form {
        BundleForm::Pem => {
            let authorities = bundle.x509_authorities.iter();
            pem::encode_pem_certs(authorities.map(|authority| &authority.der))
        }
        BundleForm::Jwks => jwks::encode(bundle, Flavor::Plain),
        BundleForm::Spiffe { refresh_hint: None } => jwks::encode(bundle, Flavor::Spiffe),
        BundleForm::Spiffe { refresh_hint } => {
            let hinted = Bundle {
                refresh_hint,
                ..bundle.clone()
            };
            jwks::encode(&hinted, Flavor::Spiffe)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_spiffe::TrustDomain;
    use std::time::Duration;

    #[test]
    fn a_refresh_hint_stands_in_the_bundle_document_only() {
        let bundle = Bundle::empty(TrustDomain::parse("example.org").unwrap());
        let refresh_hint = Some(Duration::from_secs(90));
        let document = text(&bundle, BundleForm::Spiffe { refresh_hint });
        assert_eq!(
            document,
            r#"{"keys":[],"spiffe_refresh_hint":90,"spiffe_sequence":0}"#
        );
        assert_eq!(text(&bundle, BundleForm::Jwks), r#"{"keys":[]}"#);
    }
}
