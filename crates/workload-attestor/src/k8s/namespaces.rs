//! The labels of namespaces, asked of the API server and held for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use signet_cluster::{Api, Name};
use tokio::time::Instant;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Labels = Arc<BTreeMap<String, String>>;

/// Labels of this age answer without a request: they are set by whoever rules the namespace, and
/// seldom.
const FRESH: Duration = Duration::from_secs(30);
/// Labels of this age answer no more, even if the API server is away.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Namespaces held: more than pods fit on a node.
const MAX_HELD: usize = 1000;

/// Knows the labels of namespaces.
#[async_trait]
pub trait NamespaceSource: Send + Sync {
    /// The labels as they are now.
    async fn labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, BoxError>;
}

#[async_trait]
impl NamespaceSource for Api {
    async fn labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, BoxError> {
        let name = Name::parse(namespace)?;
        Ok(self.namespace(&name).await?.metadata.labels)
    }
}

/// The held labels.
pub(super) struct Namespaces {
    source: Box<dyn NamespaceSource>,
    held: Mutex<HashMap<String, (Instant, Labels)>>,
}

impl Namespaces {
    pub(super) fn new(source: Box<dyn NamespaceSource>) -> Self {
        Self {
            source,
            held: Mutex::default(),
        }
    }

    pub(super) async fn labels(&self, namespace: &str) -> Result<Labels, BoxError> {
        if let Some(labels) = self.held_for(namespace, FRESH) {
            return Ok(labels);
        }
        match self.source.labels(namespace).await {
            Ok(labels) => Ok(self.hold(namespace, labels.into())),
            Err(error) => self.held_for(namespace, MAX_AGE).ok_or(error),
        }
    }

    fn held_for(&self, namespace: &str, age: Duration) -> Option<Labels> {
        let held = self.lock();
        let (since, labels) = held.get(namespace)?;
        (since.elapsed() < age).then(|| labels.clone())
    }

    fn hold(&self, namespace: &str, labels: Labels) -> Labels {
        let mut held = self.lock();
        if held.len() >= MAX_HELD {
            held.retain(|_, (since, _)| since.elapsed() < FRESH);
        }
        if held.len() < MAX_HELD {
            held.insert(namespace.to_owned(), (Instant::now(), labels.clone()));
        }
        labels
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Labels)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
