//! Waking those whom a change concerns.

use signet_spiffe::SpiffeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Who wants to hear of changes, by agent.
#[derive(Debug, Default, Clone)]
pub(super) struct Listeners(Arc<Mutex<HashMap<SpiffeId, Listened>>>);

/// How many listen, and how they are woken.
type Listened = (usize, watch::Sender<u64>);

impl Listeners {
    pub(super) fn add(&self, agent: &SpiffeId) -> Listener {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, sender) = all
            .entry(agent.clone())
            .or_insert_with(|| (0, watch::Sender::new(0)));
        *count += 1;
        let mut changes = sender.subscribe();
        changes.mark_unchanged();
        Listener {
            agent: agent.clone(),
            changes,
            listeners: self.clone(),
        }
    }

    pub(super) fn wake(&self, agent: &SpiffeId) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sender)) = all.get(agent) {
            sender.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn wake_all(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, sender) in all.values() {
            sender.send_modify(|count| *count += 1);
        }
    }
}

/// Hears of the changes that concern one agent; several between two looks are one.
#[derive(Debug)]
pub struct Listener {
    agent: SpiffeId,
    changes: watch::Receiver<u64>,
    listeners: Listeners,
}

impl Listener {
    /// Waits for a change since the last call.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut all = self
            .listeners
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = all.get_mut(&self.agent) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.agent);
            }
        }
    }
}
