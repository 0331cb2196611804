//! Where in the server's history the agent stands, and the assembly of one update.

use crate::cache::Update;
use crate::upstream::{bundle_from_proto, entry_from_proto};
use signet_model::EntryId;
use signet_proto::signet::sync::v1::{Begin, Page};
use signet_spiffe::TrustDomain;
use std::sync::Arc;

/// More than any agent is ever given; beyond it the server is broken.
const MAX_ENTRIES: usize = 1_000_000;

/// The last update that was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the server's store.
    pub epoch: Vec<u8>,
    /// The revision within it.
    pub revision: u64,
}

impl Position {
    /// Whether an update that begins so may be applied: within one epoch nothing goes back.
    pub fn accepts(&self, begin: &Begin) -> bool {
        self.epoch != begin.store_epoch.as_ref() || begin.revision >= self.revision
    }
}

/// An update under way.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) begin: Begin,
    update: Update,
}

impl Assembly {
    pub(super) fn new(begin: Begin) -> Self {
        let update = Update {
            whole: begin.full,
            ..Update::default()
        };
        Self { begin, update }
    }

    /// Adds a page. What is malformed is named and left out; of an entry that is held already the
    /// old form stays, unless the update is whole.
    pub(super) fn add(&mut self, page: Page) -> Result<(), &'static str> {
        let update = &mut self.update;
        let marks = page.marks.into_iter().map(Some);
        let marks = marks.chain(std::iter::repeat(None));
        for (message, mark) in page.upserts.into_iter().zip(marks) {
            let entry_id = message.id.clone();
            match entry_from_proto(message) {
                Ok(entry) => {
                    update
                        .marks
                        .extend(mark.map(|mark| (entry.id.clone(), mark)));
                    update.entries.push(Arc::new(entry));
                }
                Err(error) => tracing::warn!(%entry_id, %error, "left out an entry"),
            }
        }
        for message in page.bundles {
            let trust_domain = message.trust_domain.clone();
            match bundle_from_proto(message) {
                Ok(bundle) => update.bundles.push(Arc::new(bundle)),
                Err(error) => tracing::warn!(%trust_domain, %error, "left out a bundle"),
            }
        }
        let ids = page.deletes.iter().filter_map(|id| EntryId::parse(id).ok());
        update.removed_entries.extend(ids);
        let names = page.removed_bundles.iter();
        let names = names.filter_map(|name| TrustDomain::from_name_or_id(name).ok());
        update.removed_bundles.extend(names);
        let count = update.entries.len() + update.removed_entries.len() + update.bundles.len();
        if count > MAX_ENTRIES {
            return Err("the server sent more than any agent is given");
        }
        Ok(())
    }

    pub(super) fn finish(self) -> (Position, Update) {
        let position = Position {
            epoch: self.begin.store_epoch.to_vec(),
            revision: self.begin.revision,
        };
        (position, self.update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(epoch: &'static [u8], revision: u64) -> Begin {
        Begin {
            store_epoch: epoch.into(),
            revision,
            full: false,
        }
    }

    #[test]
    fn nothing_goes_back_within_an_epoch_and_a_new_epoch_starts_anew() {
        let position = Position {
            epoch: b"one".to_vec(),
            revision: 7,
        };
        assert!(position.accepts(&begin(b"one", 7)));
        assert!(position.accepts(&begin(b"one", 8)));
        assert!(!position.accepts(&begin(b"one", 6)));
        assert!(position.accepts(&begin(b"two", 1)));
    }

    #[test]
    fn a_malformed_entry_is_left_out_and_the_page_counts() {
        let mut assembly = Assembly::new(begin(b"one", 1));
        let bad = signet_proto::spire::types::Entry {
            id: "bad".to_owned(),
            ..Default::default()
        };
        let page = Page {
            upserts: vec![bad],
            deletes: vec!["gone".to_owned()],
            ..Page::default()
        };
        assembly.add(page).expect("within the limits");
        let (_, update) = assembly.finish();
        assert!(update.entries.is_empty());
        assert_eq!(update.removed_entries.len(), 1);
    }
}
