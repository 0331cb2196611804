//! The tokens by what they are for, and a bound on how many.

use signet_model::{Entry, EntryId};
use signet_spiffe::SpiffeId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// What a token is for. Audiences in another order are the same; the SPIFFE ID is part of it since
/// an entry may be given another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The entry.
    pub entry_id: EntryId,
    /// The identity that the entry gives.
    pub spiffe_id: SpiffeId,
    /// The audiences in order.
    pub audience: Vec<String>,
}

impl Key {
    /// What a token of this entry for these audiences is filed under.
    pub fn new(entry: &Entry, audience: &[String]) -> Self {
        let mut audience = audience.to_vec();
        audience.sort();
        Self {
            entry_id: entry.id.clone(),
            spiffe_id: entry.spiffe_id.clone(),
            audience,
        }
    }
}

/// A token as it is held.
pub(super) struct Token {
    pub(super) text: Arc<str>,
    pub(super) key_id: Option<String>,
    pub(super) refresh_at: SystemTime,
    pub(super) expires_at: SystemTime,
}

/// The place of one key.
pub(super) struct Slot<F> {
    pub(super) token: Option<Arc<Token>>,
    /// The call under way, shared by all who wait for it.
    pub(super) flight: Option<F>,
    /// Until when a valid token is given without another try to renew it.
    pub(super) pause_until: Option<SystemTime>,
    used: u64,
}

/// A bounded map that forgets what was unused for longest.
pub(super) struct Store<F> {
    max: usize,
    slots: HashMap<Key, Slot<F>>,
    uses: u64,
}

impl<F> Store<F> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            slots: HashMap::new(),
            uses: 0,
        }
    }

    /// The place of this key, made if needed, and counted as used now.
    pub(super) fn slot(&mut self, key: &Key) -> &mut Slot<F> {
        self.uses += 1;
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot {
            token: None,
            flight: None,
            pause_until: None,
            used: 0,
        });
        slot.used = self.uses;
        slot
    }

    /// Makes room: for tokens up to the limit, and for as many calls that were given up.
    pub(super) fn evict(&mut self) {
        while self.len() > self.max {
            self.forget_oldest(|slot| slot.token.is_some());
        }
        while self.slots.len() > 2 * self.max {
            self.forget_oldest(|slot| slot.token.is_none());
        }
    }

    fn forget_oldest(&mut self, which: impl Fn(&Slot<F>) -> bool) {
        let slots = self.slots.iter().filter(|(_, slot)| which(slot));
        let oldest = slots.min_by_key(|(_, slot)| slot.used);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.slots.remove(&key);
        }
    }

    /// Forgets a key under which there is nothing.
    pub(super) fn forget_if_empty(&mut self, key: &Key) {
        let slot = self.slots.get(key);
        if slot.is_some_and(|slot| slot.token.is_none() && slot.flight.is_none()) {
            self.slots.remove(key);
        }
    }

    pub(super) fn drop_where(&mut self, unwanted: impl Fn(&Token) -> bool) -> usize {
        let before = self.slots.len();
        self.slots.retain(|_, slot| {
            let token = slot.token.as_deref();
            !token.is_some_and(&unwanted)
        });
        before - self.slots.len()
    }

    pub(super) fn len(&self) -> usize {
        let slots = self.slots.values();
        slots.filter(|slot| slot.token.is_some()).count()
    }
}
