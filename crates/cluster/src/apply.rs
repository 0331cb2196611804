//! Objects that are written, by server-side apply: one request that says what an object must hold, makes
//! the object if it is not there, and leaves alone what it does not name.

use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::api::Question;
use crate::{Api, ApiError, Name};

/// As whom fields are owned. What another owner wrote into the same field is replaced: it is configured
/// to hold ours.
const OWNER: &str = "fieldManager=signet-server&force=true";

/// The type of such a body; JSON is YAML.
const APPLY: &str = "application/apply-patch+yaml";

/// The versions of the API for trust bundles that we speak, newest first.
const TRUST_BUNDLE_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Named<'a>,
    data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterTrustBundle<'a> {
    api_version: String,
    kind: &'static str,
    metadata: Named<'a>,
    spec: TrustBundleSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustBundleSpec<'a> {
    trust_bundle: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl Api {
    /// Has a ConfigMap hold `content` under `key`.
    ///
    /// # Errors
    /// [`ApiError`]. An account that may patch but not create gets [`ApiError::Forbidden`] where there is
    /// no such ConfigMap.
    pub async fn apply_config_map(
        &self,
        namespace: &Name,
        name: &Name,
        key: &str,
        content: &str,
    ) -> Result<(), ApiError> {
        let object = ConfigMap {
            api_version: "v1",
            kind: "ConfigMap",
            metadata: Named {
                name: name.as_str(),
            },
            data: BTreeMap::from([(key, content)]),
        };
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        self.apply(path, "configmaps", &object).await
    }

    /// Has a ClusterTrustBundle of no particular signer hold these certificates, in PEM. `false` if the
    /// cluster knows no such objects.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn apply_trust_bundle(&self, name: &Name, pem: &str) -> Result<bool, ApiError> {
        for version in TRUST_BUNDLE_VERSIONS {
            let group = format!("certificates.k8s.io/{version}");
            let path = format!("/apis/{group}/clustertrustbundles/{name}");
            let object = ClusterTrustBundle {
                api_version: group,
                kind: "ClusterTrustBundle",
                metadata: Named {
                    name: name.as_str(),
                },
                spec: TrustBundleSpec { trust_bundle: pem },
            };
            match self.apply(path, "clustertrustbundles", &object).await {
                // Applying makes the object, so what was not found is the kind.
                Err(ApiError::NotFound { .. }) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn apply<T: Serialize>(
        &self,
        path: String,
        resource: &'static str,
        object: &T,
    ) -> Result<(), ApiError> {
        let question = Question {
            method: Method::PATCH,
            path: format!("{path}?{OWNER}"),
            body: serde_json::to_vec(object)
                .expect("texts become JSON")
                .into(),
            content_type: APPLY,
            verb: "patch (and create, if there is none yet)",
            resource,
        };
        let IgnoredAny = self.ask(question).await?;
        Ok(())
    }
}
