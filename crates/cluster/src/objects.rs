//! What is read of the API's objects. Fields that nobody here needs are skipped without being kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `metadata` of any object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace, if it is in one.
    pub namespace: String,
    /// Its UID: another object of the same name has another.
    pub uid: String,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, namespace, UID, labels.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: PodSpec,
    /// What became of it.
    pub status: HostStatus,
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that it was given to; empty before.
    pub node_name: String,
    /// The service account it runs as.
    pub service_account_name: String,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HostStatus {
    /// The address of its node; empty before the kubelet reported it.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Name, UID, labels.
    pub metadata: Metadata,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Name, UID, labels.
    pub metadata: Metadata,
}

/// What a `TokenReview` is sent as (`authentication.k8s.io/v1`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewRequest<'a> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) spec: ReviewSpec<'a>,
}

#[derive(Serialize)]
pub(crate) struct ReviewSpec<'a> {
    pub(crate) token: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) audiences: &'a [String],
}

/// What comes back.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Review {
    pub(crate) status: ReviewStatus,
}

/// `status` of a `TokenReview`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReviewStatus {
    /// Whether the token is good.
    pub authenticated: bool,
    /// Whose it is.
    pub user: ReviewedUser,
    /// Those of the audiences asked for that the token is for; empty from a server that does not know
    /// of audiences.
    #[serde(deserialize_with = "or_default")]
    pub audiences: Vec<String>,
    /// Why it is not good, in the server's words.
    pub error: String,
}

/// `status.user` of a `TokenReview`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReviewedUser {
    /// `system:serviceaccount:<namespace>:<name>` for a service account.
    pub username: String,
    /// What else the token says, each with its values.
    #[serde(deserialize_with = "or_default")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Go writes an absent map or list as `null` at times.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
