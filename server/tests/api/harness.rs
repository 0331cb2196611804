//! A server in this process with a store in memory, the socket in a temporary directory, TLS over
//! streams in memory, and callers of every class.

use prost::Message;
use rcgen::{CertificateParams, KeyPair, SanType};
use signet_crypto::{KeyType, PrivateKey, SystemRandom};
use signet_datastore::{MemoryStore, Store};
use signet_keys::memory::MemoryKeys;
use signet_model::AuditEvent;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{
    AgentX509svidParams, AttestAgentRequest, CreateJoinTokenRequest, attest_agent_request,
    attest_agent_response,
};
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::entry::v1::{
    BatchCreateEntryRequest, batch_create_entry_response,
};
use signet_proto::spire::server::svid::v1::MintX509svidRequest;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::types::permission_denied_details::Reason;
use signet_proto::spire::types::{
    AttestationData, Entry, PermissionDeniedDetails, Selector, Spiffeid,
};
use signet_runtime::{Clock, Tasks, TokioClock};
use signet_server::assemble::StartError;
use signet_server::audit::Audit;
use signet_server::authority::AuthoritySettings;
use signet_server::issuer::Settings;
use signet_server::limits::Limits;
use signet_server::running::{Parts, Server};
use signet_spiffe::{SpiffeId, TrustDomain};
use signet_telemetry::metrics::Metrics;
use signet_tls::{
    ClientTls, Identity, KeyExchange, MemoryDialer, ServerAddress, ServerTrust, connect_over,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
const ADMIN_ID: &str = "spiffe://example.org/operator";

/// The wall clock of a test, moved by hand.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> SystemTime {
        start() + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

/// A running server and the ways to reach it.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) clock: HandClock,
    pub(crate) dialer: MemoryDialer,
    time: Arc<dyn Clock>,
    records: Arc<Mutex<Vec<AuditEvent>>>,
    socket: PathBuf,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other parts than the usual ones.
    pub(crate) async fn with(change: impl FnOnce(&mut Parts)) -> Self {
        let world = Self::try_with(change).await.unwrap();
        world
            .server
            .serve_local(UnixListener::bind(&world.socket).unwrap());
        world
    }

    /// Without the socket, and perhaps without a server.
    pub(crate) async fn try_with(change: impl FnOnce(&mut Parts)) -> Result<Self, StartError> {
        let clock = HandClock::default();
        Self::build(Arc::new(clock.clone()), clock, change).await
    }

    /// On tokio's paused clock, which the wall clock follows; without the socket, since real I/O
    /// and paused time do not go together. The operator's ID is an administrator's.
    pub(crate) async fn paused() -> Self {
        let clock = Arc::new(TokioClock::starting_at(start()));
        let admin = SpiffeId::parse(ADMIN_ID).unwrap();
        Self::build(clock, HandClock::default(), |parts| {
            parts.settings.admin_ids.insert(admin);
        })
        .await
        .unwrap()
    }

    async fn build(
        time: Arc<dyn Clock>,
        clock: HandClock,
        change: impl FnOnce(&mut Parts),
    ) -> Result<Self, StartError> {
        let (audit, records) = Audit::memory();
        let mut parts = Parts {
            trust_domain: td(),
            server_id: "one".to_owned(),
            store: Arc::new(MemoryStore::new()) as Arc<dyn Store>,
            keys: Arc::new(MemoryKeys::new()),
            upstream: None,
            attestors: Vec::new(),
            settings: Settings::defaults(td()),
            authority: AuthoritySettings {
                ttl: 24 * HOUR,
                ca_key_type: KeyType::EcP256,
                jwt_key_type: KeyType::EcP256,
                ..AuthoritySettings::defaults()
            },
            kubernetes: None,
            limits: Limits::new(false, true),
            audit,
            metrics: Metrics::new("test"),
            clock: time.clone(),
            random: Arc::new(SystemRandom::new()),
            tasks: Tasks::new(),
        };
        change(&mut parts);
        let server = Server::start(parts).await?;
        let (dialer, listener) = signet_tls::memory();
        server.serve_remote(listener).unwrap();
        let dir = tempfile::tempdir().unwrap();
        Ok(Self {
            server,
            clock,
            dialer,
            time,
            records,
            socket: dir.path().join("api.sock"),
            _dir: dir,
        })
    }

    pub(crate) fn now(&self) -> i64 {
        seconds(self.time.now())
    }

    /// The admin socket.
    pub(crate) async fn local(&self) -> Channel {
        let socket = self.socket.clone();
        let dial = move |_: Uri| {
            let socket = socket.clone();
            async move {
                let stream = UnixStream::connect(socket).await?;
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
            }
        };
        Endpoint::from_static("http://localhost")
            .connect_with_connector(tower::service_fn(dial))
            .await
            .unwrap()
    }

    /// The admin socket without a client's library.
    pub(crate) async fn raw_local(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// A TLS connection that shows this certificate, or none.
    pub(crate) async fn remote(&self, shown: Option<&Shown>) -> Channel {
        self.try_remote(shown).await.unwrap()
    }

    pub(crate) async fn try_remote(
        &self,
        shown: Option<&Shown>,
    ) -> Result<Channel, signet_tls::ConnectError> {
        let address = ServerAddress {
            host: "server.example".to_owned(),
            port: 8081,
        };
        let identity = match shown {
            Some(shown) => Identity::new(&shown.chain, &shown.key).unwrap(),
            None => Identity::none(),
        };
        let tls = ClientTls {
            identity: Arc::new(identity),
            trust: ServerTrust::Bundle(self.server.issuer().trust.clone()),
            server_id: SpiffeId::new(&td(), "/spire/server").unwrap(),
            key_exchange: KeyExchange::default(),
            clock: self.time.clone(),
        };
        let dialer = self.dialer.clone();
        let dial = move || {
            let dialer = dialer.clone();
            async move { dialer.dial().await }
        };
        connect_over(address.endpoint().unwrap(), &address, &tls, dial).await
    }

    /// The audit records since the last call.
    pub(crate) fn records(&self) -> Vec<AuditEvent> {
        std::mem::take(&mut *self.records.lock().unwrap())
    }

    /// A join token, made on the admin socket or, where there is none, by the use case.
    pub(crate) async fn token(&self) -> String {
        let by = operator();
        let made = self.server.issuer();
        let made = made.create_token(&by, HOUR, None, None).await;
        made.unwrap().value
    }

    /// An attested agent with a connection of its own.
    pub(crate) async fn agent(&self) -> Node {
        let token = self.token().await;
        let key = key();
        let attested = self.attest(&token, &key).await.unwrap();
        let shown = Shown {
            chain: attested.chain,
            key: Arc::new(key),
        };
        let channel = self.remote(Some(&shown)).await;
        // A client of TLS 1.3 is done before the server has looked at its certificate.
        let settled = call(&channel, "/spire.api.server.bundle.v1.Bundle/GetBundle");
        settled.await.unwrap();
        Node {
            id: attested.id,
            token,
            shown,
            channel,
        }
    }

    /// Attests with a join token.
    pub(crate) async fn attest(&self, token: &str, key: &PrivateKey) -> Result<Attested, Status> {
        let channel = self.remote(None).await;
        attest_over(channel, token, &csr(key, &[])).await
    }

    /// A certificate for a workload's ID, minted by the operator.
    pub(crate) async fn minted(&self, path: &str) -> Shown {
        let key = key();
        let uri = format!("spiffe://example.org{path}");
        let issuer = self.server.issuer();
        let minted = issuer
            .mint_x509(&operator(), &csr(&key, &[&uri]), None)
            .await;
        let (svid, _) = minted.unwrap();
        Shown {
            chain: svid.chain,
            key: Arc::new(key),
        }
    }

    /// The operator's connection in a world without a socket.
    pub(crate) async fn operator(&self) -> Channel {
        let shown = self.minted("/operator").await;
        self.remote(Some(&shown)).await
    }
}

/// A use case called on behalf of the socket's owner.
pub(crate) fn operator() -> signet_server::caller::Authorized {
    use signet_server::caller::{Authorized, Caller, Capacity};
    Authorized {
        caller: Caller::Local { uid: 0, pid: None },
        capacity: Capacity::Local,
        request_id: "test".to_owned(),
        noted: signet_server::audit::Noted::default(),
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: Arc<PrivateKey>,
}

/// An attested agent.
pub(crate) struct Node {
    pub(crate) id: Spiffeid,
    pub(crate) token: String,
    pub(crate) shown: Shown,
    pub(crate) channel: Channel,
}

impl Node {
    pub(crate) fn agents(&self) -> AgentClient<Channel> {
        AgentClient::new(self.channel.clone())
    }

    pub(crate) fn entries(&self) -> EntryClient<Channel> {
        big(EntryClient::new(self.channel.clone()))
    }

    pub(crate) fn svids(&self) -> SvidClient<Channel> {
        SvidClient::new(self.channel.clone())
    }

    pub(crate) fn bundles(&self) -> BundleClient<Channel> {
        BundleClient::new(self.channel.clone())
    }
}

fn big(client: EntryClient<Channel>) -> EntryClient<Channel> {
    client.max_decoding_message_size(64 << 20)
}

/// What a node got.
#[derive(Debug)]
pub(crate) struct Attested {
    pub(crate) id: Spiffeid,
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) reattestable: bool,
}

pub(crate) fn params(kind: &str, payload: &[u8], csr: &[u8]) -> AttestAgentRequest {
    let data = AttestationData {
        r#type: kind.to_owned(),
        payload: payload.to_vec().into(),
    };
    let params = AgentX509svidParams {
        csr: csr.to_vec().into(),
    };
    AttestAgentRequest {
        step: Some(attest_agent_request::Step::Params(
            attest_agent_request::Params {
                data: Some(data),
                params: Some(params),
            },
        )),
    }
}

pub(crate) async fn attest_over(
    channel: Channel,
    token: &str,
    csr: &[u8],
) -> Result<Attested, Status> {
    let request = params("join_token", token.as_bytes(), csr);
    let mut client = AgentClient::new(channel);
    let answers = client.attest_agent(tokio_stream::once(request)).await?;
    let answer = answers.into_inner().message().await?.unwrap();
    let Some(attest_agent_response::Step::Result(result)) = answer.step else {
        panic!("a join token needs no challenge");
    };
    let svid = result.svid.unwrap();
    Ok(Attested {
        id: svid.id.unwrap(),
        chain: svid.cert_chain.iter().map(|der| der.to_vec()).collect(),
        reattestable: result.reattestable,
    })
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::EcP256).unwrap()
}

/// A request with these URI SANs, signed by the key.
pub(crate) fn csr(key: &PrivateKey, uris: &[&str]) -> Vec<u8> {
    csr_with(key, uris, &[])
}

pub(crate) fn csr_with(key: &PrivateKey, uris: &[&str], dns: &[&str]) -> Vec<u8> {
    let pair = KeyPair::try_from(key.pkcs8_der().expose()).unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    let uris = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()));
    let dns = dns
        .iter()
        .map(|name| SanType::DnsName((*name).try_into().unwrap()));
    params.subject_alt_names = uris.chain(dns).collect();
    params.serialize_request(&pair).unwrap().der().to_vec()
}

/// A request whose signature is not its key's.
pub(crate) fn forged_csr() -> Vec<u8> {
    let mut der = csr(&key(), &[]);
    let last = der.len() - 1;
    der[last] ^= 1;
    der
}

pub(crate) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(since).unwrap()
}

pub(crate) fn id(path: &str) -> Spiffeid {
    Spiffeid {
        trust_domain: "example.org".to_owned(),
        path: path.to_owned(),
    }
}

pub(crate) fn foreign(path: &str) -> Spiffeid {
    Spiffeid {
        trust_domain: "other.org".to_owned(),
        path: path.to_owned(),
    }
}

pub(crate) fn selector(text: &str) -> Selector {
    let (kind, value) = text.split_once(':').unwrap();
    Selector {
        r#type: kind.to_owned(),
        value: value.to_owned(),
    }
}

/// An entry below this parent.
pub(crate) fn entry(path: &str, parent: &Spiffeid) -> Entry {
    Entry {
        spiffe_id: Some(id(path)),
        parent_id: Some(parent.clone()),
        selectors: vec![selector("unix:uid:1000")],
        ..Entry::default()
    }
}

/// Creates entries, all of which are accepted.
pub(crate) async fn create(channel: &Channel, entries: Vec<Entry>) -> Vec<Entry> {
    let results = try_create(channel, entries).await;
    results
        .into_iter()
        .map(|result| {
            assert_eq!(result.status.unwrap().message, "OK");
            result.entry.unwrap()
        })
        .collect()
}

pub(crate) async fn try_create(
    channel: &Channel,
    entries: Vec<Entry>,
) -> Vec<batch_create_entry_response::Result> {
    let request = BatchCreateEntryRequest {
        entries,
        output_mask: None,
    };
    let mut client = big(EntryClient::new(channel.clone()));
    let created = client.batch_create_entry(request).await.unwrap();
    created.into_inner().results
}

pub(crate) fn token_request(
    ttl: i32,
    token: &str,
    alias: Option<Spiffeid>,
) -> CreateJoinTokenRequest {
    CreateJoinTokenRequest {
        ttl,
        token: token.to_owned(),
        agent_id: alias,
    }
}

/// Mints through the API.
pub(crate) async fn mint(channel: &Channel, csr: Vec<u8>, ttl: i32) -> Result<Vec<u8>, Status> {
    let mut client = SvidClient::new(channel.clone());
    let request = MintX509svidRequest {
        csr: csr.into(),
        ttl,
    };
    let minted = client.mint_x509svid(request).await?;
    Ok(minted.into_inner().svid.unwrap().cert_chain[0].to_vec())
}

/// Any method with an empty request, by its path.
pub(crate) async fn call(channel: &Channel, path: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = path.parse().unwrap();
    grpc.unary(Request::new(()), path, codec).await.map(drop)
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The reason in the details of a denial.
pub(crate) fn reason(status: &Status) -> Option<Reason> {
    let rpc = RpcStatus::decode(status.details()).unwrap();
    let any = rpc.details.first()?;
    assert_eq!(
        any.type_url,
        "type.googleapis.com/spire.api.types.PermissionDeniedDetails"
    );
    assert_eq!(rpc.code, Code::PermissionDenied as i32);
    let details = PermissionDeniedDetails::decode(any.value.as_slice()).unwrap();
    Some(details.reason())
}

/// Code and message of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    let status = outcome.unwrap_err();
    (status.code(), status.message().to_owned())
}

/// Demands that there is exactly one record, and gives it.
pub(crate) fn only(records: Vec<AuditEvent>) -> AuditEvent {
    assert_eq!(records.len(), 1, "{records:#?}");
    records.into_iter().next().unwrap()
}
