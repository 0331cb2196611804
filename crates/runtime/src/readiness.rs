//! Readiness as a set of named blockers: ready means that nobody blocks, and an operator who asks
//! why a program is not ready gets the names.

use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The set of what still blocks readiness. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    blockers: Arc<watch::Sender<BTreeMap<&'static str, usize>>>,
}

impl Readiness {
    /// Nothing blocks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Blocks readiness under this name until the blocker is dropped.
    pub fn block(&self, name: &'static str) -> Blocker {
        self.blockers
            .send_modify(|names| *names.entry(name).or_default() += 1);
        Blocker {
            name,
            readiness: self.clone(),
        }
    }

    /// The names that block now, in alphabetical order; empty when ready.
    pub fn blockers(&self) -> Vec<&'static str> {
        self.blockers.borrow().keys().copied().collect()
    }

    /// Whether nothing blocks.
    pub fn is_ready(&self) -> bool {
        self.blockers.borrow().is_empty()
    }

    /// Waits until nothing blocks.
    pub async fn ready(&self) {
        let mut seen = self.blockers.subscribe();
        let _closed = seen.wait_for(BTreeMap::is_empty).await;
    }
}

/// Blocks readiness while it lives.
#[derive(Debug)]
#[must_use = "dropping the blocker unblocks"]
pub struct Blocker {
    name: &'static str,
    readiness: Readiness,
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.readiness.blockers.send_modify(|names| {
            if let Some(count) = names.get_mut(self.name) {
                *count -= 1;
                if *count == 0 {
                    names.remove(self.name);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_only_when_the_last_blocker_of_each_name_is_gone() {
        let readiness = Readiness::new();
        let first = readiness.block("sync");
        let second = readiness.block("sync");
        drop(first);
        assert_eq!(readiness.blockers(), ["sync"]);
        drop(second);
        readiness.ready().await;
        assert!(readiness.is_ready());
    }
}
