//! An issuer's keys, kept for a while and asked for again within limits.
//!
//! A token with an unknown key ID may be signed with a new key, or be made up to have us ask the
//! issuer. So one request is under way at a time, whoever waits for it or leaves, and the next one
//! begins no sooner than [`MIN_INTERVAL`] after it ended, well or not.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use signet_crypto::PublicKey;
use signet_crypto::jose::JwsAlgorithm;
use signet_runtime::Tasks;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{FetchError, KeySet, KeySource, NoKey};

/// Between two requests to one issuer.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Keys older than this are asked for again while they are used: a key that the issuer withdrew
/// stops counting.
const REFRESH_AFTER: Duration = Duration::from_secs(3600);
/// Keys older than this are not used: an issuer that is away a whole day may have lost one.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// For all requests that one refresh takes.
const TIME_LIMIT: Duration = Duration::from_secs(12);

/// Why there is no key for a token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The issuer's keys, as they are now, do not hold it.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// The issuer's keys could not be had.
    #[error("the keys of {name} could not be had")]
    Unavailable {
        /// The issuer.
        name: String,
        /// Why.
        #[source]
        source: Arc<FetchError>,
    },
}

/// The keys of one issuer. Cloning is cheap and shares them.
#[derive(Clone)]
pub struct IssuerKeys {
    inner: Arc<Inner>,
    tasks: Tasks,
}

struct Inner {
    source: Box<dyn KeySource>,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    in_flight: bool,
    /// How the latest request ended, and when.
    ended: Option<(Instant, Result<(), Arc<FetchError>>)>,
}

struct Held {
    set: KeySet,
    since: Instant,
}

/// What the kept keys come to for one token.
enum Answer {
    Key(PublicKey),
    /// Ask the issuer, and look again.
    Ask,
    None(KeysError),
}

impl IssuerKeys {
    /// Asks for nothing yet. Requests run as tasks of their own, so that a caller who leaves neither
    /// stops nor repeats one.
    #[must_use]
    pub fn new(source: impl KeySource, tasks: Tasks) -> Self {
        let inner = Inner {
            source: Box::new(source),
            state: watch::Sender::new(State::default()),
        };
        Self {
            inner: Arc::new(inner),
            tasks,
        }
    }

    /// The key for a token of this key ID and algorithm.
    ///
    /// # Errors
    /// [`KeysError`] if the issuer has none, or is out of reach.
    pub async fn find(
        &self,
        key_id: Option<&str>,
        algorithm: JwsAlgorithm,
    ) -> Result<PublicKey, KeysError> {
        loop {
            let mut state = self.inner.state.subscribe();
            let answer = self.inner.look(key_id, algorithm, Instant::now());
            match answer {
                Answer::Key(key) => {
                    self.refresh_if_old();
                    return Ok(key);
                }
                Answer::None(error) => return Err(error),
                Answer::Ask => {
                    self.begin();
                    let ended = state.wait_for(|state| !state.in_flight).await;
                    drop(ended.expect("self holds the sender"));
                }
            }
        }
    }

    fn refresh_if_old(&self) {
        let is_old = {
            let state = self.inner.state.borrow();
            let now = Instant::now();
            let held = state.held.as_ref();
            held.is_some_and(|held| now - held.since >= REFRESH_AFTER) && state.may_ask(now)
        };
        if is_old {
            self.begin();
        }
    }

    /// Begins a request unless one is under way.
    fn begin(&self) {
        let begins = |state: &mut State| !std::mem::replace(&mut state.in_flight, true);
        if self.inner.state.send_if_modified(begins) {
            let inner = Arc::clone(&self.inner);
            self.tasks
                .spawn("keys of an issuer", async move { inner.refresh().await });
        }
    }
}

impl Inner {
    async fn refresh(&self) {
        let fetched = tokio::time::timeout(TIME_LIMIT, self.source.fetch()).await;
        let fetched = fetched.unwrap_or(Err(FetchError::Late)).map_err(Arc::new);
        self.state.send_modify(|state| {
            let now = Instant::now();
            self.note(state, &fetched);
            let ended = fetched.map(|set| state.held = Some(Held { set, since: now }));
            state.ended = Some((now, ended));
            state.in_flight = false;
        });
    }

    fn look(&self, key_id: Option<&str>, algorithm: JwsAlgorithm, now: Instant) -> Answer {
        let state = self.state.borrow();
        let held = state.held.as_ref();
        let held = held.filter(|held| now - held.since < MAX_AGE);
        let missing = match held.map(|held| held.set.find(key_id, algorithm)) {
            Some(Ok(key)) => return Answer::Key(key.clone()),
            // Another key would make it no clearer.
            Some(Err(error @ NoKey::Unnamed)) => return Answer::None(error.into()),
            Some(Err(error @ NoKey::Unknown)) => Some(error),
            None => None,
        };
        if state.in_flight || state.may_ask(now) {
            return Answer::Ask;
        }
        match (missing, &state.ended) {
            (_, Some((_, Err(source)))) => Answer::None(KeysError::Unavailable {
                name: self.source.name().to_owned(),
                source: Arc::clone(source),
            }),
            (missing, _) => Answer::None(missing.unwrap_or(NoKey::Unknown).into()),
        }
    }

    /// Says once that the keys cannot be had, and once that they can be again.
    fn note(&self, before: &State, fetched: &Result<KeySet, Arc<FetchError>>) {
        let failed_before = matches!(before.ended, Some((_, Err(_))));
        let issuer = self.source.name();
        match fetched {
            Err(error) if !failed_before => {
                let error = causes(error);
                tracing::warn!(issuer, error, "the keys of an OIDC issuer could not be had");
            }
            Ok(_) if failed_before => {
                tracing::info!(issuer, "the keys of an OIDC issuer can be had again");
            }
            _ => {}
        }
    }
}

impl State {
    fn may_ask(&self, now: Instant) -> bool {
        let ended = self.ended.as_ref();
        !self.in_flight && ended.is_none_or(|(at, _)| now - *at >= MIN_INTERVAL)
    }
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
