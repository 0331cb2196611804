//! Access tokens (OAuth 2.0, RFC 6749 section 5.1), kept until shortly before they expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Deserializer};
use signet_crypto::SecretString;
use signet_runtime::Clock;
use tokio::sync::Mutex;

use crate::CloudError;

/// A token is not used this long before it expires: a question takes up to ten seconds, and clocks
/// differ.
const EARLY: Duration = Duration::from_secs(120);

/// A token is kept no longer than this, whatever its issuer says.
const MAX_KEPT: Duration = Duration::from_secs(3600);

/// Gives access tokens.
#[async_trait]
pub(crate) trait TokenSource: Send + Sync {
    /// A new one.
    async fn fetch(&self) -> Result<AccessToken, CloudError>;
}

/// A token endpoint's answer.
#[derive(Deserialize)]
pub(crate) struct AccessToken {
    #[serde(deserialize_with = "secret")]
    access_token: SecretString,
    /// A number, or as Azure's metadata service says it, a text of digits.
    #[serde(default, deserialize_with = "seconds")]
    expires_in: u64,
}

/// The latest token of a source. One caller fetches, the others wait for it.
pub(crate) struct Tokens {
    source: Box<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<(Arc<SecretString>, SystemTime)>>,
}

impl Tokens {
    pub(crate) fn new(source: impl TokenSource + 'static, clock: Arc<dyn Clock>) -> Self {
        Self {
            source: Box::new(source),
            clock,
            kept: Mutex::new(None),
        }
    }

    pub(crate) async fn token(&self) -> Result<Arc<SecretString>, CloudError> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        if let Some((token, _)) = kept.as_ref().filter(|(_, until)| now < *until) {
            return Ok(Arc::clone(token));
        }
        let fetched = self.source.fetch().await?;
        let life = Duration::from_secs(fetched.expires_in);
        let life = life.saturating_sub(EARLY).min(MAX_KEPT);
        let token = Arc::new(fetched.access_token);
        *kept = Some((Arc::clone(&token), now + life));
        Ok(token)
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::new)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    match Seconds::deserialize(deserializer)? {
        Seconds::Number(seconds) => Ok(seconds),
        Seconds::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}
