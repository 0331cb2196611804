//! Objects that the stand-in of an API server lists and watches, and what is written to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

/// How many objects a page has, if nothing else is said: few, so that lists have several.
const PAGE: usize = 3;

/// Watched objects, by their collection and name, with what happened to them.
pub(crate) struct Objects {
    /// How many objects a page has.
    pub(crate) page: usize,
    held: BTreeMap<(String, String), Value>,
    log: Vec<(u64, String, Value)>,
    version: u64,
    /// Watches from before this version are refused.
    oldest: u64,
    /// Watches of before this number end.
    epoch: u64,
    changed: watch::Sender<u64>,
    /// Kinds that the API server does not know.
    pub(crate) unknown: Vec<&'static str>,
    /// What happens between the first page of the next list and its second.
    pub(crate) midway: Option<Midway>,
    /// Whether nobody gets an answer.
    pub(crate) is_away: bool,
    /// What was announced.
    pub(crate) events: Vec<Value>,
    /// Lists that were read, by collection.
    pub(crate) lists: BTreeMap<String, usize>,
}

/// What happens between two pages.
pub(crate) enum Midway {
    /// Objects change.
    Changes(Box<dyn FnOnce(&mut Objects) + Send>),
    /// The server forgets the list.
    Forgets,
}

/// Where objects of a kind are.
fn api(resource: &str) -> &'static str {
    match resource {
        "namespaces" | "nodes" | "pods" => "/api/v1",
        "endpointslices" => "/apis/discovery.k8s.io/v1",
        _ => "/apis/spire.spiffe.io/v1alpha1",
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            page: PAGE,
            held: BTreeMap::new(),
            log: Vec::new(),
            version: 0,
            oldest: 0,
            epoch: 0,
            changed: watch::Sender::default(),
            unknown: Vec::new(),
            midway: None,
            is_away: false,
            events: Vec::new(),
            lists: BTreeMap::new(),
        }
    }
}

impl Objects {
    pub(crate) fn put(&mut self, resource: &str, mut object: Value) {
        let path = format!("{}/{resource}", api(resource));
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = (path.clone(), name);
        let kind = match self.held.contains_key(&key) {
            true => "MODIFIED",
            false => "ADDED",
        };
        self.held.insert(key, object.clone());
        self.happened(path, kind, object);
    }

    pub(crate) fn delete(&mut self, resource: &str, name: &str) {
        let path = format!("{}/{resource}", api(resource));
        let mut object = self.held.remove(&(path.clone(), name.to_owned())).unwrap();
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.happened(path, "DELETED", object);
    }

    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<&Value> {
        let path = format!("{}/{resource}", api(resource));
        self.held.get(&(path, name.to_owned()))
    }

    /// Forgets what happened, and ends all watches: who watched must list.
    pub(crate) fn expire(&mut self) {
        self.log.clear();
        self.version += 1;
        self.oldest = self.version;
        self.end_watches();
    }

    pub(crate) fn end_watches(&mut self) {
        self.epoch += 1;
        self.changed.send_modify(|count| *count += 1);
    }

    fn happened(&mut self, path: String, kind: &str, object: Value) {
        let event = json!({"type": kind, "object": object});
        self.log.push((self.version, path, event));
        self.changed.send_modify(|count| *count += 1);
    }

    /// The answer to a list; `None` if this is no collection's path.
    pub(crate) fn list(&mut self, path: &str) -> Option<(u16, String)> {
        let (path, query) = path.split_once('?')?;
        let from = parameter(query, "continue");
        if self.unknown.iter().any(|unknown| path.ends_with(unknown)) {
            return None;
        }
        if from.is_some() {
            match self.midway.take() {
                Some(Midway::Changes(change)) => change(self),
                Some(Midway::Forgets) => return Some((410, "{}".to_owned())),
                None => {}
            }
        }
        *self.lists.entry(path.to_owned()).or_default() += usize::from(from.is_none());
        let begin = (path.to_owned(), from.unwrap_or_default().to_owned());
        let after = self
            .held
            .range((std::ops::Bound::Excluded(begin), std::ops::Bound::Unbounded));
        let mut after = after.take_while(|((of, _), _)| of == path).peekable();
        let page: Vec<_> = after.by_ref().take(self.page).collect();
        let next = match (after.peek(), page.last()) {
            (Some(_), Some(((_, name), _))) => name.clone(),
            _ => String::new(),
        };
        let items: Vec<_> = page.into_iter().map(|(_, object)| object.clone()).collect();
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": next});
        Some((
            200,
            json!({"metadata": metadata, "items": items}).to_string(),
        ))
    }

    /// The answer to a change of a status, an event or a lease.
    pub(crate) fn write(&mut self, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
        let body = || serde_json::from_slice::<Value>(body).unwrap();
        if method == "PATCH" {
            let (path, name) = path.strip_suffix("/status")?.rsplit_once('/')?;
            let key = (path.to_owned(), name.to_owned());
            let Some(object) = self.held.get_mut(&key) else {
                return Some((404, "{}".to_owned()));
            };
            object["status"] = body()["status"].clone();
            let object = object.clone();
            let resource = path.rsplit_once('/')?.1.to_owned();
            self.put(&resource, object);
            return Some((200, "{}".to_owned()));
        }
        if path == "/api/v1/namespaces/default/events" {
            self.events.push(body());
            return Some((201, "{}".to_owned()));
        }
        if !path.starts_with("/apis/coordination.k8s.io/v1/namespaces/signet/leases") {
            return None;
        }
        let key = ("lease".to_owned(), "lease".to_owned());
        let held = self.held.get(&key).cloned();
        Some(match (method, held) {
            ("GET", None) => (404, "{}".to_owned()),
            ("GET", Some(lease)) => (200, lease.to_string()),
            ("POST", Some(_)) => (409, "{}".to_owned()),
            (_, held) => {
                let mut lease = body();
                let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
                if held.is_some_and(|held| version(&held) != version(&lease)) {
                    return Some((409, "{}".to_owned()));
                }
                self.version += 1;
                lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.held.insert(key, lease.clone());
                (200, lease.to_string())
            }
        })
    }

    /// What is new in a collection after a version; `None` if that is too old.
    fn since(&self, path: &str, version: u64) -> Option<Vec<Value>> {
        let from = self.log.partition_point(|(at, _, _)| *at <= version);
        let new = self.log[from..].iter().filter(|(_, of, _)| of == path);
        (version >= self.oldest).then(|| new.map(|(_, _, event)| event.clone()).collect())
    }
}

/// Answers a watch until it is to end or the client is gone.
pub(crate) async fn watch<S: AsyncWrite + Unpin>(
    stream: &mut S,
    state: &std::sync::Mutex<super::cluster::State>,
    path: &str,
) {
    let (path, query) = path.split_once('?').unwrap();
    let mut version: u64 = parameter(query, "resourceVersion")
        .unwrap()
        .parse()
        .unwrap();
    let (mut changed, epoch) = {
        let state = state.lock().unwrap();
        let objects = &state.watched;
        (objects.changed.subscribe(), objects.epoch)
    };
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    loop {
        changed.borrow_and_update();
        let (events, upto, is_over) = {
            let state = state.lock().unwrap();
            let objects = &state.watched;
            (
                objects.since(path, version),
                objects.version,
                objects.epoch != epoch,
            )
        };
        let mut text = String::new();
        for event in events.as_deref().unwrap_or_default() {
            text.push_str(&chunk(event));
        }
        version = upto;
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}});
        if events.is_none() {
            text.push_str(&chunk(&gone));
        }
        if is_over || events.is_none() {
            text.push_str("0\r\n\r\n");
        }
        if stream.write_all(text.as_bytes()).await.is_err() || is_over || events.is_none() {
            return;
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

fn chunk(event: &Value) -> String {
    let line = format!("{event}\n");
    format!("{:x}\r\n{line}\r\n", line.len())
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name);
    found.next().map(|(_, value)| value)
}
