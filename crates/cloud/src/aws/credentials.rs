//! Where credentials come from: the first source that has any, in the order of AWS's libraries.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use serde::Deserialize;
use signet_crypto::SharedSecret;
use signet_http::Client;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{Aws, StaticKeys};
use super::{AwsError, files, sts};
use crate::near;

/// Credentials are renewed so long before they expire, so that none expires on its way.
const SPARE: Duration = Duration::from_secs(300);
/// Longest file with a token.
pub(super) const MAX_FILE: u64 = 64 << 10;
/// Where a container's agent answers to relative paths.
const CONTAINER: &str = "http://169.254.170.2";
/// Names another place.
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// A key of an account, or of a role for some time.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret: SharedSecret,
    pub(crate) token: Option<SharedSecret>,
    pub(crate) expires_at: Option<SystemTime>,
}

/// As instance and container metadata have them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

impl Credentials {
    pub(crate) fn lasting(keys: &StaticKeys) -> Self {
        Self {
            access_key_id: keys.access_key_id.clone(),
            secret: keys.secret_access_key.clone(),
            token: keys.session_token.clone(),
            expires_at: None,
        }
    }

    pub(crate) fn temporary(
        id: String,
        secret: String,
        token: String,
        expiry: &str,
    ) -> Option<Self> {
        let expires_at = OffsetDateTime::parse(expiry, &Rfc3339).ok()?;
        Some(Self {
            access_key_id: id,
            secret: SharedSecret::new(secret),
            token: Some(SharedSecret::new(token)),
            expires_at: Some(expires_at.into()),
        })
    }

    pub(crate) fn are_good_at(&self, now: SystemTime) -> bool {
        self.expires_at.is_none_or(|expiry| now + SPARE < expiry)
    }

    pub(crate) fn from_json(body: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(body).ok()?;
        Self::temporary(
            wire.access_key_id,
            wire.secret_access_key,
            wire.token,
            &wire.expiration,
        )
    }
}

/// The credentials of this machine, container or process.
pub(crate) async fn find(aws: &Aws) -> Result<Credentials, AwsError> {
    let environment = &aws.settings.environment;
    if let Some(keys) = &aws.settings.keys {
        return Ok(Credentials::lasting(keys));
    }
    if let Some(keys) = StaticKeys::of_environment(environment) {
        return Ok(Credentials::lasting(&keys));
    }
    if let (Some(file), Some(role)) = (
        environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"),
        environment.get("AWS_ROLE_ARN"),
    ) {
        let token = SharedSecret::new(read(Path::new(file))?.trim().to_owned());
        return sts::assume_role_with_web_identity(aws, role, &token).await;
    }
    if let Some(keys) = files::find(environment)? {
        return Ok(Credentials::lasting(&keys));
    }
    if let Some(credentials) = of_container(aws).await? {
        return Ok(credentials);
    }
    match &aws.metadata {
        Some(metadata) => metadata.role_credentials().await,
        None => Err(AwsError::NoCredentials),
    }
}

/// Those that ECS or EKS Pod Identity has for this container.
async fn of_container(aws: &Aws) -> Result<Option<Credentials>, AwsError> {
    let environment = &aws.settings.environment;
    let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let full = environment.get(FULL_URI);
    let url = match (relative, full) {
        (Some(path), _) => format!("{CONTAINER}{path}"),
        (None, Some(url)) => url.to_owned(),
        (None, None) => return Ok(None),
    };
    check(&url)?;
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(read(Path::new(file))?.trim().to_owned()),
        None => environment
            .get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(str::to_owned),
    };
    let client = if url.starts_with("https:") {
        &aws.https
    } else {
        &aws.plain
    };
    container_answer(client, &url, token).await.map(Some)
}

/// The token of the container goes there, and the keys of its role come back.
fn check(url: &str) -> Result<(), AwsError> {
    let problem = match url.parse::<Uri>().map_err(|_| "is no URL") {
        Ok(url) => {
            let is_near = url.host().is_some_and(near::is_near);
            match url.scheme_str() {
                Some("https") => return Ok(()),
                Some("http") if is_near => return Ok(()),
                _ => "must begin with https://, unless it is on this machine or its link",
            }
        }
        Err(problem) => problem,
    };
    Err(AwsError::Endpoint {
        variable: FULL_URI.to_owned(),
        problem,
    })
}

async fn container_answer(
    client: &Client,
    url: &str,
    token: Option<String>,
) -> Result<Credentials, AwsError> {
    let (service, action) = ("container metadata", "credentials");
    let mut request = Request::get(url);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let request = request.body(Bytes::new()).map_err(|_| AwsError::Endpoint {
        variable: FULL_URI.to_owned(),
        problem: "is no URL that can be asked",
    })?;
    let http = |source| AwsError::Http {
        service,
        action,
        source,
    };
    let answer = client.send(request).await.map_err(http)?;
    if answer.status() != StatusCode::OK {
        return Err(AwsError::Refused {
            service,
            action,
            status: answer.status(),
            code: "no code".to_owned(),
        });
    }
    Credentials::from_json(answer.body()).ok_or(AwsError::Malformed { service, action })
}

pub(super) fn read(path: &Path) -> Result<String, AwsError> {
    use std::io::Read as _;
    let text = || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(MAX_FILE).read_to_string(&mut text)?;
        Ok(text)
    };
    text().map_err(|source| AwsError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_credentials_come_over_tls_or_from_its_own_machine() {
        for good in [
            "https://credentials.example/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://localhost:1/x",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["http://credentials.example/x", "http://10.0.0.1/x", "x", ""] {
            let refused = check(bad).unwrap_err().to_string();
            assert!(refused.contains(FULL_URI), "{refused}");
        }
    }
}
