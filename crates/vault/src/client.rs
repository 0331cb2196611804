//! A Vault that is logged in to, and stays so.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::json;
use signet_http::{Addresses, Client, Reach, Redirects};
use signet_runtime::{Backoff, Stop};
use tokio::time::Instant;

use crate::api::{self, Api, Call};
use crate::session::{Due, Granted, Lease, Session, TokenFacts};
use crate::settings::{Secret, Settings};
use crate::{Auth, VaultError};

/// The time for one request. RSA keys are made and signed with within a second or two.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// A list of 50,000 names of keys is shorter.
const MAX_ANSWER: usize = 4 << 20;
/// How often a request is sent while the Vault is out of reach; then the caller hears of it.
const ATTEMPTS: usize = 3;
/// A refusal is answered by a new login at most so often: it may be the policy and not the token.
const MIN_AGE: Duration = Duration::from_secs(10);
/// Between two attempts to renew a token.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A Vault, or OpenBao, that is logged in to.
#[derive(Debug)]
pub struct Vault {
    settings: Settings,
    session: Mutex<Arc<Session>>,
    /// One login at a time.
    login: tokio::sync::Mutex<()>,
    /// Whether it was said that it does not do its part.
    failing: AtomicBool,
}

impl Vault {
    /// Logs in.
    ///
    /// # Errors
    /// [`VaultError`] says which step failed.
    pub async fn connect(settings: Settings) -> Result<Arc<Self>, VaultError> {
        if settings.address.is_plain() {
            tracing::warn!(
                address = %settings.address,
                "Vault is asked without TLS: whoever is on the way sees the token"
            );
        }
        let mut attempts = Attempts::new();
        let session = loop {
            let outcome = open(&settings).await;
            match attempts.wait_after(&outcome) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => break outcome?,
            }
        };
        Ok(Arc::new(Self {
            settings,
            session: Mutex::new(Arc::new(session)),
            login: tokio::sync::Mutex::default(),
            failing: AtomicBool::new(false),
        }))
    }

    /// Renews the token, or logs in again, before it expires; until the stop signal.
    pub async fn keep_token(self: Arc<Self>, stop: Stop) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(PATIENCE.0, PATIENCE.1, 2.0);
        let mut not_before = Instant::now();
        let mut failing = false;
        loop {
            let due = self.due();
            let at = match due {
                Due::Renewal(at) | Due::Login(at) => at.max(not_before),
                Due::Nothing => {
                    stop.stopped().await;
                    return Ok(());
                }
            };
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = tokio::time::sleep_until(at) => {}
            }
            match self.refresh(due).await {
                Ok(()) => {
                    backoff.reset();
                    not_before = Instant::now();
                    if std::mem::take(&mut failing) {
                        tracing::info!("the token for Vault is renewed again");
                    }
                }
                Err(error) => {
                    not_before = Instant::now() + backoff.next_delay();
                    if !std::mem::replace(&mut failing, true) {
                        let error = causes(&error);
                        tracing::error!(error, "the token for Vault could not be renewed");
                    }
                }
            }
        }
    }

    /// Where it is, for messages.
    pub fn address(&self) -> String {
        self.settings.address.to_string()
    }

    /// Sends a call and gives the `data` of the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, VaultError> {
        api::data(call.path(), &self.send(call).await?)
    }

    /// Sends a call whose answer says no more than that it was done.
    pub(crate) async fn tell(&self, call: &Call) -> Result<(), VaultError> {
        self.send(call).await.map(drop)
    }

    async fn send(&self, call: &Call) -> Result<Bytes, VaultError> {
        let mut attempts = Attempts::new();
        loop {
            let outcome = self.once(call).await;
            match attempts.wait_after(&outcome) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => {
                    self.note(outcome.as_ref().err());
                    return outcome;
                }
            }
        }
    }

    /// Says once that it does not do its part, and once that it does again.
    fn note(&self, error: Option<&VaultError>) {
        let failed = error.filter(|error| error.is_transient() || error.is_denied());
        let failing = self.failing.swap(failed.is_some(), Ordering::Relaxed);
        match failed {
            Some(error) if !failing => {
                let (address, error) = (self.address(), causes(error));
                tracing::error!(address, error, "Vault does not do its part");
            }
            None if failing => {
                tracing::info!(address = self.address(), "Vault does its part again");
            }
            _ => {}
        }
    }

    async fn once(&self, call: &Call) -> Result<Bytes, VaultError> {
        let session = self.usable().await?;
        match session.api.send(call, Some(&session.token)).await {
            Err(error) if error.is_denied() => match self.replace(&session, MIN_AGE).await {
                Ok(Some(next)) => next.api.send(call, Some(&next.token)).await,
                // The denial says more than what became of the second login.
                _ => Err(error),
            },
            done => done,
        }
    }

    /// The session in use, or a new one if its token is over.
    async fn usable(&self) -> Result<Arc<Session>, VaultError> {
        let session = self.current();
        if !session.lease.is_over(Instant::now()) {
            return Ok(session);
        }
        let next = self.replace(&session, Duration::ZERO).await?;
        next.ok_or(VaultError::Expired)
    }

    /// Logs in again, unless that was done meanwhile. Nothing if it cannot be done, or `used` is
    /// younger than `min_age`.
    async fn replace(
        &self,
        used: &Arc<Session>,
        min_age: Duration,
    ) -> Result<Option<Arc<Session>>, VaultError> {
        let _one = self.login.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, used) {
            return Ok(Some(current));
        }
        if !self.settings.auth.logs_in() || used.lease.granted.elapsed() < min_age {
            return Ok(None);
        }
        let next = Arc::new(open(&self.settings).await?);
        self.set(Arc::clone(&next));
        Ok(Some(next))
    }

    async fn refresh(&self, due: Due) -> Result<(), VaultError> {
        let session = self.current();
        if let Due::Renewal(_) = due {
            match renew(&session).await {
                Ok(renewed) => {
                    let _one = self.login.lock().await;
                    if Arc::ptr_eq(&self.current(), &session) {
                        self.set(Arc::new(renewed));
                    }
                    return Ok(());
                }
                Err(error) if error.is_transient() || !self.settings.auth.logs_in() => {
                    return Err(error);
                }
                // It cannot be renewed any more.
                Err(_) => {}
            }
        }
        let replaced = self.replace(&session, Duration::ZERO).await?;
        replaced.map(drop).ok_or(VaultError::Expired)
    }

    fn due(&self) -> Due {
        self.current().lease.due()
    }

    fn current(&self) -> Arc<Session> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&session)
    }

    fn set(&self, session: Arc<Session>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

/// How often something that may do better in a moment is tried.
struct Attempts {
    left: usize,
    backoff: Backoff,
}

impl Attempts {
    fn new() -> Self {
        Self {
            left: ATTEMPTS,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 4.0),
        }
    }

    /// How long to wait before another attempt; nothing if this was the last.
    fn wait_after<T>(&mut self, outcome: &Result<T, VaultError>) -> Option<Duration> {
        self.left -= 1;
        let failed = outcome.as_ref().err()?;
        let again = self.left > 0 && failed.may_be_repeated();
        again.then(|| self.backoff.next_delay())
    }
}

/// Logs in, or asks what the given token is worth.
async fn open(settings: &Settings) -> Result<Session, VaultError> {
    let api = Api {
        http: http(settings)?,
        address: settings.address.clone(),
        namespace: settings.namespace.clone(),
    };
    let granted = Instant::now();
    if let Auth::Token(token) = &settings.auth {
        let call = Call::read("auth/token/lookup-self".to_owned());
        let body = api.send(&call, Some(token)).await?;
        let facts: TokenFacts = api::data(call.path(), &body)?;
        return Ok(Session {
            token: token.clone(),
            api,
            lease: Lease::new(granted, facts.ttl, facts.renewable),
        });
    }
    let call = settings.auth.login().await?;
    let call = call.expect("every other way to a token is a call");
    let body = api.send(&call, None).await?;
    let Granted { auth } = api::parse(call.path(), &body)?;
    Ok(Session {
        lease: Lease::new(granted, auth.lease_duration, auth.renewable),
        token: Secret::new(auth.client_token),
        api,
    })
}

fn http(settings: &Settings) -> Result<Client, VaultError> {
    let reach = if settings.address.is_plain() {
        Reach::Plain
    } else {
        Reach::Https {
            roots: settings.roots.clone(),
            certificate: settings.auth.client_certificate()?,
        }
    };
    let settings = signet_http::Settings {
        time_limit: TIME_LIMIT,
        max_answer: MAX_ANSWER,
        reach,
        // A standby node points to the active one.
        redirects: Redirects::Followed(1),
        // The operator wrote the address.
        addresses: Addresses::Any,
    };
    Client::new(settings).map_err(VaultError::SetUp)
}

async fn renew(session: &Session) -> Result<Session, VaultError> {
    let granted = Instant::now();
    let call = Call::write("auth/token/renew-self".to_owned(), json!({}));
    let body = session.api.send(&call, Some(&session.token)).await?;
    let Granted { auth } = api::parse(call.path(), &body)?;
    let lease = session
        .lease
        .renewed(granted, auth.lease_duration, auth.renewable);
    Ok(Session {
        lease,
        ..session.clone()
    })
}

/// An error with its causes on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
