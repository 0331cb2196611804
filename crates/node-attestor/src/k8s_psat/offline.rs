//! Verifying tokens by the keys of the cluster, without its API server.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use signet_oidc::{Expected, FetchError, IssuerKeys, KeySet, KeySource, MAX_DOCUMENT, Token};
use signet_runtime::Clock;

use super::facts::Facts;
use super::server::EvidenceError;
use crate::Refused;

/// How far the cluster's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);

/// A cluster's word without the cluster.
pub struct Offline {
    issuer: String,
    keys: IssuerKeys,
    clock: Arc<dyn Clock>,
}

/// Keys in a file that the operator keeps current: what the API server answers at `/openid/v1/jwks`.
#[derive(Clone, Debug)]
pub struct JwksFile {
    path: PathBuf,
    name: String,
}

impl Offline {
    /// Tokens of this issuer (`--service-account-issuer` of the API server), by these keys.
    pub fn new(issuer: String, keys: IssuerKeys, clock: Arc<dyn Clock>) -> Self {
        Self {
            issuer,
            keys,
            clock,
        }
    }

    pub(super) async fn verify(&self, token: &str, audiences: &[String]) -> Result<Facts, Refused> {
        let token = Token::parse(token).map_err(|error| Refused::Payload(error.into()))?;
        let expected = Expected {
            issuer: &self.issuer,
            audiences,
            leeway: LEEWAY,
        };
        let verified = token.verify(&self.keys, &expected, self.clock.now()).await;
        let claims = verified.map_err(|error| match error.is_transient() {
            true => Refused::Unavailable(error.into()),
            false => EvidenceError::Token(error).into(),
        })?;
        let claims = claims.get();
        let private = claims.all.get("kubernetes.io").unwrap_or(&Value::Null);
        let facts = Facts::of_claims(claims.subject.as_deref(), private);
        facts.map_err(|error| EvidenceError::Facts(error).into())
    }
}

impl JwksFile {
    /// The keys in this file, which is read anew when they are asked for.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            name: path.display().to_string(),
        }
    }
}

#[async_trait]
impl KeySource for JwksFile {
    fn name(&self) -> &str {
        &self.name
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let read = || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(&self.path)?;
            file.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let document = read().map_err(|error| FetchError::Other(error.into()))?;
        if document.len() > MAX_DOCUMENT {
            return Err(FetchError::Other("the file is too long".into()));
        }
        Ok(KeySet::parse(&document)?)
    }
}
