//! Following all objects of one kind: a list, then watches from where the last one ended. Whatever goes
//! wrong is tried again; a version that is too old makes a new list.

use signet_cluster::{Api, ApiError, Collection, WatchEvent};
use signet_kubernetes::{Kind, Object};
use signet_runtime::{Backoff, Stop};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What was seen of a cluster.
#[derive(Debug)]
pub(super) enum Seen {
    /// An object, new or changed.
    Put(Box<Object>),
    /// One that is gone.
    Gone(Kind, Arc<str>),
    /// These are all of a kind; each was put.
    Listed(Kind, HashSet<Arc<str>>),
}

/// Follows until the stop signal.
pub(super) async fn follow(
    api: Arc<Api>,
    kind: Kind,
    seen: mpsc::Sender<Seen>,
    stop: Stop,
) -> Result<(), Infallible> {
    let mut follower = Follower {
        api,
        kind,
        seen,
        version: None,
        backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(15), 2.0),
        is_failing: false,
    };
    tokio::select! {
        () = stop.stopped() => {}
        () = follower.run() => stop.stopped().await,
    }
    Ok(())
}

struct Follower {
    api: Arc<Api>,
    kind: Kind,
    seen: mpsc::Sender<Seen>,
    /// Up to where everything was seen; `None` if a list must be read.
    version: Option<String>,
    backoff: Backoff,
    is_failing: bool,
}

/// Nobody looks any more.
struct Over;

/// Why following came to a halt.
enum Halt {
    Over,
    Failed(ApiError),
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<Over> for Halt {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

impl Follower {
    async fn run(&mut self) {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(Halt::Over) => return,
                Err(Halt::Failed(error)) => {
                    if matches!(error, ApiError::Gone { .. }) {
                        self.version = None;
                    }
                    self.failed(&error);
                    tokio::time::sleep(self.backoff.next_delay()).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), Halt> {
        match self.version.clone() {
            None => self.list().await,
            Some(version) => self.watch(&version).await,
        }
    }

    async fn list(&mut self) -> Result<(), Halt> {
        let mut keys = HashSet::new();
        let (mut next, mut version) = (None, None);
        loop {
            let page = self.api.list(self.collection(), next.as_deref()).await?;
            // What changed between the pages is told again.
            let version = version.get_or_insert(page.version).clone();
            for item in page.items {
                if let Some(object) = self.read(item) {
                    keys.insert(object.key().clone());
                    self.send(Seen::Put(Box::new(object))).await?;
                }
            }
            next = page.next;
            if next.is_none() {
                self.send(Seen::Listed(self.kind, keys)).await?;
                self.version = Some(version);
                self.succeeded();
                return Ok(());
            }
        }
    }

    /// Until the server ends the watch.
    async fn watch(&mut self, version: &str) -> Result<(), Halt> {
        let mut watch = self.api.watch(self.collection(), version).await?;
        self.succeeded();
        while let Some(event) = watch.next().await? {
            match event {
                WatchEvent::Put(object) => {
                    if let Some(object) = self.read(object) {
                        self.send(Seen::Put(Box::new(object))).await?;
                    }
                }
                WatchEvent::Gone(object) => {
                    if let Some(object) = self.read(object) {
                        self.send(Seen::Gone(self.kind, object.key().clone()))
                            .await?;
                    }
                }
                WatchEvent::Bookmark => {}
            }
            self.version = Some(watch.version().to_owned());
        }
        Ok(())
    }

    fn collection(&self) -> Collection {
        Collection {
            api: self.kind.api(),
            resource: self.kind.plural(),
        }
    }

    fn read(&self, item: serde_json::Value) -> Option<Object> {
        let object = Object::read(self.kind, item);
        if object.is_err() {
            let resource = self.kind.plural();
            tracing::warn!(
                resource,
                "the API server named an object without name or UID; left out"
            );
        }
        object.ok()
    }

    async fn send(&self, seen: Seen) -> Result<(), Over> {
        self.seen.send(seen).await.map_err(|_| Over)
    }

    /// Once loud, then quiet.
    fn failed(&mut self, error: &ApiError) {
        let resource = self.kind.plural();
        let missing = matches!(error, ApiError::NotFound { .. });
        let error = crate::api::types::chain(error);
        if std::mem::replace(&mut self.is_failing, true) {
            tracing::debug!(
                resource,
                error,
                "objects of the cluster still cannot be followed"
            );
        } else if missing {
            tracing::warn!(
                resource,
                "the cluster does not know these resources, so nothing is declared or removed: apply \
                 examples/kubernetes/crds"
            );
        } else {
            tracing::warn!(
                resource,
                error,
                "objects of the cluster cannot be followed; what is known holds, trying again"
            );
        }
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        if std::mem::take(&mut self.is_failing) {
            let resource = self.kind.plural();
            tracing::info!(resource, "objects of the cluster are followed again");
        }
    }
}
