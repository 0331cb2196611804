//! One question to a web API, and its answer as JSON: bounded, and judged by its status.

use std::time::Duration;

use bytes::Bytes;
use http::request::Builder;
use http::{Request, StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;
use signet_crypto::SecretString;
use signet_http::{Client, HttpError, Reach, Roots, Settings, SetupError};

/// For one question: an agent waits for the answers of several.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Longest answer: the metadata of an instance alone may have 512 KiB.
const MAX_ANSWER: usize = 1 << 20;

/// Longest code of an error that is repeated in ours.
const MAX_CODE: usize = 64;

/// Where an API is, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host`, or `http://host` of a metadata service, without a path.
    pub url: String,
    /// Who vouches for its certificate.
    pub roots: Roots,
}

impl Endpoint {
    /// One that the machine's authorities vouch for.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            roots: Roots::System,
        }
    }
}

/// Why a question has no answer. The texts hold nothing of the question but what it asks for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// The client cannot be set up.
    #[error("the client of {url} could not be set up")]
    Setup {
        /// The API.
        url: String,
        /// Why.
        #[source]
        source: SetupError,
    },
    /// No answer.
    #[error("could not ask for {what}")]
    Http {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// A refusal.
    #[error("{host} answered {status}{code} when asked for {what}{}", remedy(*.status))]
    Status {
        /// What was asked for.
        what: &'static str,
        /// Who answered.
        host: String,
        /// Its answer.
        status: StatusCode,
        /// The error's name, if it has one, in brackets.
        code: String,
    },
    /// An answer that is none, such as a page for people.
    #[error("the answer of {host} is not {what} in JSON")]
    Form {
        /// What was asked for.
        what: &'static str,
        /// Who answered.
        host: String,
    },
    /// A value that cannot stand in a question.
    #[error("{0} has characters or a length that no such name has")]
    Name(&'static str),
    /// There is nothing of that name.
    #[error("there is no {0}, or the credentials do not show it")]
    Missing(&'static str),
    /// There is more than one.
    #[error("there is more than one {0}")]
    Ambiguous(&'static str),
    /// The credentials cannot be used.
    #[error("the credentials cannot be used: {0}")]
    Credentials(String),
    /// A file with credentials cannot be read.
    #[error("could not read the credentials in {}", .path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// All questions together took too long.
    #[error("the answers took longer than {} s", .0.as_secs())]
    Late(Duration),
}

impl CloudError {
    /// Whether what was asked for is not there: the answer is final.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Missing(_)
                | Self::Ambiguous(_)
                | Self::Name(_)
                | Self::Status {
                    status: StatusCode::NOT_FOUND,
                    ..
                }
        )
    }
}

fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; give the server's credentials the permission to read it"
        }
        _ => "",
    }
}

/// An API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    base: String,
    client: Client,
}

impl Api {
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, CloudError> {
        let base = endpoint.url.trim_end_matches('/').to_owned();
        let reach = if base.starts_with("http://") {
            Reach::Plain
        } else {
            Reach::Https {
                roots: endpoint.roots,
                certificate: None,
            }
        };
        let client = Client::new(Settings {
            time_limit: TIME_LIMIT,
            max_answer: MAX_ANSWER,
            reach,
            ..Settings::default()
        });
        let client = client.map_err(|source| CloudError::Setup {
            url: base.clone(),
            source,
        })?;
        Ok(Self { base, client })
    }

    /// A `GET` of a path with its query.
    pub(crate) fn get(&self, path: &str) -> Builder {
        Request::get(format!("{}{path}", self.base)).header("accept", "application/json")
    }

    /// A `POST` to a path with its query.
    pub(crate) fn post(&self, path: &str) -> Builder {
        Request::post(format!("{}{path}", self.base)).header("accept", "application/json")
    }

    /// The path of a URL of this API, with its query; `None` for one of anybody else.
    pub(crate) fn path_of<'u>(&self, url: &'u str) -> Option<&'u str> {
        let path = url.strip_prefix(&self.base)?;
        path.starts_with('/').then_some(path)
    }

    /// The answer's text.
    pub(crate) async fn text(
        &self,
        what: &'static str,
        request: Builder,
        body: Bytes,
    ) -> Result<Bytes, CloudError> {
        let request = request.body(body).map_err(|_| CloudError::Name(what))?;
        let host = host(request.uri());
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|source| CloudError::Http { what, source })?;
        match answer.status() {
            status if status.is_success() => Ok(answer.into_body()),
            status => Err(CloudError::Status {
                what,
                host,
                status,
                code: code(answer.body()),
            }),
        }
    }

    /// The answer's JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        what: &'static str,
        request: Builder,
        body: Bytes,
    ) -> Result<T, CloudError> {
        let text = self.text(what, request, body).await?;
        // The library's error would repeat what was answered.
        serde_json::from_slice(&text).map_err(|_| CloudError::Form {
            what,
            host: self.host(),
        })
    }

    pub(crate) fn host(&self) -> String {
        self.base.parse().as_ref().map(host).unwrap_or_default()
    }
}

/// The header that shows a token.
pub(crate) fn bearer(request: Builder, token: &SecretString) -> Builder {
    let mut value = http::HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .unwrap_or_else(|_| http::HeaderValue::from_static(""));
    value.set_sensitive(true);
    request.header(http::header::AUTHORIZATION, value)
}

/// Pairs as a form (`application/x-www-form-urlencoded`).
pub(crate) fn form(pairs: &[(&str, &str)]) -> Bytes {
    let pairs = pairs
        .iter()
        .map(|(key, value)| format!("{key}={}", encoded(value)));
    Bytes::from(pairs.collect::<Vec<_>>().join("&"))
}

/// With everything but letters, digits, `-`, `.` and `_` percent-encoded (RFC 3986 section 2.1).
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A name that may stand in a path: what the clouds give names of, and no more.
pub(crate) fn named<'t>(what: &'static str, text: &'t str) -> Result<&'t str, CloudError> {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(is_allowed);
    let dots = text.bytes().all(|byte| byte == b'.');
    (fits && !dots)
        .then_some(text)
        .ok_or(CloudError::Name(what))
}

fn host(uri: &Uri) -> String {
    uri.host().unwrap_or_default().to_owned()
}

/// The name of an error: `error.code` (Azure), `error.status` (Google), `error` (OAuth 2.0).
fn code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["error"];
    let name = [&error["code"], &error["status"], error];
    let name = name.into_iter().find_map(Value::as_str);
    let name = name.filter(|name| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        name.len() <= MAX_CODE && name.chars().all(plain)
    });
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_holds_its_values_and_nothing_else() {
        let form = form(&[("a", "b c&d=é"), ("e", "https://x/.default")]);
        assert_eq!(
            &form[..],
            b"a=b%20c%26d%3D%C3%A9&e=https%3A%2F%2Fx%2F.default"
        );
    }

    #[test]
    fn a_name_makes_no_other_path() {
        assert!(named("project", "example.com:blog-1").is_ok());
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a?b",
            "a%2fb",
            "a b",
            "a#",
            &"x".repeat(129),
        ] {
            assert!(
                matches!(named("project", bad), Err(CloudError::Name("project"))),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_name_of_an_error_is_repeated_and_its_text_is_not() {
        assert_eq!(
            code(br#"{"error":{"code":"AuthorizationFailed","message":"x"}}"#),
            " (AuthorizationFailed)"
        );
        assert_eq!(
            code(br#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#),
            " (PERMISSION_DENIED)"
        );
        assert_eq!(
            code(br#"{"error":"invalid_client","error_description":"secret"}"#),
            " (invalid_client)"
        );
        assert_eq!(code(br#"{"error":"a text with blanks"}"#), "");
        assert_eq!(code(b"<html>"), "");
    }

    #[test]
    fn the_next_page_is_asked_of_the_same_server_only() {
        let api = Api::new(Endpoint::new("http://127.0.0.1:1")).unwrap();
        assert_eq!(api.path_of("http://127.0.0.1:1/a?b"), Some("/a?b"));
        for other in [
            "http://127.0.0.1:12/a",
            "https://127.0.0.1:1/a",
            "http://127.0.0.1:1@x/",
            "/a",
        ] {
            assert_eq!(api.path_of(other), None, "{other}");
        }
    }
}
