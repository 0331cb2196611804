//! Keys and certificate requests for a batch of entries, made beside the runtime's threads where
//! that takes long.

use super::csr::{CsrError, make_request};
use crate::upstream::X509Request;
use futures::{StreamExt, stream};
use signet_crypto::{KeyType, PrivateKey};
use signet_model::{Entry, EntryId};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

/// A batch with slow keys is small, so that the first SVIDs are not kept waiting for the last key.
const SLOW_BATCH: usize = 8;

/// A request under way, with the key that must not get lost meanwhile.
pub(super) struct Asked {
    pub(super) entry: Arc<Entry>,
    pub(super) key: PrivateKey,
    pub(super) request: X509Request,
}

/// A request, or why there is none for this entry.
pub(super) type Made = Result<Asked, (EntryId, CsrError)>;

impl Asked {
    fn new(entry: Arc<Entry>, key_type: KeyType) -> Made {
        let made = make_request(key_type, Some(&entry.spiffe_id));
        let (key, csr) = made.map_err(|error| (entry.id.clone(), error))?;
        Ok(Self {
            request: X509Request {
                entry_id: entry.id.clone(),
                csr,
            },
            key,
            entry,
        })
    }
}

/// How many entries make a batch with keys of this type, at most.
pub(super) fn batch_limit(key_type: KeyType) -> usize {
    if is_slow(key_type) {
        SLOW_BATCH
    } else {
        usize::MAX
    }
}

/// Makes a fresh key and a request for each entry. An RSA key takes tenths of a second or more: such
/// keys are made on half of the processors at most, and never where they would hold up a stream.
pub(super) async fn make_all(entries: &[Arc<Entry>], key_type: KeyType) -> Vec<Made> {
    let entries = entries.iter().cloned();
    if !is_slow(key_type) {
        return entries.map(|entry| Asked::new(entry, key_type)).collect();
    }
    let workers = available_parallelism().map_or(1, NonZeroUsize::get);
    // Each starts when it is first polled, so that `buffered` bounds how many there are.
    let making = entries.map(|entry| async move {
        let made = tokio::task::spawn_blocking(move || Asked::new(entry, key_type));
        made.await.expect("making a key does not panic")
    });
    let making = stream::iter(making).buffered((workers / 2).max(1));
    making.collect().await
}

fn is_slow(key_type: KeyType) -> bool {
    matches!(key_type, KeyType::Rsa2048 | KeyType::Rsa4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;
    use signet_spiffe::csr;

    #[tokio::test]
    async fn a_key_of_each_type_is_made_and_its_request_verifies() {
        let entries = [
            Arc::new(entry("a", &["unix:uid:1"])),
            Arc::new(entry("b", &["unix:uid:2"])),
        ];
        for key_type in KeyType::ALL {
            let made = make_all(&entries, key_type).await;
            assert_eq!(made.len(), 2);
            for (made, entry) in made.into_iter().zip(&entries) {
                let Ok(asked) = made else {
                    panic!("no {key_type} key")
                };
                let request = csr::verify(&asked.request.csr).expect("its signature holds");
                assert_eq!(request.public_key, *asked.key.public_key());
                assert_eq!(asked.key.key_type(), Some(key_type));
                assert_eq!(asked.entry.id, entry.id);
            }
        }
    }
}
