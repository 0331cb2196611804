//! The agent's half: finds the token.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Deserialize;
use signet_crypto::SecretString;
use signet_http::{Client, Reach, Roots, Settings};
use signet_oidc::MAX_TOKEN_LEN;

use super::KIND;
use crate::{AgentAttestor, AgentError, BoxError, Finding, token};

/// Looks a variable of the environment up.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Longest answer to a request for a token: the token in a small JSON object.
const MAX_ANSWER: usize = 2 * MAX_TOKEN_LEN;

/// Where the token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// In a file, which may be another one at each attestation.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
    /// At a URL of the platform.
    Request(RequestNames),
}

/// How a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestNames {
    /// The variable with the URL.
    pub url: String,
    /// The variable with the secret that the platform knows the job by.
    pub token: String,
    /// For whom the token is to be.
    pub audience: String,
    /// Who vouches for the platform.
    pub roots: Roots,
}

/// Attests with a token of an OpenID Connect issuer.
pub struct OidcAgent {
    source: TokenSource,
    environment: Environment,
}

impl OidcAgent {
    /// With the token from this source.
    pub fn new(source: TokenSource, environment: Environment) -> Self {
        Self {
            source,
            environment,
        }
    }

    async fn token(&self) -> Result<SecretString, AgentError> {
        let token = match &self.source {
            TokenSource::File(path) => read(path)?,
            TokenSource::Variable(name) => self.variable(name, "")?,
            TokenSource::Request(names) => self.request(names).await?,
        };
        Ok(SecretString::new(token.expose().trim().to_owned()))
    }

    fn variable(&self, name: &str, hint: &'static str) -> Result<SecretString, AgentError> {
        let value = (self.environment)(name).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| AgentError::Variable {
            name: name.to_owned(),
            hint,
        });
        value.map(SecretString::new)
    }

    async fn request(&self, names: &RequestNames) -> Result<SecretString, AgentError> {
        let hint = "; on GitHub the job needs the permission \"id-token: write\"";
        let url = self.variable(&names.url, hint)?;
        let token = self.variable(&names.token, hint)?;
        let asked = ask(url.expose(), &token, names).await;
        asked.map_err(|source| AgentError::Platform {
            what: "a token of the platform",
            source,
        })
    }
}

#[async_trait]
impl AgentAttestor for OidcAgent {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        let token = self.token().await?;
        Ok(token.expose().as_bytes().to_vec())
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }

    async fn findings(&self, payload: &[u8], now: SystemTime) -> Result<Vec<Finding>, AgentError> {
        Ok(token::findings(
            &String::from_utf8_lossy(payload),
            now,
            |claims| {
                let single = match claims.token_id {
                    Some(_) => "it has an ID, so it counts once",
                    None => "it has no ID (jti): it can be shown again until it expires",
                };
                vec![Finding::holds(single)]
            },
        ))
    }
}

fn read(path: &Path) -> Result<SecretString, AgentError> {
    let mut text = String::new();
    let limit = MAX_TOKEN_LEN as u64 + 1;
    let read =
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
    read.map_err(|source| AgentError::File {
        path: path.to_owned(),
        source,
    })?;
    if text.trim().is_empty() || text.len() > MAX_TOKEN_LEN {
        return Err(AgentError::Content {
            path: path.to_owned(),
            what: "a token",
            source: None,
        });
    }
    Ok(SecretString::new(text))
}

#[derive(Deserialize)]
struct Answer {
    value: String,
}

async fn ask(
    url: &str,
    token: &SecretString,
    names: &RequestNames,
) -> Result<SecretString, BoxError> {
    let client = Client::new(Settings {
        max_answer: MAX_ANSWER,
        reach: Reach::Https {
            roots: names.roots.clone(),
            certificate: None,
        },
        ..Settings::default()
    })?;
    let request = Request::get(with_audience(url, &names.audience))
        .header("authorization", format!("Bearer {}", token.expose()))
        .header("accept", "application/json")
        .body(Bytes::new())
        // The error could show the secret.
        .map_err(|_| "the URL or the secret of the platform is malformed")?;
    let answer = client.send(request).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("the platform answered {}", answer.status()).into());
    }
    let answer: Answer = serde_json::from_slice(answer.body())
        .map_err(|_| "the platform's answer is no JSON object with a text \"value\"")?;
    Ok(SecretString::new(answer.value))
}

fn with_audience(url: &str, audience: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    let mut url = format!("{url}{joint}audience=");
    for byte in audience.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            _ => write!(url, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(source: TokenSource) -> OidcAgent {
        let environment = |name: &str| (name == "TOKEN").then(|| " a.b.c\n".to_owned());
        OidcAgent::new(source, Arc::new(environment))
    }

    #[tokio::test]
    async fn the_token_is_in_a_file_or_a_variable_without_the_blanks_around_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "a.b.c\n").unwrap();
        for source in [
            TokenSource::File(path),
            TokenSource::Variable("TOKEN".to_owned()),
        ] {
            assert_eq!(agent(source).payload().await.unwrap(), b"a.b.c");
        }
    }

    #[tokio::test]
    async fn a_token_that_is_missing_empty_or_huge_is_named_by_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("empty"), " \n").unwrap();
        std::fs::write(path("huge"), "x".repeat(MAX_TOKEN_LEN + 1)).unwrap();
        for name in ["missing", "empty", "huge"] {
            let refused = agent(TokenSource::File(path(name))).payload().await;
            assert!(refused.unwrap_err().to_string().contains(name));
        }
        let unset = agent(TokenSource::Variable("NONE".to_owned()));
        let unset = unset.payload().await.unwrap_err();
        assert!(unset.to_string().contains("NONE"), "{unset}");
        let request = TokenSource::Request(RequestNames {
            url: "ACTIONS_URL".to_owned(),
            token: "ACTIONS_TOKEN".to_owned(),
            audience: "signet".to_owned(),
            roots: Roots::System,
        });
        let unset = agent(request).payload().await.unwrap_err();
        assert!(unset.to_string().contains("id-token: write"), "{unset}");
    }

    #[test]
    fn the_audience_is_one_parameter_more() {
        for (url, whole) in [
            (
                "https://a.example/x?v=2",
                "https://a.example/x?v=2&audience=a%2Fb%26c",
            ),
            (
                "https://a.example/x",
                "https://a.example/x?audience=a%2Fb%26c",
            ),
        ] {
            assert_eq!(with_audience(url, "a/b&c"), whole);
        }
    }
}
