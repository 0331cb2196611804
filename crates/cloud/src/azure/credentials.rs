//! Azure's credentials: an application's secret or federated token, or the machine's own identity.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use signet_crypto::SecretString;
use signet_runtime::Clock;

use crate::rest::{Api, encoded, form, named};
use crate::token::{AccessToken, TokenSource, Tokens};
use crate::{CloudError, Endpoint};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the Resource Manager's tokens are for.
const RESOURCE: &str = "https://management.azure.com/";

/// Longest token file read: no token is longer than what HTTP headers hold.
const MAX_FILE: u64 = 16 * 1024;

const WHAT: &str = "an access token";

/// As whom the API is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// An application with a secret.
    Secret {
        /// The application's (client) ID.
        app_id: String,
        /// Its secret.
        secret: AppSecret,
    },
    /// An application that trusts a token's issuer; the file is read for each access token.
    Token {
        /// The application's (client) ID.
        app_id: String,
        /// The file with the token.
        path: PathBuf,
    },
    /// The machine that this program runs on.
    ManagedIdentity(ManagedIdentity),
}

/// An application's secret.
#[derive(Clone)]
pub struct AppSecret(Arc<SecretString>);

impl AppSecret {
    /// Takes ownership; the text is wiped when the last copy is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(SecretString::new(text)))
    }
}

impl PartialEq for AppSecret {
    /// Whether it is the same copy: what it says is compared nowhere.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for AppSecret {}

impl std::fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Which identity of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// The (client) ID of one that a user assigned; without it, the machine's own.
    pub client_id: Option<String>,
    /// The metadata service.
    pub metadata: Endpoint,
}

impl Credentials {
    /// Tokens for the Resource Manager in a tenant.
    pub(crate) fn tokens(
        self,
        login: Endpoint,
        tenant: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Tokens, CloudError> {
        let proof = match self {
            Self::ManagedIdentity(identity) => {
                let api = Api::new(identity.metadata.clone())?;
                return Ok(Tokens::new(Managed { api, identity }, clock));
            }
            Self::Secret { app_id, secret } => (app_id, Proof::Secret(secret)),
            Self::Token { app_id, path } => (app_id, Proof::File(path)),
        };
        let source = Application {
            api: Api::new(login)?,
            path: format!("/{}/oauth2/v2.0/token", named("the tenant's ID", tenant)?),
            app_id: proof.0,
            proof: proof.1,
        };
        Ok(Tokens::new(source, clock))
    }
}

struct Application {
    api: Api,
    path: String,
    app_id: String,
    proof: Proof,
}

enum Proof {
    Secret(AppSecret),
    File(PathBuf),
}

#[async_trait]
impl TokenSource for Application {
    async fn fetch(&self) -> Result<AccessToken, CloudError> {
        let scope = format!("{RESOURCE}.default");
        let common = [
            ("grant_type", "client_credentials"),
            ("client_id", &*self.app_id),
            ("scope", &*scope),
        ];
        let body = match &self.proof {
            Proof::Secret(secret) => {
                form(&[&common[..], &[("client_secret", secret.0.expose())]].concat())
            }
            Proof::File(path) => {
                let token = read(path)?;
                let proof = [
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", token.expose().trim()),
                ];
                form(&[&common[..], &proof].concat())
            }
        };
        let request = self.api.post(&self.path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.api.json(WHAT, request, body).await
    }
}

fn read(path: &std::path::Path) -> Result<SecretString, CloudError> {
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    let text = SecretString::new(text);
    read.map_err(|source| CloudError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(text)
}

struct Managed {
    api: Api,
    identity: ManagedIdentity,
}

#[async_trait]
impl TokenSource for Managed {
    async fn fetch(&self) -> Result<AccessToken, CloudError> {
        let mut path = format!(
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
            encoded(RESOURCE)
        );
        if let Some(id) = &self.identity.client_id {
            path = format!("{path}&client_id={}", encoded(id));
        }
        let request = self.api.get(&path).header("metadata", "true");
        self.api.json(WHAT, request, Bytes::new()).await
    }
}
