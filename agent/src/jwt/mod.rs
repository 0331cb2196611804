//! JWT-SVIDs: fetched when a workload asks, shared by all workloads that ask for the same, renewed
//! at half life.
//!
//! Callers that miss together share one call to the server. A token that is still valid is better
//! than an error: it is given when a renewal fails. A token waits for the bundle that has its key, or
//! its holder would show it to peers who cannot know it. A token of a key that is tainted, or that left
//! the bundle, is given to nobody from the moment the agent knows.

mod keys;
mod store;

pub use store::Key;

use crate::rotate::{Jitter, SvidPolicy, rotate_at};
use crate::upstream::{CALL_TIMEOUT, CallError, NewJwt, Server};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use keys::JwtKeys;
use signet_model::Entry;
use signet_runtime::{Backoff, Clock};
use signet_spiffe::{Bundle, jwt_svid};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use store::{Store, Token};
use tokio::sync::watch;

/// How many tokens are kept when the operator does not say.
pub const DEFAULT_CACHE_MAX: usize = 1000;
/// How long a caller waits for a renewal while there is a valid token: a late token is worse than
/// one that is past its half life.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a token waits for the bundle that has its key. Pushes take milliseconds, and a renewal
/// must not run out of its own patience.
const KEY_PATIENCE: Duration = Duration::from_secs(3);
/// The wait between two tries of one call.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// After a failed renewal, how long the valid token is given without trying again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// What the operator decided about JWT-SVIDs.
#[derive(Debug, Clone, Copy)]
pub struct JwtConfig {
    /// How many tokens are kept at most.
    pub cache_max: usize,
    /// When a token is renewed.
    pub policy: SvidPolicy,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            cache_max: DEFAULT_CACHE_MAX,
            policy: SvidPolicy::default(),
        }
    }
}

/// Why there is no JWT-SVID.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JwtError {
    /// The server did not give one.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The server gave something else than what was asked for.
    #[error("the server's token is not what was asked for: {what}")]
    Wrong {
        /// In what it differs.
        what: String,
    },
    /// The server did not answer in time.
    #[error("the server did not answer within {} s", .after.as_secs())]
    Late {
        /// The limit.
        after: Duration,
    },
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Token>, JwtError>>>;

/// Gives JWT-SVIDs from the cache or from the server.
pub struct JwtSvids {
    server: Arc<dyn Server>,
    clock: Arc<dyn Clock>,
    config: JwtConfig,
    inner: Mutex<Inner>,
}

struct Inner {
    store: Store<Flight>,
    jitter: Jitter,
    /// The own bundle, whose keys the tokens are signed with.
    bundle: OwnBundle,
    keys: JwtKeys,
}

type OwnBundle = watch::Receiver<Option<Arc<Bundle>>>;

impl JwtSvids {
    /// An empty cache in front of this server, which follows the own bundle.
    pub fn new(
        server: Arc<dyn Server>,
        clock: Arc<dyn Clock>,
        mut bundle: OwnBundle,
        config: JwtConfig,
        jitter: Jitter,
    ) -> Arc<Self> {
        bundle.mark_changed();
        let inner = Inner {
            store: Store::new(config.cache_max),
            jitter,
            bundle,
            keys: JwtKeys::default(),
        };
        Arc::new(Self {
            server,
            clock,
            config,
            inner: Mutex::new(inner),
        })
    }

    /// A token of this entry for these audiences. An entry whose tokens carry a `jti` gets a new
    /// one each time.
    pub async fn get(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        audience: &[String],
    ) -> Result<Arc<str>, JwtError> {
        let key = Key::new(entry, audience);
        if entry.jwt_svid_include_jti {
            let call = self.clone().call(key, audience.to_vec(), true);
            return Ok(within(CALL_TIMEOUT, call).await?.text.clone());
        }
        let (valid, flight) = match self.look_up(&key, audience) {
            Found::Fresh(token) => return Ok(token.text.clone()),
            Found::Renew { valid, flight } => (valid, flight),
        };
        let limit = valid.as_ref().map_or(CALL_TIMEOUT, |_| RENEWAL_PATIENCE);
        let fetched = within(limit, flight).await;
        self.settle(&key, valid, fetched)
    }

    /// How many tokens are held.
    pub fn len(&self) -> usize {
        self.lock().store.len()
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn look_up(self: &Arc<Self>, key: &Key, audience: &[String]) -> Found {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.store.evict();
        let slot = inner.store.slot(key);
        let valid = slot.token.clone().filter(|token| now < token.expires_at);
        if let Some(token) = &valid
            && (now < token.refresh_at || slot.pause_until.is_some_and(|until| now < until))
        {
            return Found::Fresh(token.clone());
        }
        let retry = valid.is_none();
        let flight = slot.flight.get_or_insert_with(|| {
            let call = self.clone().call(key.clone(), audience.to_vec(), retry);
            call.boxed().shared()
        });
        Found::Renew {
            flight: flight.clone(),
            valid,
        }
    }

    /// Files what a call brought and answers the caller.
    fn settle(
        &self,
        key: &Key,
        valid: Option<Arc<Token>>,
        fetched: Result<Arc<Token>, JwtError>,
    ) -> Result<Arc<str>, JwtError> {
        let now = self.clock.now();
        let mut inner = self.lock();
        // The key may have been lost while this caller waited.
        let fetched = fetched.and_then(|token| inner.good(token).ok_or_else(|| lost_key().into()));
        let valid = valid.and_then(|token| inner.good(token));
        let slot = inner.store.slot(key);
        slot.flight = slot.flight.take().filter(|flight| flight.peek().is_none());
        match (fetched, valid) {
            (Ok(token), _) => {
                slot.token = Some(token.clone());
                slot.pause_until = None;
                inner.store.evict();
                Ok(token.text.clone())
            }
            (Err(error), Some(valid)) if now < valid.expires_at => {
                tracing::warn!(spiffe_id = %key.spiffe_id, %error,
                    "could not renew a JWT-SVID; the one before is still valid");
                slot.pause_until = Some(now + RENEWAL_PAUSE);
                Ok(valid.text.clone())
            }
            (Err(error), _) => {
                inner.store.forget_if_empty(key);
                Err(error)
            }
        }
    }

    async fn call(
        self: Arc<Self>,
        key: Key,
        audience: Vec<String>,
        retry: bool,
    ) -> Result<Arc<Token>, JwtError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX, 1.5);
        loop {
            match self.ask(&key, &audience).await {
                Err(JwtError::Call(error)) if retry && error.is_transient() => {
                    tokio::time::sleep(backoff.next_delay()).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask(&self, key: &Key, audience: &[String]) -> Result<Arc<Token>, JwtError> {
        let jwt = self.server.new_jwt_svid(&key.entry_id, audience).await?;
        let token = Arc::new(self.check(key, jwt)?);
        self.until_known(&token).await;
        let good = self.lock().good(token);
        good.ok_or_else(|| lost_key().into())
    }

    /// Waits for the bundle that has the token's key: one that an operator lets sign at once may be
    /// here first, and whoever is shown the token verifies it by the bundle. If none comes, it is
    /// given all the same: others may know the key.
    async fn until_known(&self, token: &Token) {
        let Some(key_id) = &token.key_id else {
            return;
        };
        let mut bundle = self.lock().bundle.clone();
        let knows = |bundle: &Option<Arc<Bundle>>| {
            let keys = bundle.as_ref().map(|bundle| &bundle.jwt_authorities);
            keys.is_none_or(|keys| keys.iter().any(|key| key.key_id == *key_id))
        };
        if !self.lock().keys.signed(token) {
            let _ = tokio::time::timeout(KEY_PATIENCE, bundle.wait_for(knows)).await;
        }
    }

    /// Takes a token only if it names whom and what was asked for.
    fn check(&self, key: &Key, jwt: NewJwt) -> Result<Token, JwtError> {
        let wrong = |what: &str| JwtError::Wrong {
            what: what.to_owned(),
        };
        let parsed = jwt_svid::parse_unverified(&jwt.token);
        let parsed = parsed.map_err(|error| wrong(&error.to_string()))?;
        if parsed.id != key.spiffe_id {
            return Err(wrong("it names another SPIFFE ID"));
        }
        let given: BTreeSet<_> = parsed.audience.iter().collect();
        if !key.audience.iter().all(|one| given.contains(one)) {
            return Err(wrong("an audience is missing"));
        }
        let now = self.clock.now();
        let ends: SystemTime = parsed.expires_at.min(jwt.expires_at);
        let draw = self.lock().jitter.draw();
        Ok(Token {
            refresh_at: rotate_at(&self.config.policy, now, jwt.issued_at, ends, draw),
            expires_at: ends,
            key_id: parsed.key_id,
            text: jwt.token,
        })
    }

    /// The state, which knows the latest bundle: nobody is given what a lost key signed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain data: a panic elsewhere ends the program anyway.
        let mut inner = self
            .inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        inner.follow_bundle();
        inner
    }
}

impl Inner {
    fn follow_bundle(&mut self) {
        if !self.bundle.has_changed().unwrap_or(false) {
            return;
        }
        let Some(bundle) = self.bundle.borrow_and_update().clone() else {
            return;
        };
        self.keys.follow(&bundle);
        let keys = &self.keys;
        let dropped = self.store.drop_where(|token| keys.signed(token));
        if dropped > 0 {
            tracing::info!(dropped, "dropped JWT-SVIDs whose key is tainted or gone");
        }
    }

    /// The token, unless its key is lost.
    fn good(&self, token: Arc<Token>) -> Option<Arc<Token>> {
        (!self.keys.signed(&token)).then_some(token)
    }
}

/// A server that has not yet heard of the taint will have by the next try.
fn lost_key() -> CallError {
    CallError::Transient {
        message: "the server signed with a key that is tainted or gone".to_owned(),
    }
}

enum Found {
    Fresh(Arc<Token>),
    Renew {
        valid: Option<Arc<Token>>,
        flight: Flight,
    },
}

async fn within(
    limit: Duration,
    call: impl Future<Output = Result<Arc<Token>, JwtError>>,
) -> Result<Arc<Token>, JwtError> {
    let answer = tokio::time::timeout(limit, call).await;
    answer.unwrap_or(Err(JwtError::Late { after: limit }))
}

#[cfg(test)]
mod tests;
