//! Google's credentials: a service account's key in a file, or the instance's own service account.
//!
//! Other kinds of files (`authorized_user`, `external_account`) are refused by name.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use signet_crypto::jose::{self, JwsAlgorithm};
use signet_crypto::{PrivateKey, SecretString};
use signet_http::Roots;
use signet_runtime::Clock;

use crate::rest::{Api, form};
use crate::token::{AccessToken, TokenSource, Tokens};
use crate::{CloudError, Endpoint};

/// May read what Compute Engine has, and no more.
const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long an assertion is good for: Google allows an hour.
const ASSERTION_LIFE: Duration = Duration::from_secs(600);

/// Longest file read: a key file has 2.4 KiB.
const MAX_FILE: u64 = 64 * 1024;

const WHAT: &str = "an access token";

/// As whom the API is asked.
#[derive(Debug)]
pub enum Credentials {
    /// A service account whose key is here.
    ServiceAccount {
        /// The key.
        key: ServiceAccountKey,
        /// Who vouches for the token endpoint.
        roots: Roots,
    },
    /// The service account of the instance that this program runs on.
    Metadata(Endpoint),
}

/// A service account's key, as Google's console hands it out.
#[derive(Debug)]
pub struct ServiceAccountKey {
    email: String,
    key_id: String,
    key: PrivateKey,
    token_url: String,
}

#[derive(Deserialize)]
struct File {
    r#type: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    token_uri: String,
}

impl ServiceAccountKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`CloudError`] names the file or the member.
    pub fn read(path: &Path) -> Result<Self, CloudError> {
        use std::io::Read as _;
        let mut text = String::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        let text = SecretString::new(text);
        read.map_err(|source| CloudError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(text.expose())
    }

    /// Reads the JSON of a key file.
    ///
    /// # Errors
    /// [`CloudError::Credentials`] names the member.
    pub fn parse(text: &str) -> Result<Self, CloudError> {
        let wrong = |what: &str| CloudError::Credentials(what.to_owned());
        let file: File = serde_json::from_str(text)
            .map_err(|_| wrong("the file is not JSON with the member `type`"))?;
        let private_key = SecretString::new(file.private_key);
        if file.r#type != "service_account" {
            return Err(wrong("the member `type` is not service_account"));
        }
        if file.client_email.is_empty() {
            return Err(wrong("the member `client_email` is missing"));
        }
        if !file.token_uri.starts_with("https://") {
            return Err(wrong("the member `token_uri` is not a URL with https://"));
        }
        let key = PrivateKey::from_pem(private_key.expose())
            .map_err(|error| wrong(&format!("the member `private_key`: {error}")))?;
        if JwsAlgorithm::default_for(key.public_key()) != JwsAlgorithm::RS256 {
            return Err(wrong("the member `private_key` is not an RSA key"));
        }
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_url: file.token_uri,
        })
    }

    /// What the token endpoint gives a token for (RFC 7523 section 2.1).
    fn assertion(&self, now: SystemTime) -> Result<SecretString, CloudError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let header = object([
            ("alg", "RS256".into()),
            ("typ", "JWT".into()),
            ("kid", self.key_id.as_str().into()),
        ]);
        let claims = object([
            ("iss", self.email.as_str().into()),
            ("scope", SCOPE.into()),
            ("aud", self.token_url.as_str().into()),
            ("iat", now.into()),
            ("exp", (now + ASSERTION_LIFE.as_secs()).into()),
        ]);
        let input = jose::encode_signing_input(&header, &claims);
        let algorithm = JwsAlgorithm::RS256;
        let signature = self
            .key
            .sign(algorithm.signature_algorithm(), input.as_bytes())
            .map_err(|error| CloudError::Credentials(error.to_string()))?;
        let token = jose::attach_signature(input, algorithm, &signature);
        let token = token.map_err(|error| CloudError::Credentials(error.to_string()))?;
        Ok(SecretString::new(token))
    }
}

impl Credentials {
    pub(crate) fn tokens(self, clock: Arc<dyn Clock>) -> Result<Tokens, CloudError> {
        Ok(match self {
            Self::ServiceAccount { key, roots } => {
                let url = key.token_url.clone();
                let api = Api::new(Endpoint { url, roots })?;
                let clock_of_assertions = Arc::clone(&clock);
                let source = Assertions {
                    key,
                    api,
                    clock: clock_of_assertions,
                };
                Tokens::new(source, clock)
            }
            Self::Metadata(endpoint) => Tokens::new(Metadata(Api::new(endpoint)?), clock),
        })
    }
}

struct Assertions {
    key: ServiceAccountKey,
    api: Api,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl TokenSource for Assertions {
    async fn fetch(&self) -> Result<AccessToken, CloudError> {
        let assertion = self.key.assertion(self.clock.now())?;
        let body = form(&[("grant_type", GRANT), ("assertion", assertion.expose())]);
        let request = self.api.post("");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.api.json(WHAT, request, body).await
    }
}

struct Metadata(Api);

#[async_trait]
impl TokenSource for Metadata {
    async fn fetch(&self) -> Result<AccessToken, CloudError> {
        let path = "/computeMetadata/v1/instance/service-accounts/default/token";
        let request = self.0.get(path).header("metadata-flavor", "Google");
        self.0.json(WHAT, request, Bytes::new()).await
    }
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let members = members.into_iter();
    members
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
