//! The few things that are written: the status of a resource, events, leases.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::api::{JSON, Question};
use crate::{Api, ApiError, Collection, Name};

/// A patch that names what changes (RFC 7386).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Namespaced objects that are written, by their path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// `Event` of the core group.
    Event,
    /// `Lease` of `coordination.k8s.io`.
    Lease,
}

impl Written {
    fn resource(self) -> &'static str {
        match self {
            Self::Event => "events",
            Self::Lease => "leases",
        }
    }

    fn path(self, namespace: &Name) -> String {
        let api = match self {
            Self::Event => "/api/v1",
            Self::Lease => "/apis/coordination.k8s.io/v1",
        };
        format!("{api}/namespaces/{namespace}/{}", self.resource())
    }
}

impl Api {
    /// Changes the status of a cluster's object; `patch` holds what differs.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn patch_status(
        &self,
        collection: Collection,
        name: &Name,
        patch: &Value,
    ) -> Result<(), ApiError> {
        let Collection { api, resource } = collection;
        let question = Question {
            method: Method::PATCH,
            path: format!("{api}/{resource}/{name}/status"),
            body: body(patch),
            content_type: MERGE_PATCH,
            verb: "patch (of the subresource status)",
            resource,
        };
        self.ask::<Value>(question).await.map(|_| ())
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Conflict`] if there is one of its name.
    pub async fn create(
        &self,
        what: Written,
        namespace: &Name,
        object: &Value,
    ) -> Result<Value, ApiError> {
        self.ask(Question {
            method: Method::POST,
            path: what.path(namespace),
            body: body(object),
            content_type: JSON,
            verb: "create",
            resource: what.resource(),
        })
        .await
    }

    /// Replaces an object; its `metadata.resourceVersion` says which form of it was seen.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Conflict`] if it is in another form by now.
    pub async fn replace(
        &self,
        what: Written,
        namespace: &Name,
        name: &Name,
        object: &Value,
    ) -> Result<Value, ApiError> {
        self.ask(Question {
            method: Method::PUT,
            path: format!("{}/{name}", what.path(namespace)),
            body: body(object),
            content_type: JSON,
            verb: "update",
            resource: what.resource(),
        })
        .await
    }

    /// An object as it is.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn read(
        &self,
        what: Written,
        namespace: &Name,
        name: &Name,
    ) -> Result<Value, ApiError> {
        self.ask(Question {
            method: Method::GET,
            path: format!("{}/{name}", what.path(namespace)),
            body: Bytes::new(),
            content_type: JSON,
            verb: "get",
            resource: what.resource(),
        })
        .await
    }
}

fn body(object: &Value) -> Bytes {
    serde_json::to_vec(object)
        .expect("values become JSON")
        .into()
}
