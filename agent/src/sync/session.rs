//! One `Watch` stream: hello, updates in, acknowledgements out, heartbeats both ways.

use super::position::Assembly;
use super::{Parts, Position};
use crate::cache::Standing;
use crate::holdings::Holdings;
use crate::upstream::CallError;
use signet_crypto::sha256;
use signet_model::holdings_lines;
use signet_proto::signet::sync::v1 as proto;
use signet_proto::signet::sync::v1::sync_client::SyncClient;
use signet_proto::signet::sync::v1::watch_request::Message as Out;
use signet_proto::signet::sync::v1::watch_response::Message as In;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// How often each side says that it is there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// After this silence the server is taken for gone.
const SILENCE: Duration = Duration::from_secs(45);
/// With heartbeats at that pace, what is younger than this is fresh.
pub(super) const FRESH: Duration = Duration::from_secs(20);
/// Pairs in one message of holdings: under 1 MiB at 300 bytes each.
const HOLDINGS_PAGE: usize = 3000;
/// Pages are under 1 MiB; this leaves room for one large entry.
const MAX_MESSAGE: usize = 8 << 20;

/// Whether a new stream may take over from the old.
pub(super) enum Takeover {
    Confirmed,
    Failed(CallError),
}

/// An open stream.
pub(super) struct Session {
    parts: Parts,
    position: Arc<Mutex<Position>>,
    generation: u64,
    out: mpsc::Sender<proto::WatchRequest>,
    answers: Streaming<proto::WatchResponse>,
    assembly: Option<Assembly>,
    heard: Instant,
    beat: Interval,
    work: watch::Receiver<u64>,
    /// The revision whose SVIDs the server does not yet know to be served.
    unready: Option<u64>,
}

impl Session {
    /// Opens the stream and says what the agent holds.
    pub(super) async fn open(
        parts: &Parts,
        position: Arc<Mutex<Position>>,
        beside: bool,
    ) -> Result<Self, CallError> {
        let channel = if beside {
            parts.server.another_channel().await
        } else {
            parts.server.channel().await
        };
        let (channel, generation) = channel?;
        let (out, requests) = mpsc::channel(16);
        let hello = hello(parts, &current(&position));
        let queued = out.try_send(request(Out::Hello(hello)));
        queued.expect("the queue is empty");
        let mut client = SyncClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let opening = client.watch(ReceiverStream::new(requests));
        let opened = match tokio::time::timeout(SILENCE, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(status)) => return Err(parts.server.sort(status, generation).await),
            Err(_) => return Err(silent()),
        };
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        Ok(Self {
            work: parts.holdings.settled(),
            parts: parts.clone(),
            position,
            generation,
            out,
            answers: opened.into_inner(),
            assembly: None,
            heard: Instant::now(),
            beat,
            unready: None,
        })
    }

    /// Follows the stream until it breaks, and says why. May be given up and called again.
    pub(super) async fn follow(&mut self) -> CallError {
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    /// Follows the stream until the server has confirmed once that the agent is up to date.
    pub(super) async fn until_confirmed(&mut self) -> Takeover {
        loop {
            match self.step().await {
                Ok(true) => return Takeover::Confirmed,
                Ok(false) => {}
                Err(error) => return Takeover::Failed(error),
            }
        }
    }

    /// Does the next thing; true when the server confirmed that the agent is up to date.
    async fn step(&mut self) -> Result<bool, CallError> {
        tokio::select! {
            message = self.answers.message() => match message {
                Ok(Some(message)) => self.take(message).await,
                Ok(None) => Err(transient("the server ended the stream")),
                Err(status) => Err(self.parts.server.sort(status, self.generation).await),
            },
            () = tokio::time::sleep_until(self.heard + SILENCE) => Err(silent()),
            _ = self.beat.tick() => self.heartbeat().await,
            _ = self.work.changed() => self.acknowledge_ready().await,
        }
    }

    async fn take(&mut self, message: proto::WatchResponse) -> Result<bool, CallError> {
        self.heard = Instant::now();
        match message.message {
            Some(In::Begin(begin)) => self.begin(begin),
            Some(In::Page(page)) => self.page(page),
            Some(In::End(end)) => self.end(&end).await,
            Some(In::NeedHoldings(_)) => self.send_holdings().await,
            Some(In::Heartbeat(beat)) => Ok(self.heard_beat(&beat)),
            // A newer server may say more than we understand.
            None => Ok(false),
        }
    }

    fn begin(&mut self, begin: proto::Begin) -> Result<bool, CallError> {
        self.assembly = Some(Assembly::new(begin));
        Ok(false)
    }

    fn page(&mut self, page: proto::Page) -> Result<bool, CallError> {
        let assembly = self.assembly.as_mut();
        let assembly = assembly.ok_or_else(|| transient("a page came before its beginning"))?;
        assembly.add(page).map_err(transient)?;
        Ok(false)
    }

    /// Applies the update as a whole and acknowledges it.
    async fn end(&mut self, end: &proto::End) -> Result<bool, CallError> {
        let assembly = self.assembly.take();
        let assembly = assembly.ok_or_else(|| transient("an end came before its beginning"))?;
        if assembly.begin.revision != end.revision {
            return Err(transient(
                "an update ended with another revision than it began",
            ));
        }
        if !self.apply(assembly) {
            return Err(transient(
                "the server is behind what this agent has seen of it",
            ));
        }
        self.parts.freshness.confirm();
        self.unready = Some(end.revision);
        self.send(Out::Ack(proto::Ack {
            revision: end.revision,
            ready: false,
        }))
        .await?;
        self.acknowledge_ready().await?;
        Ok(true)
    }

    fn apply(&self, assembly: Assembly) -> bool {
        // Held over the whole, so that of two streams the one with the newer truth wins.
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        if !position.accepts(&assembly.begin) {
            return false;
        }
        let (next, update) = assembly.finish();
        tracing::debug!(
            revision = next.revision,
            whole = update.whole,
            "applied an update"
        );
        self.parts.holdings.apply(update);
        *position = next;
        true
    }

    /// Tells the server once everything of the last update is served, by workloads and by the agent
    /// itself, with nothing that a tainted authority signed.
    async fn acknowledge_ready(&mut self) -> Result<bool, CallError> {
        self.work.borrow_and_update();
        if let Some(revision) = self.unready
            && self.parts.holdings.is_settled(self.parts.cache_max)
            && self.is_soundly_attested()
        {
            self.unready = None;
            let ack = proto::Ack {
                revision,
                ready: true,
            };
            self.send(Out::Ack(ack)).await?;
        }
        Ok(false)
    }

    fn is_soundly_attested(&self) -> bool {
        let bundle = self.parts.holdings.own_bundle();
        let (bundle, member) = (bundle.borrow(), self.parts.member.borrow());
        let now = self.parts.clock.now();
        let standing = member
            .as_ref()
            .map(|own| own.standing(bundle.as_deref(), now));
        standing.is_none_or(|standing| standing == Standing::Sound)
    }

    /// The server beats only while the agent holds the truth, of the revision that it names.
    fn heard_beat(&self, beat: &proto::Heartbeat) -> bool {
        if self.assembly.is_some() {
            return false;
        }
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        position.revision = position.revision.max(beat.revision);
        self.parts.freshness.confirm();
        true
    }

    async fn heartbeat(&mut self) -> Result<bool, CallError> {
        let revision = current(&self.position).revision;
        let beat = proto::Heartbeat { revision };
        self.send(Out::Heartbeat(beat)).await
    }

    async fn send_holdings(&mut self) -> Result<bool, CallError> {
        let (entries, bundles) = list(&self.parts.holdings);
        let pages = entries.chunks(HOLDINGS_PAGE).count().max(1);
        for number in 0..pages {
            let page = entries
                .chunks(HOLDINGS_PAGE)
                .nth(number)
                .unwrap_or_default();
            let last = number + 1 == pages;
            let message = proto::Holdings {
                holdings: page.to_vec(),
                bundles: if last { bundles.clone() } else { Vec::new() },
                more: !last,
            };
            self.send(Out::Holdings(message)).await?;
        }
        Ok(false)
    }

    async fn send(&mut self, message: Out) -> Result<bool, CallError> {
        let sent = tokio::time::timeout(SILENCE, self.out.send(request(message))).await;
        match sent {
            Ok(Ok(())) => Ok(false),
            Ok(Err(_)) => Err(transient("the stream is closed")),
            Err(_) => Err(silent()),
        }
    }
}

fn hello(parts: &Parts, position: &Position) -> proto::Hello {
    let lines = parts.holdings.read(|cache| {
        let entries = cache.held().map(|held| {
            let entry = &held.entry;
            (&entry.id, held.mark, entry.created_at)
        });
        let bundles = cache
            .bundles()
            .map(|bundle| (&bundle.trust_domain, bundle.sequence));
        holdings_lines(entries, bundles)
    });
    proto::Hello {
        agent_version: parts.version.to_owned(),
        capabilities: Vec::new(),
        store_epoch: position.epoch.clone().into(),
        revision: position.revision,
        holdings_hash: sha256(&lines).to_vec().into(),
    }
}

fn list(holdings: &Holdings) -> (Vec<proto::Holding>, Vec<proto::BundleHolding>) {
    holdings.read(|cache| {
        let entries = cache.held().map(|held| {
            let created = held.entry.created_at.duration_since(UNIX_EPOCH);
            let seconds = created.unwrap_or_default().as_secs();
            proto::Holding {
                entry_id: held.entry.id.to_string(),
                entry_revision: held.mark,
                created_at: i64::try_from(seconds).unwrap_or(i64::MAX),
            }
        });
        let bundles = cache.bundles().map(|bundle| proto::BundleHolding {
            trust_domain: bundle.trust_domain.name().to_owned(),
            sequence_number: bundle.sequence,
        });
        (entries.collect(), bundles.collect())
    })
}

fn current(position: &Mutex<Position>) -> Position {
    position
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn request(message: Out) -> proto::WatchRequest {
    proto::WatchRequest {
        message: Some(message),
    }
}

fn transient(message: &str) -> CallError {
    CallError::Transient {
        message: message.to_owned(),
    }
}

fn silent() -> CallError {
    CallError::Transient {
        message: format!(
            "nothing was heard of the server for {} s",
            SILENCE.as_secs()
        ),
    }
}
