//! The kubelet's latest list, shared by all who ask.
//!
//! ```text
//! attestation of a known container ────────────────▶ the held list
//!             of an unknown one ──▶ newer: one request at a time, at most one each interval
//! run: while somebody uses the list, asks every second ──▶ changed
//! ```
//!
//! So a list in use is a second old, whatever the number of workloads. When the kubelet is away, the
//! list goes on answering for a while: a container's ID, pod and account never change, and those whom
//! it does not know wait.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use signet_runtime::{Backoff, Stop};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::kubelet::{KubeletError, PodSource};
use super::pods::Pods;

/// How often a list that is used is asked for again.
const REFRESH: Duration = Duration::from_secs(1);
/// A list of this age answers without a request.
const FRESH: Duration = Duration::from_secs(3);
/// How long a caller waits for a fresh list before one of the last minutes answers.
const PATIENCE: Duration = Duration::from_secs(1);
/// A list of this age answers no more: labels may have changed long ago.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The list is kept fresh for so long after its last use.
const IN_USE: Duration = Duration::from_secs(60);
/// What a list lacks is believed after this time even if the kubelet seems to have just started.
const STARTING: Duration = Duration::from_secs(30);
/// The longest pause between requests to a kubelet that does not answer.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Containers remembered as gone: a node starts some hundreds a day, and only those count whose
/// processes outlive them.
const MAX_GONE: usize = 10_000;

/// An answer, shared.
pub(super) type Answer = Result<Arc<Pods>, Arc<KubeletError>>;

/// The held list.
pub struct HeldPods {
    source: Box<dyn PodSource>,
    interval: Duration,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
    used: Notify,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Requests that ended.
    ended: u64,
    latest: Option<Answer>,
    last_begin: Option<Instant>,
    last_use: Option<Instant>,
    held: Option<Held>,
    gone: BTreeSet<String>,
    /// Since when the kubelet seems to be starting.
    starting: Option<Instant>,
}

struct Held {
    pods: Arc<Pods>,
    since: Instant,
    body: Bytes,
}

impl HeldPods {
    /// Of this kubelet, which is asked at most once each interval.
    pub fn new(source: impl PodSource + 'static, interval: Duration) -> Self {
        Self {
            source: Box::new(source),
            interval,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            used: Notify::new(),
            changed: watch::Sender::new(0),
        }
    }

    /// Keeps the list fresh while it is used.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        tokio::select! {
            () = stop.stopped() => {}
            () = self.refresh() => {}
        }
    }

    async fn refresh(&self) {
        let pause = REFRESH.max(self.interval);
        let mut backoff = Backoff::new(pause, MAX_PAUSE, 2.0);
        loop {
            if !self.is_in_use() {
                self.used.notified().await;
            }
            let ended = self.lock().ended;
            match self.newer(ended).await.1 {
                Ok(_) => {
                    backoff.reset();
                    sleep(pause).await;
                }
                Err(_) => sleep(backoff.next_delay()).await,
            }
        }
    }

    fn is_in_use(&self) -> bool {
        let last_use = self.lock().last_use;
        self.changed.receiver_count() > 0 || last_use.is_some_and(|at| at.elapsed() < IN_USE)
    }

    /// Changes whenever another list says something else of some pod.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        let changes = self.changed.subscribe();
        self.used.notify_one();
        changes
    }

    /// A list that is fresh, or the last one of a kubelet that does not answer; and the number to give
    /// to [`newer`](Self::newer).
    pub(super) async fn list(&self) -> (u64, Answer) {
        let seen = {
            let mut state = self.lock();
            state.last_use = Some(Instant::now());
            if let Some(pods) = state.held_for(FRESH) {
                return (state.ended, Ok(pods));
            }
            state.ended
        };
        self.used.notify_one();
        match timeout(PATIENCE, self.newer(seen)).await {
            Ok((ended, Ok(pods))) => (ended, Ok(pods)),
            Ok((ended, Err(error))) => (ended, self.lock().held_for(MAX_AGE).ok_or(error)),
            Err(_) => {
                let held = self.lock().held_for(MAX_AGE);
                match held {
                    Some(pods) => (seen, Ok(pods)),
                    None => self.newer(seen).await,
                }
            }
        }
    }

    /// How the first request ended that ended after `seen` others.
    pub(super) async fn newer(&self, seen: u64) -> (u64, Answer) {
        let _turn = self.turn.lock().await;
        let earliest = {
            let state = self.lock();
            if let Some(latest) = state.latest.clone().filter(|_| state.ended > seen) {
                return (state.ended, latest);
            }
            state.last_begin.map(|begin| begin + self.interval)
        };
        if let Some(earliest) = earliest {
            sleep_until(earliest).await;
        }
        self.lock().last_begin = Some(Instant::now());
        let answer = self.ask().await.map_err(Arc::new);
        self.take(answer)
    }

    /// Whether the kubelet had the container once and has it no more.
    pub(super) fn is_gone(&self, container: &str) -> bool {
        self.lock().gone.contains(container)
    }

    async fn ask(&self) -> Result<(Bytes, Arc<Pods>), KubeletError> {
        let body = self.source.fetch().await?;
        let same = {
            let state = self.lock();
            let same = state.held.as_ref().filter(|held| held.body == body);
            same.map(|held| held.pods.clone())
        };
        if let Some(pods) = same {
            return Ok((body, pods));
        }
        let (answer, parsed) = oneshot::channel();
        let text = body.clone();
        tokio::task::spawn_blocking(move || {
            // Nobody waits any more if this fails.
            let _ = answer.send(Pods::parse(&text));
        });
        let pods = parsed.await.map_err(|_| KubeletError::Interrupted)??;
        Ok((body, Arc::new(pods)))
    }

    fn take(&self, answer: Result<(Bytes, Arc<Pods>), Arc<KubeletError>>) -> (u64, Answer) {
        let mut state = self.lock();
        state.ended += 1;
        let answer = answer.map(|(body, pods)| {
            let (pods, differs) = state.replace(body, pods);
            if differs {
                self.changed.send_modify(|count| *count += 1);
            }
            pods
        });
        let before = state.latest.replace(answer.clone());
        log(before.as_ref(), &answer);
        (state.ended, answer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Callers may have given up long before: the operator hears of it at once, and once.
fn log(before: Option<&Answer>, now: &Answer) {
    match (before, now) {
        (Some(Err(before)), Err(now)) if before.to_string() == now.to_string() => {}
        (_, Err(error)) => {
            let error: &(dyn Error + 'static) = &**error;
            tracing::warn!(error, "the kubelet does not tell its pods");
        }
        (Some(Err(_)), Ok(_)) => tracing::info!("the kubelet tells its pods again"),
        (_, Ok(_)) => {}
    }
}

impl State {
    fn held_for(&self, age: Duration) -> Option<Arc<Pods>> {
        let held = self.held.as_ref()?;
        (held.since.elapsed() < age).then(|| held.pods.clone())
    }

    /// Takes a new list in, unless it is that of a kubelet that is starting, which does not count
    /// against what was known. Gives the list that counts, and whether it says something else.
    fn replace(&mut self, body: Bytes, pods: Arc<Pods>) -> (Arc<Pods>, bool) {
        let since = Instant::now();
        let Some(held) = &mut self.held else {
            self.held = Some(Held {
                pods: pods.clone(),
                since,
                body,
            });
            return (pods, true);
        };
        if pods.may_be_whole() {
            self.starting = None;
        } else if held.pods.may_be_whole()
            && self.starting.get_or_insert(since).elapsed() < STARTING
        {
            held.since = since;
            return (held.pods.clone(), false);
        }
        let differs = !pods.tells_the_same(&held.pods);
        let gone: Vec<_> = held.pods.gone_in(&pods).cloned().collect();
        if self.gone.len() + gone.len() > MAX_GONE {
            self.gone.clear();
        }
        self.gone.extend(gone);
        self.gone.retain(|id| !pods.has_container(id));
        self.held = Some(Held {
            pods: pods.clone(),
            since,
            body,
        });
        (pods, differs)
    }
}
