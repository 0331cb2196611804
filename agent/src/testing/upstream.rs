//! A server on the wire: real TLS and gRPC over streams in memory, with answers that a test sets.

use super::{Ca, HOUR, noon, spiffe_id, td};
use crate::upstream::{Connection, Connector, Dial, GrpcServer, Stream};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use prost::Message;
use signet_crypto::{KeyType, PrivateKey};
use signet_proto::signet::sync::v1 as sync;
use signet_proto::spire::server::agent::v1 as agent;
use signet_proto::spire::server::agent::v1::attest_agent_request::Step as Asked;
use signet_proto::spire::server::agent::v1::attest_agent_response as attest;
use signet_proto::spire::server::bundle::v1 as bundle;
use signet_proto::spire::server::entry::v1 as entry;
use signet_proto::spire::types;
use signet_runtime::{Clock, Tasks, TokioClock};
use signet_spiffe::csr;
use signet_tls::{
    Acceptor, Identity, KeyExchange, MemoryDialer, PeerInfo, ServerAddress, ServerTls, Trust,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// The other end of one `Watch` stream.
pub(crate) struct Watch {
    /// What the agent says.
    pub(crate) said: Streaming<sync::WatchRequest>,
    /// What the agent hears; dropping it ends the stream.
    pub(crate) answers: mpsc::Sender<Result<sync::WatchResponse, Status>>,
}

impl Watch {
    /// The next message of the agent.
    pub(crate) async fn hears(&mut self) -> sync::watch_request::Message {
        let message = self.said.message().await.expect("well").expect("open");
        message.message.expect("something")
    }

    /// As [`Watch::hears`], but passes over heartbeats.
    pub(crate) async fn hears_more_than_a_beat(&mut self) -> sync::watch_request::Message {
        loop {
            match self.hears().await {
                sync::watch_request::Message::Heartbeat(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn says(&self, message: sync::watch_response::Message) {
        let message = sync::WatchResponse {
            message: Some(message),
        };
        self.answers.send(Ok(message)).await.expect("open");
    }

    /// One whole update.
    pub(crate) async fn updates(&self, revision: u64, full: bool, page: sync::Page) {
        use sync::watch_response::Message as Out;
        let begin = sync::Begin {
            store_epoch: b"epoch".as_slice().into(),
            revision,
            full,
        };
        self.says(Out::Begin(begin)).await;
        self.says(Out::Page(page)).await;
        self.says(Out::End(sync::End { revision })).await;
    }
}

/// What the server answers.
pub(crate) struct Upstream {
    pub(crate) ca: Ca,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether `Watch` exists here; the streams then come out of [`Reached::watches`].
    pub(crate) pushes: bool,
    /// For polling: all entries.
    pub(crate) entries: Mutex<Vec<types::Entry>>,
    /// For polling: more entries than this are told by their revisions first.
    pub(crate) page: usize,
    /// The ids that were asked for, a list for each request.
    pub(crate) asked: Mutex<Vec<Vec<String>>>,
    /// Bundles of other trust domains, or why there is none.
    pub(crate) federated: Mutex<BTreeMap<String, Result<types::Bundle, Status>>>,
    /// What the next calls of an attested agent get instead of an answer.
    pub(crate) refusals: Mutex<VecDeque<Status>>,
    /// What the next attestations get instead of an SVID.
    pub(crate) attest_refusals: Mutex<VecDeque<Status>>,
    pub(crate) reattestable: bool,
    pub(crate) attested: AtomicUsize,
    pub(crate) renewed: AtomicUsize,
    pub(crate) life: Duration,
    watches: mpsc::UnboundedSender<Watch>,
}

/// A running server and the agent's way to it.
pub(crate) struct Reached {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) server: Arc<GrpcServer>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    /// Each stream that the agent opens.
    pub(crate) watches: mpsc::UnboundedReceiver<Watch>,
}

impl Reached {
    /// A server with these answers; must be called in a paused runtime.
    pub(crate) fn with(script: impl FnOnce(&mut Upstream)) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(noon()));
        let (sender, watches) = mpsc::unbounded_channel();
        let mut upstream = Upstream {
            ca: Ca::new(),
            clock: clock.clone(),
            pushes: true,
            entries: Mutex::default(),
            page: 500,
            asked: Mutex::default(),
            federated: Mutex::default(),
            refusals: Mutex::default(),
            attest_refusals: Mutex::default(),
            reattestable: false,
            attested: AtomicUsize::new(0),
            renewed: AtomicUsize::new(0),
            life: HOUR,
            watches: sender,
        };
        script(&mut upstream);
        let upstream = Arc::new(upstream);
        let tasks = Tasks::new();
        let dialer = serve(&upstream, &tasks);
        let connection = Arc::new(Connection::new(Connector {
            dial: Arc::new(Memory(dialer)),
            address: ServerAddress {
                host: "server.invalid".to_owned(),
                port: 1,
            },
            server_id: spiffe_id("/spire/server"),
            key_exchange: KeyExchange::default(),
            clock: clock.clone(),
        }));
        Self {
            server: Arc::new(GrpcServer::new(connection.clone())),
            upstream,
            connection,
            clock,
            tasks,
            watches,
        }
    }

    /// The agent has been attested before: it trusts the server and shows an SVID.
    pub(crate) fn attested(self) -> Self {
        let key = PrivateKey::generate(KeyType::EcP256).expect("made");
        let id = spiffe_id("/spire/agent/test/node");
        let chain = self
            .upstream
            .ca
            .issue(&id, key.public_key(), self.clock.now(), 100 * HOUR);
        self.connection.trust.set(&self.upstream.ca.bundle());
        self.connection.identity.set(&chain, &key).expect("fitting");
        self
    }

    /// The next stream that the agent opens.
    pub(crate) async fn watch(&mut self) -> Watch {
        self.watches.recv().await.expect("served")
    }
}

struct Memory(MemoryDialer);

impl Dial for Memory {
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let dialer = self.0.clone();
        Box::pin(async move { Ok(Box::new(dialer.dial().await?) as Box<dyn Stream>) })
    }
}

fn serve(upstream: &Arc<Upstream>, tasks: &Tasks) -> MemoryDialer {
    let key = PrivateKey::generate(KeyType::EcP256).expect("made");
    let id = spiffe_id("/spire/server");
    let now = upstream.clock.now();
    let chain = upstream.ca.issue(&id, key.public_key(), now, 900 * HOUR);
    let tls = ServerTls {
        identity: Arc::new(Identity::new(&chain, &key).expect("fitting")),
        trust: Arc::new(Trust::new([&upstream.ca.bundle()])),
        trust_domain: td(),
        foreign: BTreeSet::new(),
        key_exchange: KeyExchange::default(),
        clock: upstream.clock.clone(),
    };
    let (dialer, listener) = signet_tls::memory();
    let incoming = Acceptor::new(&tls, tasks)
        .expect("configured")
        .listen(listener);
    let service = Service(upstream.clone());
    let pushes = upstream
        .pushes
        .then(|| sync::sync_server::SyncServer::new(service.clone()));
    let serving = Server::builder()
        .add_service(agent::agent_server::AgentServer::new(service.clone()))
        .add_service(bundle::bundle_server::BundleServer::new(service.clone()))
        .add_service(entry::entry_server::EntryServer::new(service))
        .add_optional_service(pushes)
        .serve_with_incoming(incoming);
    tasks.spawn("server", async move { serving.await.expect("served") });
    dialer
}

/// A bundle as the server sends it.
pub(crate) fn wire_bundle(ca: &Ca, sequence: u64) -> types::Bundle {
    types::Bundle {
        trust_domain: "example.org".to_owned(),
        x509_authorities: vec![types::X509Certificate {
            asn1: ca.authority().der.to_vec().into(),
            tainted: false,
        }],
        sequence_number: sequence,
        ..types::Bundle::default()
    }
}

/// An entry as the server sends it.
pub(crate) fn wire_entry(id: &str, revision: i64) -> types::Entry {
    types::Entry {
        id: id.to_owned(),
        spiffe_id: Some(types::Spiffeid {
            trust_domain: "example.org".to_owned(),
            path: format!("/{id}"),
        }),
        selectors: vec![types::Selector {
            r#type: "unix".to_owned(),
            value: "uid:1".to_owned(),
        }],
        revision_number: revision,
        created_at: 1_700_000_000,
        ..types::Entry::default()
    }
}

/// A refusal of the agent with its reason, as the server sends it.
pub(crate) fn refused(reason: types::permission_denied_details::Reason) -> Status {
    #[derive(Clone, PartialEq, Message)]
    struct Rpc {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(message, repeated, tag = "3")]
        details: Vec<prost_types::Any>,
    }
    let detail = types::PermissionDeniedDetails {
        reason: reason.into(),
    };
    let rpc = Rpc {
        code: 7,
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/spire.api.types.PermissionDeniedDetails".to_owned(),
            value: detail.encode_to_vec(),
        }],
    };
    let bytes = rpc.encode_to_vec().into();
    Status::with_details(tonic::Code::PermissionDenied, "authorization denied", bytes)
}

#[derive(Clone)]
struct Service(Arc<Upstream>);

impl Service {
    /// Only an attested agent gets this far, unless the test wants it refused.
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let info = request.extensions().get::<PeerInfo>();
        if info.is_none_or(|info| info.peer.is_none()) {
            return Err(Status::permission_denied("not an agent"));
        }
        self.0
            .refusals
            .lock()
            .unwrap()
            .pop_front()
            .map_or(Ok(()), Err)
    }

    fn certify(&self, request: &[u8]) -> types::X509svid {
        let key = csr::verify(request).expect("our own request").public_key;
        let id = spiffe_id("/spire/agent/test/node");
        let chain = self.0.ca.issue(&id, &key, self.0.clock.now(), self.0.life);
        types::X509svid {
            cert_chain: chain.iter().map(|der| der.to_vec().into()).collect(),
            ..types::X509svid::default()
        }
    }
}

/// Implements a generated service whose other methods no agent calls.
macro_rules! service {
    ($service:path { $($given:tt)* } unused { $($name:ident($ask:ty) -> $answer:ty;)* }) => {
        #[tonic::async_trait]
        impl $service for Service {
            $($given)*
            $(
                async fn $name(&self, _: Request<$ask>) -> Result<Response<$answer>, Status> {
                    Err(Status::unimplemented("agents do not ask for this"))
                }
            )*
        }
    };
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl sync::sync_server::Sync for Service {
    type WatchStream = ReceiverStream<Result<sync::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<sync::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.check(&request)?;
        let (answers, sent) = mpsc::channel(16);
        let said = request.into_inner();
        let watch = Watch { said, answers };
        self.0
            .watches
            .send(watch)
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(sent)))
    }
}

service! {
    bundle::bundle_server::Bundle {
        async fn get_bundle(
            &self,
            _: Request<bundle::GetBundleRequest>,
        ) -> Result<Response<types::Bundle>, Status> {
            Ok(Response::new(wire_bundle(&self.0.ca, 1)))
        }

        async fn get_federated_bundle(
            &self,
            request: Request<bundle::GetFederatedBundleRequest>,
        ) -> Result<Response<types::Bundle>, Status> {
            self.check(&request)?;
            let known = self.0.federated.lock().unwrap();
            let found = known.get(&request.get_ref().trust_domain).cloned();
            found.unwrap_or(Err(Status::not_found("no bundle"))).map(Response::new)
        }
    }
    unused {
        count_bundles(bundle::CountBundlesRequest) -> bundle::CountBundlesResponse;
        append_bundle(bundle::AppendBundleRequest) -> types::Bundle;
        publish_jwt_authority(bundle::PublishJwtAuthorityRequest) -> bundle::PublishJwtAuthorityResponse;
        publish_wit_authority(bundle::PublishWitAuthorityRequest) -> bundle::PublishWitAuthorityResponse;
        list_federated_bundles(bundle::ListFederatedBundlesRequest) -> bundle::ListFederatedBundlesResponse;
        batch_create_federated_bundle(bundle::BatchCreateFederatedBundleRequest) -> bundle::BatchCreateFederatedBundleResponse;
        batch_update_federated_bundle(bundle::BatchUpdateFederatedBundleRequest) -> bundle::BatchUpdateFederatedBundleResponse;
        batch_set_federated_bundle(bundle::BatchSetFederatedBundleRequest) -> bundle::BatchSetFederatedBundleResponse;
        batch_delete_federated_bundle(bundle::BatchDeleteFederatedBundleRequest) -> bundle::BatchDeleteFederatedBundleResponse;
    }
}

service! {
    entry::entry_server::Entry {
        type SyncAuthorizedEntriesStream = Answers<entry::SyncAuthorizedEntriesResponse>;

        async fn sync_authorized_entries(
            &self,
            request: Request<Streaming<entry::SyncAuthorizedEntriesRequest>>,
        ) -> Result<Response<Self::SyncAuthorizedEntriesStream>, Status> {
            self.check(&request)?;
            let entries = self.0.entries.lock().unwrap().clone();
            let (out, sent) = mpsc::channel(16);
            let upstream = self.0.clone();
            let exchange = exchange(upstream, entries, request.into_inner(), out);
            let driver = futures::stream::once(exchange);
            let driver = futures::StreamExt::filter_map(driver, |()| async { None });
            let all = futures::stream::select(driver, ReceiverStream::new(sent));
            Ok(Response::new(Box::pin(all)))
        }
    }
    unused {
        count_entries(entry::CountEntriesRequest) -> entry::CountEntriesResponse;
        list_entries(entry::ListEntriesRequest) -> entry::ListEntriesResponse;
        get_entry(entry::GetEntryRequest) -> types::Entry;
        batch_create_entry(entry::BatchCreateEntryRequest) -> entry::BatchCreateEntryResponse;
        batch_update_entry(entry::BatchUpdateEntryRequest) -> entry::BatchUpdateEntryResponse;
        batch_delete_entry(entry::BatchDeleteEntryRequest) -> entry::BatchDeleteEntryResponse;
        get_authorized_entries(entry::GetAuthorizedEntriesRequest) -> entry::GetAuthorizedEntriesResponse;
    }
}

/// The server's side of `SyncAuthorizedEntries`, as SPIRE's server does it.
async fn exchange(
    upstream: Arc<Upstream>,
    entries: Vec<types::Entry>,
    mut requests: Streaming<entry::SyncAuthorizedEntriesRequest>,
    out: mpsc::Sender<Result<entry::SyncAuthorizedEntriesResponse, Status>>,
) {
    let first = requests
        .message()
        .await
        .expect("well")
        .expect("a first message");
    assert!(first.output_mask.is_some_and(|mask| mask.revision_number) && first.ids.is_empty());
    if entries.len() <= upstream.page {
        let all = entry::SyncAuthorizedEntriesResponse {
            entries,
            ..Default::default()
        };
        let _gone = out.send(Ok(all)).await;
        return;
    }
    let pages = entries.chunks(upstream.page);
    let count = pages.len();
    for (number, page) in pages.enumerate() {
        let revisions = page.iter().map(|one| entry::EntryRevision {
            id: one.id.clone(),
            revision_number: one.revision_number,
            created_at: one.created_at,
        });
        let page = entry::SyncAuthorizedEntriesResponse {
            entry_revisions: revisions.collect(),
            more: number + 1 < count,
            ..Default::default()
        };
        out.send(Ok(page)).await.expect("open");
    }
    while let Ok(Some(request)) = requests.message().await {
        upstream.asked.lock().unwrap().push(request.ids.clone());
        let wanted = entries.iter().filter(|one| request.ids.contains(&one.id));
        let answer = entry::SyncAuthorizedEntriesResponse {
            entries: wanted.cloned().collect(),
            ..Default::default()
        };
        out.send(Ok(answer)).await.expect("open");
    }
}

service! {
    agent::agent_server::Agent {
        type AttestAgentStream = Answers<agent::AttestAgentResponse>;

        async fn attest_agent(
            &self,
            request: Request<Streaming<agent::AttestAgentRequest>>,
        ) -> Result<Response<Self::AttestAgentStream>, Status> {
            let mut asked = request.into_inner();
            let first = asked.message().await?.and_then(|message| message.step);
            let Some(Asked::Params(params)) = first else {
                return Err(Status::invalid_argument("missing params"));
            };
            if let Some(status) = self.0.attest_refusals.lock().unwrap().pop_front() {
                return Err(status);
            }
            self.0.attested.fetch_add(1, Ordering::SeqCst);
            let result = attest::Result {
                svid: Some(self.certify(&params.params.expect("a CSR").csr)),
                reattestable: self.0.reattestable,
            };
            let answer = agent::AttestAgentResponse {
                step: Some(attest::Step::Result(result)),
            };
            let one = futures::stream::once(async move { Ok(answer) });
            Ok(Response::new(Box::pin(one)))
        }

        async fn renew_agent(
            &self,
            request: Request<agent::RenewAgentRequest>,
        ) -> Result<Response<agent::RenewAgentResponse>, Status> {
            self.check(&request)?;
            self.0.renewed.fetch_add(1, Ordering::SeqCst);
            let params = request.into_inner().params.expect("a CSR");
            let svid = Some(self.certify(&params.csr));
            Ok(Response::new(agent::RenewAgentResponse { svid }))
        }

        async fn post_status(
            &self,
            request: Request<agent::PostStatusRequest>,
        ) -> Result<Response<agent::PostStatusResponse>, Status> {
            self.check(&request)?;
            Ok(Response::new(agent::PostStatusResponse {}))
        }
    }
    unused {
        count_agents(agent::CountAgentsRequest) -> agent::CountAgentsResponse;
        list_agents(agent::ListAgentsRequest) -> agent::ListAgentsResponse;
        get_agent(agent::GetAgentRequest) -> types::Agent;
        delete_agent(agent::DeleteAgentRequest) -> ();
        ban_agent(agent::BanAgentRequest) -> ();
        create_join_token(agent::CreateJoinTokenRequest) -> types::JoinToken;
    }
}
