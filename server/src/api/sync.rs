//! `signet.sync.v1.Sync`: the stream by which an agent hears of changes at once.
//!
//! ```text
//! agent  ── Hello {epoch, revision, hash} ──▶  same hash: confirm with an empty update
//!        ◀── NeedHoldings ── (else) ── Holdings ──▶  difference
//!        ◀── Begin · Page… · End ──   ── Ack {revision, ready} ──▶
//!        ◀── Heartbeat ──▶  every 15 s both ways; 45 s of silence end the stream
//! ```
//!
//! A stream ends when the agent may no longer have it, and after 30 to 60 minutes, so that agents
//! spread over servers anew; the agent opens the next one first.

use super::{authorize, authorized, types};
use crate::agents::AgentFault;
use crate::caller::{Authorized, Caller};
use crate::issuer::Issuer;
use crate::state::Listener;
use crate::sync::{Difference, Holdings, Presence, Truth};
use rand::Rng;
use signet_model::{AgentReason, EntryId, Revision};
use signet_proto::signet::sync::v1 as api;
use signet_proto::signet::sync::v1::watch_request::Message as In;
use signet_proto::signet::sync::v1::watch_response::Message as Out;
use signet_proto::spire::types as wire;
use signet_runtime::Stop;
use signet_spiffe::{SpiffeId, TrustDomain};
use signet_tls::VerifiedPeer;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// How often each side says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After this silence the agent is taken for gone.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a stream lives: drawn between these.
const LIFE: (Duration, Duration) = (Duration::from_secs(30 * 60), Duration::from_secs(60 * 60));
/// A page is sent when it has this size, so that each message stays under 1 MiB with one more
/// entry of the largest size.
const PAGE_BYTES: usize = 512 * 1024;
/// Messages that may wait for a slow agent; then the server waits too, and sends one difference.
const QUEUE: usize = 4;
/// What an agent may hold: bounds what a hostile one makes the server keep.
const MAX_HOLDINGS: usize = 1_000_000;

type Answers = mpsc::Sender<Result<api::WatchResponse, Status>>;

/// The service.
#[derive(Debug, Clone)]
pub(super) struct SyncService {
    issuer: Arc<Issuer>,
    stop: Stop,
}

impl SyncService {
    /// The stop signal ends the streams, so that agents go elsewhere.
    pub(super) fn new(issuer: Arc<Issuer>, stop: Stop) -> Self {
        Self { issuer, stop }
    }
}

#[tonic::async_trait]
impl api::sync_server::Sync for SyncService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<api::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<api::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let by = authorized(&request)?;
        let (Some(agent), Caller::Peer { peer, .. }) = (by.agent(), &by.caller) else {
            return Err(Status::permission_denied("caller is not an agent"));
        };
        let (answers, sent) = mpsc::channel(QUEUE);
        let session = Session {
            listener: self.issuer.state.listen(agent),
            presence: self.issuer.online.enter(agent),
            agent: agent.clone(),
            peer: peer.clone(),
            issuer: self.issuer.clone(),
            requests: request.into_inner(),
            answers: answers.clone(),
            held: Holdings::default(),
            heard: Instant::now(),
        };
        let stop = self.stop.clone();
        let life = rand::rng().random_range(LIFE.0..LIFE.1);
        let driver = async move {
            let why = tokio::select! {
                why = session.run() => why,
                () = stop.stopped() => Status::unavailable("the server is stopping"),
                () = tokio::time::sleep(life) => Status::unavailable("the stream has had its time"),
            };
            tracing::debug!(
                caller = by_name(&by),
                reason = why.message(),
                "a sync stream ended"
            );
            let _gone = answers.send(Err(why)).await;
        };
        let answers = super::agent::driven_by(driver, ReceiverStream::new(sent));
        Ok(Response::new(Box::pin(answers)))
    }
}

fn by_name(by: &Authorized) -> String {
    by.caller.name()
}

/// One open stream.
struct Session {
    issuer: Arc<Issuer>,
    agent: SpiffeId,
    peer: Arc<VerifiedPeer>,
    listener: Listener,
    presence: Presence,
    requests: Streaming<api::WatchRequest>,
    answers: Answers,
    held: Holdings,
    heard: Instant,
}

impl Session {
    /// Runs until something ends the stream, and says what.
    async fn run(mut self) -> Status {
        match self.follow().await {
            Ok(()) => Status::unavailable("the agent closed the stream"),
            Err(status) => status,
        }
    }

    async fn follow(&mut self) -> Result<(), Status> {
        self.greet().await?;
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        loop {
            let left = self
                .peer
                .not_after()
                .duration_since(self.issuer.clock.now());
            let end_of_svid = tokio::time::sleep(left.unwrap_or_default());
            tokio::select! {
                request = self.requests.message() => match request? {
                    None => return Ok(()),
                    Some(request) => self.take(request)?,
                },
                () = self.listener.changed() => self.push().await?,
                _ = beat.tick() => self.beat().await?,
                () = end_of_svid => self.check()?,
                () = tokio::time::sleep_until(self.heard + SILENCE) => {
                    return Err(Status::unavailable("nothing was heard of the agent for 45 s"));
                }
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Status> {
        let Some(In::Hello(hello)) = self.hear().await? else {
            return Err(Status::invalid_argument(
                "the stream must begin with a hello",
            ));
        };
        let same_epoch = hello.store_epoch.as_ref() == self.issuer.state.epoch().as_slice();
        if same_epoch && Revision(hello.revision) > self.issuer.state.revision() {
            self.issuer.state.catch_up().await;
            if Revision(hello.revision) > self.issuer.state.revision() {
                let text = "this server is behind what the agent has seen; try another";
                return Err(Status::unavailable(text));
            }
        }
        if !hello.agent_version.is_empty() {
            self.note_version(&hello.agent_version).await?;
        }
        let truth = self.truth();
        if same_epoch && hello.holdings_hash.as_ref() == truth.hash() {
            self.held = truth.holdings();
        } else if !hello.holdings_hash.is_empty() && hello.revision > 0 {
            self.send(Out::NeedHoldings(api::NeedHoldings {})).await?;
            let held = self.read_holdings().await?;
            // A restored store counts its revisions from an older one on, for other content.
            self.held = match same_epoch {
                true => held,
                false => held.of_another_epoch(),
            };
        }
        self.push().await
    }

    /// A store that takes no writes keeps no agent from its entries.
    async fn note_version(&self, version: &str) -> Result<(), Status> {
        match self.issuer.note_version(&self.agent, version).await {
            Err(AgentFault::State(error)) => {
                let error = types::chain(&error);
                tracing::warn!(spiffe_id = %self.agent, error, "an agent's version was not noted");
                Ok(())
            }
            noted => noted.map_err(Status::from),
        }
    }

    async fn hear(&mut self) -> Result<Option<In>, Status> {
        let message = tokio::time::timeout(SILENCE, self.requests.message()).await;
        let message = message.map_err(|_| Status::unavailable("the agent says nothing"))??;
        self.heard = Instant::now();
        Ok(message.and_then(|message| message.message))
    }

    async fn read_holdings(&mut self) -> Result<Holdings, Status> {
        let mut held = Holdings::default();
        loop {
            let page = match self.hear().await? {
                Some(In::Holdings(page)) => page,
                Some(In::Heartbeat(_) | In::Ack(_)) => continue,
                _ => return Err(Status::invalid_argument("holdings were asked for")),
            };
            if held.entries.len() + page.holdings.len() > MAX_HOLDINGS {
                return Err(Status::invalid_argument(
                    "the agent holds more than it can be given",
                ));
            }
            add(&mut held, &page)?;
            if !page.more {
                return Ok(held);
            }
        }
    }

    fn take(&mut self, request: api::WatchRequest) -> Result<(), Status> {
        self.heard = Instant::now();
        match request.message {
            Some(In::Ack(ack)) => self.presence.acknowledge(Revision(ack.revision), ack.ready),
            Some(In::Heartbeat(_)) | None => {}
            Some(In::Hello(_) | In::Holdings(_)) => {
                return Err(Status::invalid_argument("this was not asked for"));
            }
        }
        Ok(())
    }

    /// Sends the difference between the truth and what the agent holds, which it then holds.
    async fn push(&mut self) -> Result<(), Status> {
        self.check()?;
        let truth = self.truth();
        let difference = truth.since(&self.held);
        let revision = truth.revision.0;
        let store_epoch = self.issuer.state.epoch().to_vec().into();
        self.send(Out::Begin(api::Begin {
            store_epoch,
            revision,
            full: false,
        }))
        .await?;
        for page in pages(&difference) {
            self.send(Out::Page(page)).await?;
        }
        self.send(Out::End(api::End { revision })).await?;
        self.held = truth.holdings();
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Status> {
        self.check()?;
        let revision = self.issuer.state.revision().0;
        // The revision is only confirmed if the agent holds its truth.
        if self.truth().since(&self.held).is_empty() {
            return self.send(Out::Heartbeat(api::Heartbeat { revision })).await;
        }
        self.push().await
    }

    fn truth(&self) -> Truth {
        let now = self.issuer.clock.now();
        let snapshot = self.issuer.state.read();
        Truth::of(&snapshot, &self.agent, self.issuer.state.revision(), now)
    }

    /// Whether the agent may still have this stream.
    fn check(&self) -> Result<(), Status> {
        let now = self.issuer.clock.now();
        let admission = {
            let snapshot = self.issuer.state.read();
            let agent = snapshot.index.agent(&self.agent).map(AsRef::as_ref);
            signet_model::admit(agent, self.peer.serial(), self.peer.not_after(), now)
        };
        let text = "authorization denied for method /signet.sync.v1.Sync/Watch".to_owned();
        match admission {
            Ok(_) => {}
            // The agent itself went over to a newer SVID; this is its old connection.
            Err(AgentReason::NotActive) => {
                return Err(Status::unavailable("the agent has a newer SVID"));
            }
            Err(reason) => return Err(authorize::permission_denied(text, reason)),
        }
        self.peer
            .recheck(&self.issuer.trust, now)
            .map_err(|_| Status::unauthenticated(text))
    }

    async fn send(&mut self, message: Out) -> Result<(), Status> {
        let message = api::WatchResponse {
            message: Some(message),
        };
        let sent = tokio::time::timeout(SILENCE, self.answers.send(Ok(message))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(Status::unavailable("the agent takes nothing")),
        }
    }
}

fn add(held: &mut Holdings, page: &api::Holdings) -> Result<(), Status> {
    let malformed = |_| Status::invalid_argument("malformed holdings");
    for holding in &page.holdings {
        let id = EntryId::parse(&holding.entry_id)
            .map_err(|_| Status::invalid_argument("malformed holdings"))?;
        let created = u64::try_from(holding.created_at).map_err(malformed)?;
        held.entries.insert(id, (holding.entry_revision, created));
    }
    for bundle in &page.bundles {
        let name = TrustDomain::from_name_or_id(&bundle.trust_domain)
            .map_err(|_| Status::invalid_argument("malformed holdings"))?;
        held.bundles.insert(name, bundle.sequence_number);
    }
    Ok(())
}

/// A difference in messages under 1 MiB.
fn pages(difference: &Difference) -> Vec<api::Page> {
    let mut pages = vec![api::Page::default()];
    let mut bytes = 0;
    let mut room = |pages: &mut Vec<api::Page>, size: usize| {
        if bytes > 0 && bytes + size > PAGE_BYTES {
            pages.push(api::Page::default());
            bytes = 0;
        }
        bytes += size;
    };
    for (form, entry) in &difference.entries {
        let entry = types::entry(entry);
        room(&mut pages, prost::Message::encoded_len(&entry));
        last(&mut pages).upserts.push(entry);
        last(&mut pages).marks.push(*form);
    }
    for (stamp, bundle) in &difference.bundles {
        let bundle = wire::Bundle {
            sequence_number: *stamp,
            ..types::bundle(bundle)
        };
        room(&mut pages, prost::Message::encoded_len(&bundle));
        last(&mut pages).bundles.push(bundle);
    }
    for id in &difference.gone {
        room(&mut pages, id.to_string().len());
        last(&mut pages).deletes.push(id.to_string());
    }
    for name in &difference.unused {
        room(&mut pages, name.name().len());
        last(&mut pages)
            .removed_bundles
            .push(name.name().to_owned());
    }
    pages
}

fn last(pages: &mut [api::Page]) -> &mut api::Page {
    pages.last_mut().expect("there is always a page")
}
