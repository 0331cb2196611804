//! What a token says: account, pod and perhaps node, from either of its two readers.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use signet_cluster::{Name, ReviewedUser};

use super::server::ServiceAccount;

/// How a service account's name begins as that of a user.
const USER_PREFIX: &str = "system:serviceaccount:";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) account: ServiceAccount,
    pub(super) pod: Object,
    /// Named in tokens since Kubernetes 1.30.
    pub(super) node: Option<Object>,
}

/// An object by name and UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: Name,
    pub(super) uid: String,
}

/// What a token does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// It is not that of a service account.
    #[error("not a service account, as namespace:name")]
    NoAccount,
    /// It is not bound to a pod.
    #[error("the token is not bound to a pod; it must come from a projected volume")]
    NoPod,
    /// What it says is no name.
    #[error("not the name of an object of Kubernetes")]
    Name,
    /// Its parts contradict each other.
    #[error("the token contradicts itself")]
    Contradiction,
}

impl Facts {
    /// As a `TokenReview` tells them.
    pub(super) fn of_user(user: &ReviewedUser) -> Result<Self, FactsError> {
        let extra = |key: &str| match user.extra.get(key).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([value]) => Ok(Some(value.clone())),
            Some(_) => Err(FactsError::Contradiction),
        };
        let object = |name: &str, uid: &str| {
            let name = extra(&format!("authentication.kubernetes.io/{name}"))?;
            Object::of(name, extra(&format!("authentication.kubernetes.io/{uid}"))?)
        };
        Ok(Self {
            account: ServiceAccount::of_user(&user.username)?,
            pod: object("pod-name", "pod-uid")?.ok_or(FactsError::NoPod)?,
            node: object("node-name", "node-uid")?,
        })
    }

    /// As the token's own claims tell them.
    pub(super) fn of_claims(subject: Option<&str>, private: &Value) -> Result<Self, FactsError> {
        let account = ServiceAccount::of_user(subject.unwrap_or_default())?;
        let private = Private::deserialize(private).map_err(|_| FactsError::NoPod)?;
        let named = private.serviceaccount.map(|account| account.name);
        if private.namespace != account.namespace || named.as_ref() != Some(&account.name) {
            return Err(FactsError::Contradiction);
        }
        let object = |named: Option<Named>| match named {
            None => Ok(None),
            Some(named) => Object::of(Some(named.name), Some(named.uid)),
        };
        Ok(Self {
            account,
            pod: object(private.pod)?.ok_or(FactsError::NoPod)?,
            node: object(private.node)?,
        })
    }
}

impl Object {
    fn of(name: Option<String>, uid: Option<String>) -> Result<Option<Self>, FactsError> {
        let (name, uid) = match (name, uid) {
            (None, None) => return Ok(None),
            (Some(name), Some(uid)) if !uid.is_empty() => (name, uid),
            _ => return Err(FactsError::Contradiction),
        };
        let name = Name::parse(&name).map_err(|_| FactsError::Name)?;
        Ok(Some(Self { name, uid }))
    }
}

impl FromStr for ServiceAccount {
    type Err = FactsError;

    /// `namespace:name`.
    fn from_str(text: &str) -> Result<Self, FactsError> {
        let (namespace, name) = text.split_once(':').ok_or(FactsError::NoAccount)?;
        let checked = |text| Name::parse(text).map_err(|_| FactsError::Name);
        Ok(Self {
            namespace: checked(namespace)?.to_string(),
            name: checked(name)?.to_string(),
        })
    }
}

impl ServiceAccount {
    fn of_user(name: &str) -> Result<Self, FactsError> {
        let rest = name.strip_prefix(USER_PREFIX);
        rest.ok_or(FactsError::NoAccount)?.parse()
    }
}

/// The claim `kubernetes.io`.
#[derive(Deserialize)]
struct Private {
    namespace: String,
    serviceaccount: Option<Named>,
    pod: Option<Named>,
    node: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    uid: String,
}
