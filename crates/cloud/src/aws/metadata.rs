//! The metadata service of an instance, in its version 2: a token first, then questions with it.
//!
//! Version 1, which answers without a token, is not spoken: any request that a program on the
//! instance can be talked into would do there.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use signet_http::{Client, HttpError, Reach, Settings, SetupError};
use std::time::Duration;

use super::AwsError;
use super::credentials::Credentials;

/// Where the service is on every instance.
pub const DEFAULT_ENDPOINT: &str = "http://169.254.169.254";

/// It is one hop away and answers in milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// The longest answer, a signed document, has 3 KiB.
const MAX_ANSWER: usize = 64 << 10;
/// Longest token: they have 56 bytes.
const MAX_TOKEN: usize = 1024;
/// Seconds that a token lives: it is used at once.
const TOKEN_TTL: &str = "60";

const SERVICE: &str = "instance metadata";

/// The metadata service of the instance that this program runs on.
#[derive(Debug, Clone)]
pub struct InstanceMetadata {
    client: Client,
    base: String,
}

/// What was asked, and with what.
struct Question<'a> {
    method: Method,
    path: &'a str,
    header: (&'static str, &'a str),
    action: &'static str,
}

impl InstanceMetadata {
    /// The service at this URL, which may end in `/latest`.
    ///
    /// # Errors
    /// [`SetupError`] if no client can be made.
    pub fn at(endpoint: &str) -> Result<Self, SetupError> {
        let client = Client::new(Settings {
            time_limit: TIME_LIMIT,
            max_answer: MAX_ANSWER,
            reach: Reach::Plain,
            ..Settings::default()
        })?;
        let base = endpoint.trim_end_matches('/');
        let base = base.strip_suffix("/latest").unwrap_or(base).to_owned();
        Ok(Self { client, base })
    }

    /// The answer to each path below `/latest/`, with one token for all.
    ///
    /// # Errors
    /// [`AwsError`] says which step failed.
    pub async fn get<const N: usize>(&self, paths: [&str; N]) -> Result<[Bytes; N], AwsError> {
        let token = self.token().await?;
        let mut answers = [const { Bytes::new() }; N];
        for (path, answer) in paths.into_iter().zip(&mut answers) {
            *answer = self
                .ask(Question {
                    method: Method::GET,
                    path,
                    header: ("x-aws-ec2-metadata-token", &token),
                    action: "question",
                })
                .await?;
        }
        Ok(answers)
    }

    async fn token(&self) -> Result<String, AwsError> {
        const ACTION: &str = "token";
        let token = self
            .ask(Question {
                method: Method::PUT,
                path: "api/token",
                header: ("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL),
                action: ACTION,
            })
            .await?;
        let is_token = !token.is_empty()
            && token.len() <= MAX_TOKEN
            && token.iter().all(|byte| byte.is_ascii_graphic());
        let token = String::from_utf8(token.to_vec()).ok();
        token.filter(|_| is_token).ok_or(AwsError::Malformed {
            service: SERVICE,
            action: ACTION,
        })
    }

    async fn ask(&self, question: Question<'_>) -> Result<Bytes, AwsError> {
        let (service, action) = (SERVICE, question.action);
        let http = |source| AwsError::Http {
            service,
            action,
            source,
        };
        let request = Request::builder()
            .method(question.method)
            .uri(format!("{}/latest/{}", self.base, question.path))
            .header(question.header.0, question.header.1)
            .body(Bytes::new())
            .map_err(|_| http(HttpError::Url("it cannot be read")))?;
        let answer = self.client.send(request).await.map_err(http)?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status => Err(AwsError::Refused {
                service,
                action,
                status,
                code: "no code".to_owned(),
            }),
        }
    }

    /// The credentials of the role that the instance has.
    pub(crate) async fn role_credentials(&self) -> Result<Credentials, AwsError> {
        const PATH: &str = "meta-data/iam/security-credentials/";
        const MALFORMED: AwsError = AwsError::Malformed {
            service: SERVICE,
            action: "role",
        };
        let [role] = self.get([PATH]).await.map_err(|error| match error {
            AwsError::Refused { status, .. } if status == StatusCode::NOT_FOUND => {
                AwsError::NoCredentials
            }
            AwsError::Http { source, .. } if source.is_transient() => AwsError::NoCredentials,
            other => other,
        })?;
        let role = std::str::from_utf8(&role).ok().map(str::trim);
        let is_name = |name: &&str| {
            let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"+=,.@-_".contains(&c);
            (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
        };
        let role = role.filter(is_name).ok_or(MALFORMED)?;
        let [answer] = self.get([format!("{PATH}{role}").as_str()]).await?;
        Credentials::from_json(&answer).ok_or(MALFORMED)
    }
}
