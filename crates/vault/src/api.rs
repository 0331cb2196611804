//! One exchange with a Vault: a path and JSON in, JSON or a typed refusal out.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use signet_http::Client;

use crate::VaultError;
use crate::settings::{Address, Mount, Secret};

/// Sent by every client of a Vault: a proxy in front of it can insist on it, against forged requests.
const REQUEST_HEADER: &str = "x-vault-request";
const NAMESPACE_HEADER: &str = "x-vault-namespace";
const TOKEN_HEADER: &str = "x-vault-token";

/// A request without its sender. Not printed: its body may be a login.
pub(crate) struct Call {
    method: Method,
    path: String,
    query: &'static str,
    body: Option<Value>,
}

impl Call {
    pub(crate) fn read(path: String) -> Self {
        Self::new(Method::GET, path, "", None)
    }

    pub(crate) fn list(path: String) -> Self {
        Self::new(Method::GET, path, "?list=true", None)
    }

    pub(crate) fn write(path: String, body: Value) -> Self {
        Self::new(Method::POST, path, "", Some(body))
    }

    pub(crate) fn delete(path: String) -> Self {
        Self::new(Method::DELETE, path, "", None)
    }

    fn new(method: Method, path: String, query: &'static str, body: Option<Value>) -> Self {
        Self {
            method,
            path,
            query,
            body,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// Where calls go.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) http: Client,
    pub(crate) address: Address,
    pub(crate) namespace: Option<Mount>,
}

impl Api {
    /// Sends a call and gives the body of a successful answer.
    pub(crate) async fn send(
        &self,
        call: &Call,
        token: Option<&Secret>,
    ) -> Result<Bytes, VaultError> {
        let request = self.request(call, token)?;
        let answer = self.http.send(request).await;
        let answer = answer.map_err(|source| VaultError::Http {
            path: call.path.clone(),
            source,
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        Err(refusal(&call.path, status, answer.body()))
    }

    fn request(&self, call: &Call, token: Option<&Secret>) -> Result<Request<Bytes>, VaultError> {
        let url = self.address.url(&call.path) + call.query;
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(url)
            .header(REQUEST_HEADER, "true")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body))
            .expect("an address and a path of checked parts make a URL");
        let headers = request.headers_mut();
        if let Some(namespace) = &self.namespace {
            let value = HeaderValue::from_str(&namespace.to_string());
            headers.insert(NAMESPACE_HEADER, value.expect("a mount has plain letters"));
        }
        if let Some(token) = token {
            let unusable = |_| unusable(&call.path, "the token holds characters that no token has");
            let mut value = HeaderValue::from_str(token.expose()).map_err(unusable)?;
            value.set_sensitive(true);
            headers.insert(TOKEN_HEADER, value);
        }
        Ok(request)
    }
}

/// The answer's `data`.
pub(crate) fn data<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, VaultError> {
    #[derive(Deserialize)]
    struct Answer<T> {
        data: T,
    }
    parse::<Answer<T>>(path, body).map(|answer| answer.data)
}

/// A body as JSON. What is wrong with it is not told: it may hold a token.
pub(crate) fn parse<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice(body).map_err(|_| unusable(path, "it is not the JSON expected"))
}

pub(crate) fn unusable(path: &str, what: &'static str) -> VaultError {
    VaultError::Answer {
        path: path.to_owned(),
        what,
    }
}

/// Not every refusal is a Vault's own: a proxy may answer in HTML.
fn refusal(path: &str, status: StatusCode, body: &[u8]) -> VaultError {
    #[derive(Deserialize)]
    struct Refusal {
        errors: Vec<String>,
    }
    let said = serde_json::from_slice::<Refusal>(body);
    let messages = said.map(|refusal| refusal.errors);
    let messages = messages.unwrap_or_else(|_| vec!["not in the words of a Vault".to_owned()]);
    VaultError::refused(path, status, messages)
}
