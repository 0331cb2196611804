//! Polls a server that does not push: `SyncAuthorizedEntries` and the bundles, as SPIRE's agents do.

use super::Parts;
use crate::cache::Update;
use crate::rotate::Jitter;
use crate::upstream::{CallError, bundle_from_proto, entry_from_proto};
use futures::StreamExt;
use futures::stream;
use signet_model::Entry;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::bundle::v1::{GetBundleRequest, GetFederatedBundleRequest};
use signet_proto::spire::server::entry::v1 as proto;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::types;
use signet_runtime::Backoff;
use signet_spiffe::{Bundle, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

/// How much the interval varies, so that agents do not poll in step.
const SPREAD: f64 = 0.1;
/// The longest wait after errors, as SPIRE has it.
const MAX_WAIT: Duration = Duration::from_secs(240);
/// Federated bundles fetched at once.
const AT_ONCE: usize = 10;
/// Entries of one server message: SPIRE sends 500 of at most a few kilobytes.
const MAX_MESSAGE: usize = 64 << 20;
/// More than any agent is ever given.
const MAX_ENTRIES: usize = 1_000_000;
/// In polling, what is older than this makes a denied workload's call ask again.
const FRESH: Duration = Duration::from_secs(1);

/// A polling loop.
pub(super) struct Poll<'a> {
    parts: &'a Parts,
    jitter: &'a mut Jitter,
}

impl<'a> Poll<'a> {
    pub(super) fn new(parts: &'a Parts, jitter: &'a mut Jitter) -> Self {
        Self { parts, jitter }
    }

    /// Polls for about this long.
    pub(super) async fn run(&mut self, period: Duration) {
        self.parts.freshness.set_tolerance(FRESH);
        let until = Instant::now() + period;
        let mut backoff = Backoff::new(self.parts.interval, MAX_WAIT, 1.5);
        while Instant::now() < until {
            let wait = match self.once().await {
                Ok(()) => {
                    backoff.reset();
                    self.jitter.around(self.parts.interval, SPREAD)
                }
                Err(error) => {
                    tracing::warn!(%error, "could not sync with the server; what is held is served on");
                    backoff.next_delay()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.parts.freshness.asked() => {}
            }
        }
    }

    /// One round: the own bundle first, so that no SVID comes before its authority; then entries;
    /// then the bundles they federate with.
    async fn once(&self) -> Result<(), CallError> {
        let own = self.own_bundle().await?;
        let own_name = own.trust_domain.clone();
        let entries = self.entries().await?;
        let names: BTreeSet<_> = entries
            .iter()
            .flat_map(|entry| &entry.federates_with)
            .collect();
        let names = names.into_iter().filter(|name| **name != own_name).cloned();
        let mut bundles = vec![Arc::new(own)];
        bundles.extend(self.federated(names.collect()).await);
        self.parts.holdings.apply(Update {
            whole: true,
            entries,
            bundles,
            ..Update::default()
        });
        self.parts.freshness.confirm();
        Ok(())
    }

    async fn own_bundle(&self) -> Result<Bundle, CallError> {
        let request = GetBundleRequest { output_mask: None };
        let call = |channel| async move { BundleClient::new(channel).get_bundle(request).await };
        let message = self.parts.server.call(call).await?.into_inner();
        bundle_from_proto(message).map_err(|error| CallError::Transient {
            message: format!("the server sent an unusable bundle: {error}"),
        })
    }

    /// Each by itself: one that cannot be had keeps its last form and hinders nothing else.
    async fn federated(&self, names: Vec<TrustDomain>) -> Vec<Arc<Bundle>> {
        let fetches = names.into_iter().map(|name| self.federated_one(name));
        let fetched = stream::iter(fetches).buffer_unordered(AT_ONCE);
        fetched
            .filter_map(|bundle| async { bundle })
            .collect()
            .await
    }

    async fn federated_one(&self, name: TrustDomain) -> Option<Arc<Bundle>> {
        let request = GetFederatedBundleRequest {
            trust_domain: name.name().to_owned(),
            output_mask: None,
        };
        let call = |channel| async move {
            BundleClient::new(channel)
                .get_federated_bundle(request)
                .await
        };
        let reason = match self.parts.server.call(call).await {
            Ok(answer) => match bundle_from_proto(answer.into_inner()) {
                Ok(bundle) => return Some(Arc::new(bundle)),
                Err(error) => error.to_string(),
            },
            Err(CallError::Final {
                code: Code::NotFound,
                ..
            }) => return None,
            Err(error) => error.to_string(),
        };
        tracing::warn!(trust_domain = %name, %reason, "could not fetch a federated bundle");
        self.parts
            .holdings
            .read(|cache| cache.bundle(&name).cloned())
    }

    async fn entries(&self) -> Result<Vec<Arc<Entry>>, CallError> {
        let (channel, generation) = self.parts.server.channel().await?;
        let limit = crate::upstream::CALL_TIMEOUT;
        let exchange = self.exchange(EntryClient::new(channel));
        match tokio::time::timeout(limit, exchange).await {
            Ok(Ok(entries)) => Ok(entries),
            Ok(Err(status)) => Err(self.parts.server.sort(*status, generation).await),
            Err(_) => Err(CallError::Transient {
                message: format!("the entries did not arrive within {} s", limit.as_secs()),
            }),
        }
    }

    async fn exchange(
        &self,
        client: EntryClient<tonic::transport::Channel>,
    ) -> Result<Vec<Arc<Entry>>, Box<tonic::Status>> {
        let (out, requests) = mpsc::channel(1);
        let first = proto::SyncAuthorizedEntriesRequest {
            output_mask: Some(mask()),
            ids: Vec::new(),
        };
        out.try_send(first).expect("the queue is empty");
        let mut client = client.max_decoding_message_size(MAX_MESSAGE);
        let answers = client
            .sync_authorized_entries(ReceiverStream::new(requests))
            .await;
        let mut exchange = Exchange {
            out,
            answers: answers.map_err(Box::new)?.into_inner(),
            known: self.known(),
        };
        exchange.run().await
    }

    fn known(&self) -> BTreeMap<String, Arc<Entry>> {
        self.parts.holdings.read(|cache| {
            let held = cache.held();
            held.map(|held| (held.entry.id.to_string(), held.entry.clone()))
                .collect()
        })
    }
}

/// One run of the protocol.
struct Exchange {
    out: mpsc::Sender<proto::SyncAuthorizedEntriesRequest>,
    answers: Streaming<proto::SyncAuthorizedEntriesResponse>,
    /// What the agent holds, by entry id.
    known: BTreeMap<String, Arc<Entry>>,
}

type Answer = proto::SyncAuthorizedEntriesResponse;
type Fallible<T> = Result<T, Box<tonic::Status>>;

impl Exchange {
    /// The first answer holds either everything or the first page of revisions.
    async fn run(&mut self) -> Fallible<Vec<Arc<Entry>>> {
        let first = self.answer().await?;
        if first.entry_revisions.is_empty() {
            return Ok(self.usable(first.entries));
        }
        let page = first.entry_revisions.len();
        let mut entries = Vec::new();
        let mut wanted = BTreeSet::new();
        for revision in self.revisions(first).await? {
            match self.up_to_date(&revision) {
                Some(entry) => entries.push(entry),
                None => drop(wanted.insert(revision.id)),
            }
        }
        let wanted: Vec<_> = wanted.into_iter().collect();
        for ids in wanted.chunks(page) {
            let messages = self.fetch(ids).await?;
            entries.extend(self.usable(messages));
        }
        Ok(entries)
    }

    async fn revisions(&mut self, first: Answer) -> Fallible<Vec<proto::EntryRevision>> {
        let mut more = first.more;
        let mut revisions = first.entry_revisions;
        while more {
            let next = self.answer().await?;
            more = next.more;
            revisions.extend(next.entry_revisions);
            limited(revisions.len())?;
        }
        Ok(revisions)
    }

    async fn fetch(&mut self, ids: &[String]) -> Fallible<Vec<types::Entry>> {
        let request = proto::SyncAuthorizedEntriesRequest {
            output_mask: None,
            ids: ids.to_vec(),
        };
        let sent = self.out.send(request).await;
        sent.map_err(|_| tonic::Status::unavailable("the server ended the stream"))?;
        let mut entries = Vec::new();
        loop {
            let answer = self.answer().await?;
            entries.extend(answer.entries);
            limited(entries.len())?;
            if !answer.more {
                return Ok(entries);
            }
        }
    }

    async fn answer(&mut self) -> Fallible<Answer> {
        let answer = self.answers.message().await.map_err(Box::new)?;
        answer.ok_or_else(|| Box::new(tonic::Status::unavailable("the server ended the stream")))
    }

    fn up_to_date(&self, revision: &proto::EntryRevision) -> Option<Arc<Entry>> {
        let held = self.known.get(&revision.id)?;
        let created = held
            .created_at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let same = held.revision_number == revision.revision_number
            && i64::try_from(created.as_secs()) == Ok(revision.created_at);
        same.then(|| held.clone())
    }

    /// A malformed entry is named and left out; one that is held already keeps its old form.
    fn usable(&self, messages: Vec<types::Entry>) -> Vec<Arc<Entry>> {
        let entries = messages.into_iter().filter_map(|message| {
            let entry_id = message.id.clone();
            match entry_from_proto(message) {
                Ok(entry) => Some(Arc::new(entry)),
                Err(error) => {
                    tracing::warn!(%entry_id, %error, "an entry is malformed");
                    self.known.get(&entry_id).cloned()
                }
            }
        });
        entries.collect()
    }
}

fn limited(count: usize) -> Fallible<()> {
    if count > MAX_ENTRIES {
        let status = tonic::Status::resource_exhausted("the server sent too many entries");
        return Err(Box::new(status));
    }
    Ok(())
}

/// The fields the agent needs.
fn mask() -> types::EntryMask {
    types::EntryMask {
        spiffe_id: true,
        selectors: true,
        federates_with: true,
        admin: true,
        downstream: true,
        expires_at: true,
        revision_number: true,
        store_svid: true,
        hint: true,
        additional_attributes: true,
        created_at: true,
        ..types::EntryMask::default()
    }
}
