//! Rate limits: SPIRE's rates and status code, but an attested caller has a bucket of its own (by
//! agent, not by address), and attestation is a bounded number of places, so that a thousand nodes
//! behind one address come up within a minute while one address cannot take all places.

use signet_spiffe::SpiffeId;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Signings a second, and at once, of one caller: SPIRE's figure.
pub const SIGN_RATE: u32 = 500;
/// Status reports a second of one caller: SPIRE's figure.
pub const STATUS_RATE: u32 = 10;
/// Attestations under way at once. Each may wait for its node's answer to a challenge.
const ATTESTATIONS: usize = 256;
/// Of these, how many one address may have: a NAT gateway's nodes take turns, others get by.
const ATTESTATIONS_PER_ADDRESS: usize = 64;
/// Calls a second, of one address, that show no certificate and end in a record: attestations and
/// denials. A thousand nodes behind one address need a third of it; a flood must not fill the disk
/// with audit records.
const UNPROVED_RATE: u32 = 50;
/// How long a call waits for its turn before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Buckets that are kept; when there are more, the full ones are forgotten (they say nothing).
const MAX_BUCKETS: usize = 100_000;

/// The call asks for more than the limit gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// More at once than one second's worth.
    #[error("rate of {asked} exceeds the limit of {limit} per call")]
    TooMany {
        /// What the call asks for.
        asked: u32,
        /// What one call may ask for.
        limit: u32,
    },
    /// Its turn would come too late.
    #[error("rate limit exceeded; retry later")]
    TooLate,
}

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// An attested caller.
    Identity(SpiffeId),
    /// Anybody else.
    Address(Option<IpAddr>),
}

/// Token buckets by key; a call waits for its tokens.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: u32,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Negative when calls wait.
    tokens: f64,
    at: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Buckets that gain `rate` tokens a second and hold as many.
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Takes `count` tokens, waiting for them if need be.
    pub async fn take(&self, key: K, count: u32) -> Result<(), Exceeded> {
        let wait = self.reserve(key, count, Instant::now())?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn reserve(&self, key: K, count: u32, now: Instant) -> Result<Duration, Exceeded> {
        if count > self.rate {
            return Err(Exceeded::TooMany {
                asked: count,
                limit: self.rate,
            });
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| bucket.level(self.rate, now) < f64::from(self.rate));
        }
        let full = Bucket {
            tokens: f64::from(self.rate),
            at: now,
        };
        let bucket = buckets.entry(key).or_insert(full);
        let left = bucket.level(self.rate, now) - f64::from(count);
        let wait = Duration::from_secs_f64((-left).max(0.0) / f64::from(self.rate));
        if wait > MAX_WAIT {
            return Err(Exceeded::TooLate);
        }
        *bucket = Bucket {
            tokens: left,
            at: now,
        };
        Ok(wait)
    }
}

impl Bucket {
    fn level(&self, rate: u32, now: Instant) -> f64 {
        let gained = now.duration_since(self.at).as_secs_f64() * f64::from(rate);
        (self.tokens + gained).min(f64::from(rate))
    }
}

/// The limits of one server.
#[derive(Debug)]
pub struct Limits {
    csr: Option<Buckets<Source>>,
    jwt: Option<Buckets<Source>>,
    wit: Option<Buckets<Source>>,
    status: Buckets<Source>,
    unproved: Buckets<Option<IpAddr>>,
    attestations: Option<Attestations>,
}

impl Limits {
    /// Limits with SPIRE's two switches.
    pub fn new(attestation: bool, signing: bool) -> Self {
        let signing_buckets = || signing.then(|| Buckets::new(SIGN_RATE));
        Self {
            csr: signing_buckets(),
            jwt: signing_buckets(),
            wit: signing_buckets(),
            status: Buckets::new(STATUS_RATE),
            unproved: Buckets::new(UNPROVED_RATE),
            attestations: attestation.then(Attestations::default),
        }
    }

    /// Waits until `count` certificates may be signed for the caller.
    pub async fn csr(&self, source: Source, count: usize) -> Result<(), Exceeded> {
        take(self.csr.as_ref(), source, count).await
    }

    /// Waits until a JWT may be signed for the caller.
    pub async fn jwt(&self, source: Source) -> Result<(), Exceeded> {
        take(self.jwt.as_ref(), source, 1).await
    }

    /// Waits until `count` WIT-SVIDs may be signed for the caller.
    pub async fn wit(&self, source: Source, count: usize) -> Result<(), Exceeded> {
        take(self.wit.as_ref(), source, count).await
    }

    /// Waits until the caller may report its status.
    pub async fn status(&self, source: Source) -> Result<(), Exceeded> {
        take(Some(&self.status), source, 1).await
    }

    /// Waits until a caller without a certificate may be answered by something that is recorded.
    pub async fn unproved(&self, address: Option<IpAddr>) -> Result<(), Exceeded> {
        self.unproved.take(address, 1).await
    }

    /// Waits for a place to attest in; it is held until dropped.
    pub async fn attestation(&self, address: Option<IpAddr>) -> Result<Option<Place>, Exceeded> {
        match &self.attestations {
            None => Ok(None),
            Some(attestations) => {
                self.unproved(address).await?;
                attestations.enter(address).await.map(Some)
            }
        }
    }
}

async fn take(
    buckets: Option<&Buckets<Source>>,
    source: Source,
    count: usize,
) -> Result<(), Exceeded> {
    let Some(buckets) = buckets else {
        return Ok(());
    };
    buckets
        .take(source, u32::try_from(count).unwrap_or(u32::MAX))
        .await
}

#[derive(Debug)]
struct Attestations {
    places: Arc<Semaphore>,
    by_address: Mutex<HashMap<Option<IpAddr>, Arc<Semaphore>>>,
}

impl Default for Attestations {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(ATTESTATIONS)),
            by_address: Mutex::default(),
        }
    }
}

/// The right to attest now.
#[derive(Debug)]
pub struct Place {
    _of_address: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Attestations {
    async fn enter(&self, address: Option<IpAddr>) -> Result<Place, Exceeded> {
        let mine = self.of(address);
        let both = async {
            let of_address = mine.acquire_owned().await.ok()?;
            let of_all = self.places.clone().acquire_owned().await.ok()?;
            Some(Place {
                _of_address: of_address,
                _of_all: of_all,
            })
        };
        let place = tokio::time::timeout(MAX_WAIT, both).await.ok().flatten();
        place.ok_or(Exceeded::TooLate)
    }

    fn of(&self, address: Option<IpAddr>) -> Arc<Semaphore> {
        let mut all = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_BUCKETS {
            all.retain(|_, places| Arc::strong_count(places) > 1);
        }
        all.entry(address)
            .or_insert_with(|| Arc::new(Semaphore::new(ATTESTATIONS_PER_ADDRESS)))
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_for_its_tokens_and_others_do_not() {
        let buckets = Buckets::new(10);
        buckets.take("a", 10).await.unwrap();
        let begun = Instant::now();
        buckets.take("b", 10).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        buckets.take("a", 5).await.unwrap();
        assert!(
            begun.elapsed() >= Duration::from_millis(499),
            "{:?}",
            begun.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_seconds_worth_at_once_is_refused() {
        let buckets = Buckets::new(500);
        let exceeded = buckets.take("a", 501).await;
        assert_eq!(
            exceeded,
            Err(Exceeded::TooMany {
                asked: 501,
                limit: 500
            })
        );
        buckets.take("a", 500).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_would_come_too_late_is_refused_and_costs_nothing() {
        let buckets = Buckets::new(1);
        let now = Instant::now();
        for _ in 0..31 {
            buckets.reserve("a", 1, now).unwrap();
        }
        assert_eq!(buckets.reserve("a", 1, now), Err(Exceeded::TooLate));
        let later = now + Duration::from_secs(1);
        buckets.reserve("a", 1, later).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_take_all_places_of_attestation() {
        let limits = Limits::new(true, true);
        let greedy: IpAddr = [192, 0, 2, 1].into();
        let mut held = Vec::new();
        for _ in 0..ATTESTATIONS_PER_ADDRESS {
            held.push(limits.attestation(Some(greedy)).await.unwrap());
        }
        assert!(limits.attestation(Some(greedy)).await.is_err());
        assert!(
            limits
                .attestation(Some([192, 0, 2, 2].into()))
                .await
                .is_ok()
        );
        held.clear();
        assert!(limits.attestation(Some(greedy)).await.is_ok());
    }
}
