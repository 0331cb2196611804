//! When a place is written, and how soon again.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use signet_spiffe::TrustDomain;
use std::sync::Mutex;

/// Notes what it is given, and fails as often as told.
#[derive(Default)]
struct Place {
    held: Mutex<Vec<u64>>,
    failures: Mutex<u32>,
}

#[async_trait]
impl Publisher for Place {
    fn place(&self) -> String {
        "a place".to_owned()
    }

    async fn publish(&self, bundle: &Bundle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("away".into());
        }
        self.held.lock().unwrap().push(bundle.sequence);
        Ok(())
    }
}

fn bundle(sequence: u64) -> Option<Arc<Bundle>> {
    let empty = Bundle::empty(TrustDomain::parse("example.org").unwrap());
    Some(Arc::new(Bundle { sequence, ..empty }))
}

#[tokio::test]
async fn what_is_written_is_written_again_after_the_period_only() {
    let place = Arc::new(Place::default());
    let mut keeper = Keeper::new(place.clone());
    assert!(keeper.is_news(bundle(1).as_ref()));
    assert_eq!(keeper.look(bundle(1)).await, PERIOD);
    assert!(!keeper.is_news(bundle(1).as_ref()));
    assert!(keeper.is_news(bundle(2).as_ref()));
    assert_eq!(keeper.look(bundle(1)).await, PERIOD);
    assert_eq!(*place.held.lock().unwrap(), [1, 1]);
}

#[tokio::test]
async fn a_place_that_is_away_is_tried_at_growing_intervals_and_soon_for_a_new_bundle() {
    let place = Arc::new(Place::default());
    *place.failures.lock().unwrap() = 8;
    let mut keeper = Keeper::new(place.clone());
    let mut waits = Vec::new();
    for _ in 0..8 {
        waits.push(keeper.look(bundle(1)).await);
        assert!(!keeper.is_news(bundle(1).as_ref()), "nothing hurries");
    }
    assert!(waits[0] < Duration::from_secs(2), "{waits:?}");
    assert!(
        waits[7] > MAX_WAIT / 2 && waits[7] < MAX_WAIT * 2,
        "{waits:?}"
    );
    assert!(keeper.is_news(bundle(2).as_ref()));
    assert_eq!(keeper.look(bundle(2)).await, PERIOD);
    assert_eq!(*place.held.lock().unwrap(), [2]);
    *place.failures.lock().unwrap() = 1;
    assert!(
        keeper.look(bundle(2)).await < Duration::from_secs(2),
        "it starts over"
    );
}

#[tokio::test]
async fn without_a_bundle_nothing_is_written() {
    let place = Arc::new(Place::default());
    let mut keeper = Keeper::new(place.clone());
    assert_eq!(keeper.look(None).await, PERIOD);
    assert!(place.held.lock().unwrap().is_empty());
}
