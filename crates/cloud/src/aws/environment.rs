//! What the environment says of AWS, read once.

use std::collections::BTreeMap;

use signet_crypto::SharedSecret;

/// The variables that are looked at, besides `AWS_ENDPOINT_URL_<SERVICE>`.
const VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "HOME",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_ENDPOINT_URL_IAM",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_ORGANIZATIONS",
    "AWS_ENDPOINT_URL_EKS",
    "AWS_ENDPOINT_URL_AUTO_SCALING",
];

/// AWS's variables of the environment. Each is treated as a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<&'static str, SharedSecret>);

impl Environment {
    /// Looks AWS's variables up; empty ones count as not set.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let found = VARIABLES.iter().filter_map(|name| {
            let value = lookup(name).filter(|value| !value.is_empty())?;
            Some((*name, SharedSecret::new(value)))
        });
        Self(found.collect())
    }

    /// One of the variables, if it is set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(SharedSecret::expose)
    }
}
