//! All objects of a kind, and what becomes of them from then on.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use signet_http::Lines;

use crate::api::{JSON, Question};
use crate::{Api, ApiError};

/// Objects of one page: pods have some KiB each.
const PAGE: usize = 250;
/// The server ends a watch after this time, and it is asked anew. It is also how a connection is found
/// out that leads nowhere.
const WATCH_SECONDS: u64 = 90;
/// A server that says nothing for this long, not even that the watch is over, is not there.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS + 15);

/// All objects of one kind, in all namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Group and version, as `/api/v1`.
    pub api: &'static str,
    /// The plural name, as `pods`.
    pub resource: &'static str,
}

/// Some of the objects.
#[derive(Debug)]
pub struct Page {
    /// They.
    pub items: Vec<Value>,
    /// From which version on a watch says what happens after the whole list.
    pub version: String,
    /// What to ask for the next page with; `None` after the last.
    pub next: Option<String>,
}

/// What happened to an object.
#[derive(Debug, PartialEq)]
pub enum WatchEvent {
    /// It is there, new or changed.
    Put(Value),
    /// It is gone; this is how it was.
    Gone(Value),
    /// Nothing, up to a later version.
    Bookmark,
}

/// Says what happens to objects from now on.
#[derive(Debug)]
pub struct Watch {
    lines: Lines,
    resource: &'static str,
    version: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl Api {
    /// One page of a list: the first, or the one that the page before names.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Gone`] if the list must be begun anew.
    pub async fn list(&self, collection: Collection, next: Option<&str>) -> Result<Page, ApiError> {
        let mut path = format!("{}/{}?limit={PAGE}", collection.api, collection.resource);
        if let Some(next) = next {
            path.push_str("&continue=");
            path.push_str(&encoded(next));
        }
        let answer = self
            .page(&question(path, "list", collection.resource))
            .await?;
        let list: List = serde_json::from_slice(&answer).map_err(|_| ApiError::Form)?;
        Ok(Page {
            items: list.items.unwrap_or_default(),
            version: list.metadata.resource_version,
            next: Some(list.metadata.next).filter(|next| !next.is_empty()),
        })
    }

    /// What happens after this version.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Gone`] if that is too long ago, so that a list must be read.
    pub async fn watch(&self, collection: Collection, version: &str) -> Result<Watch, ApiError> {
        let path = format!(
            "{}/{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
            collection.api,
            collection.resource,
            encoded(version)
        );
        let question = question(path, "watch", collection.resource);
        Ok(Watch {
            lines: self.open(&question, SILENCE).await?,
            resource: collection.resource,
            version: version.to_owned(),
        })
    }
}

impl Watch {
    /// What happens next; `None` when the server ends the watch, as it does from time to time.
    ///
    /// # Errors
    /// [`ApiError`]; [`ApiError::Gone`] if a list must be read.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, ApiError> {
        let Some(line) = self.lines.next().await? else {
            return Ok(None);
        };
        let line: Line = serde_json::from_slice(&line).map_err(|_| ApiError::Form)?;
        if line.kind == "ERROR" {
            return Err(self.error(&line.object));
        }
        if let Some(version) = line.object["metadata"]["resourceVersion"].as_str() {
            version.clone_into(&mut self.version);
        }
        match &*line.kind {
            "ADDED" | "MODIFIED" => Ok(Some(WatchEvent::Put(line.object))),
            "DELETED" => Ok(Some(WatchEvent::Gone(line.object))),
            "BOOKMARK" => Ok(Some(WatchEvent::Bookmark)),
            _ => Err(ApiError::Form),
        }
    }

    /// Up to where everything was said.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    fn error(&self, status: &Value) -> ApiError {
        let resource = self.resource;
        let code = status["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok());
        match code.and_then(|code| http::StatusCode::from_u16(code).ok()) {
            Some(http::StatusCode::GONE) => ApiError::Gone { resource },
            Some(status) => ApiError::Status {
                verb: "watch",
                resource,
                status,
            },
            None => ApiError::Form,
        }
    }
}

fn question(path: String, verb: &'static str, resource: &'static str) -> Question {
    Question {
        method: Method::GET,
        path,
        body: Bytes::new(),
        content_type: JSON,
        verb,
        resource,
    }
}

/// As a value of a query (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    bytes.collect()
}
