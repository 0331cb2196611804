//! What Compute Engine says of an instance (`compute.instances.get`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use signet_runtime::Clock;

use super::Credentials;
use crate::rest::{Api, bearer, named};
use crate::token::Tokens;
use crate::{CloudError, Endpoint};

const WHAT: &str = "an instance";

/// Nothing that is not used is asked for: metadata may hold secrets.
const FIELDS: &str = "id,tags/items,labels,metadata/items";

/// The API, asked with credentials.
pub struct Compute {
    api: Api,
    tokens: Tokens,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its number, which no other ever has.
    pub id: String,
    /// Network tags.
    pub tags: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its own metadata, not the project's.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    #[serde(default)]
    tags: Items<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    metadata: Items<Pair>,
}

#[derive(Deserialize)]
struct Items<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: String,
}

impl Compute {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`CloudError`] if a client cannot be set up.
    pub fn new(
        endpoint: Endpoint,
        credentials: Credentials,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CloudError> {
        Ok(Self {
            api: Api::new(endpoint)?,
            tokens: credentials.tokens(clock)?,
        })
    }

    /// The instance of this name.
    ///
    /// # Errors
    /// [`CloudError`] says what could not be had.
    pub async fn instance(
        &self,
        project: &str,
        zone: &str,
        name: &str,
    ) -> Result<Instance, CloudError> {
        let project = named("the project's ID", project)?;
        let zone = named("the zone", zone)?;
        let name = named("the instance's name", name)?;
        let path =
            format!("/compute/v1/projects/{project}/zones/{zone}/instances/{name}?fields={FIELDS}");
        let token = self.tokens.token().await?;
        let request = bearer(self.api.get(&path), &token);
        let wire: Wire = self.api.json(WHAT, request, Bytes::new()).await?;
        let metadata = wire.metadata.items.into_iter();
        Ok(Instance {
            id: wire.id,
            tags: wire.tags.items,
            labels: wire.labels,
            metadata: metadata.map(|pair| (pair.key, pair.value)).collect(),
        })
    }
}
