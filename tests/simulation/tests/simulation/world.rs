//! A server, three agents and what lies between them, all in one runtime; and what can happen to
//! them.

use crate::ledger::Ledger;
use crate::net::{Address, Link, Weather};
use crate::store::{Disk, Illness, Mount};
use crate::witness::Witness;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use signet_agent::bootstrap::Bootstrap;
use signet_agent::config::BundleSource;
use signet_agent::disk::DataDir;
use signet_agent::holdings::Holdings;
use signet_agent::lifecycle::NoAttestor;
use signet_agent::own::OwnSvid;
use signet_agent::rotate::SvidPolicy;
use signet_agent::running as agent;
use signet_agent::sync::Freshness;
use signet_agent::views::View;
use signet_agent::workload_api::Options;
use signet_crypto::{KeyType, SecretString, SeededRandom};
use signet_datastore::{Epoch, MemoryStore};
use signet_keys::disk::DiskKeys;
use signet_keys::memory::MemoryKeys;
use signet_model::{Policy, Selector, SelectorSet};
use signet_node_attestor::AgentAttestor;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_runtime::{Clock, TaskFailed, Tasks, TokioClock};
use signet_server::audit::{Audit, Noted};
use signet_server::authority::AuthoritySettings;
use signet_server::caller::{Authorized, Caller, Capacity};
use signet_server::issuer::{Issuer, Settings};
use signet_server::limits::Limits;
use signet_server::running as server;
use signet_spiffe::{SpiffeId, TrustDomain};
use signet_telemetry::metrics::Metrics;
use signet_tls::ServerAddress;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::watch;

/// How many agents there are.
pub(crate) const AGENTS: usize = 3;
/// How many kinds of workload each agent has.
pub(crate) const WORKLOADS: u32 = 4;
/// The lifetimes are short, so that an hour sees many of them.
const AGENT_TTL: Duration = Duration::from_secs(20 * 60);
const X509_TTL: Duration = Duration::from_secs(10 * 60);
/// Join tokens outlive every run.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);
/// When every run begins: a whole second, as certificates have them.
const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
/// Files survive a crash of a process, not of this machine: memory will do where there is some.
const MEMORY: &str = "/dev/shm";

/// Everything.
pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) agents: Vec<Node>,
    pub(crate) disk: Arc<Disk>,
    /// Whether writes may fail now.
    pub(crate) failing: bool,
    server: Option<Process>,
    /// Lives beside the programs: the witness.
    _beside: Tasks,
    address: Address,
    durable: Arc<MemoryStore>,
    keys: Arc<MemoryKeys>,
    random: Arc<SeededRandom>,
    authority_ttl: Duration,
    story: Vec<String>,
    _directory: TempDir,
}

/// A server process.
struct Process {
    tasks: Tasks,
    mount: Arc<Mount>,
    issuer: Arc<Issuer>,
}

/// A node with its agent, over all lives of the agent.
pub(crate) struct Node {
    pub(crate) name: SpiffeId,
    pub(crate) link: Link,
    pub(crate) life: Option<Life>,
    /// Agent IDs that somebody tried to ban or evict.
    pub(crate) unwanted: BTreeSet<SpiffeId>,
    /// Who the agent was last, and until when.
    pub(crate) last: Option<(SpiffeId, SystemTime)>,
    pub(crate) path: crate::staleness::Path,
    directory: PathBuf,
    token: Arc<Mutex<Option<String>>>,
}

/// An agent process.
pub(crate) struct Life {
    pub(crate) holdings: Arc<Holdings>,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) member: watch::Receiver<Option<OwnSvid>>,
    /// What a workload of each kind sees that subscribed at the start.
    pub(crate) views: Vec<watch::Receiver<Arc<View>>>,
    tasks: Tasks,
}

impl World {
    /// A world in which nothing runs yet.
    pub(crate) async fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(UNIX_EPOCH + BEGINNING));
        let durable = Arc::new(MemoryStore::with_epoch(Epoch::from_bytes(rng.random())));
        let beside = Tasks::new();
        let witness = Witness::start(durable.clone(), td(), clock.clone(), &beside).await;
        let directory = match Path::new(MEMORY).is_dir() {
            true => tempfile::tempdir_in(MEMORY).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let address = Address::default();
        let node = |number| Node::new(number, address.clone(), directory.path(), clock.now());
        Self {
            agents: (0..AGENTS).map(node).collect(),
            disk: Disk::new(rng.random()),
            random: Arc::new(SeededRandom::new(rng.random())),
            authority_ttl: Duration::from_secs([1, 24][rng.random_range(0..2)] * 3600),
            keys: Arc::default(),
            ledger: Arc::default(),
            failing: false,
            server: None,
            _beside: beside,
            story: Vec::new(),
            _directory: directory,
            rng,
            clock,
            witness,
            address,
            durable,
        }
    }

    /// Adds a line to what is told when the run fails.
    pub(crate) fn tell(&mut self, line: impl Into<String>) {
        let now = self.clock.now().duration_since(UNIX_EPOCH + BEGINNING);
        let seconds = now.unwrap_or_default().as_secs_f64();
        let line = format!("{seconds:9.3} {}", line.into());
        tracing::info!("{line}");
        self.story.push(line);
    }

    /// The last lines of the story.
    pub(crate) fn story(&self) -> String {
        self.story.join("\n")
    }

    /// Starts the server on what is durable, as often as it takes.
    pub(crate) async fn start_server(&mut self) {
        while self.server.is_none() {
            let tasks = Tasks::new();
            let mount = Mount::new(self.durable.clone(), self.disk.clone());
            match server::Server::start(self.server_parts(&mount, &tasks)).await {
                Ok(server) => {
                    let (dialer, listener) = signet_tls::memory();
                    server.serve_remote(listener).unwrap();
                    *self.address.lock().unwrap() = Some(dialer);
                    let issuer = server.issuer().clone();
                    self.tell("server started");
                    self.server = Some(Process {
                        tasks,
                        mount,
                        issuer,
                    });
                }
                Err(error) => {
                    self.tell(format!("server did not start: {error}"));
                    mount.cut_off();
                    tasks.abandon().await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        self.note_paths();
    }

    fn server_parts(&self, mount: &Arc<Mount>, tasks: &Tasks) -> server::Parts {
        server::Parts {
            trust_domain: td(),
            server_id: "server".to_owned(),
            store: mount.clone(),
            keys: self.keys.clone(),
            upstream: None,
            attestors: Vec::new(),
            settings: Settings {
                policy: Policy {
                    default_x509_svid_ttl: X509_TTL,
                    agent_ttl: Some(AGENT_TTL),
                    ..Settings::defaults(td()).policy
                },
                ..Settings::defaults(td())
            },
            authority: AuthoritySettings {
                ttl: self.authority_ttl,
                ca_key_type: KeyType::EcP256,
                jwt_key_type: KeyType::EcP256,
                ..AuthoritySettings::defaults()
            },
            kubernetes: None,
            limits: Limits::new(true, true),
            audit: Audit::memory().0,
            metrics: Metrics::new(""),
            clock: self.clock.clone(),
            random: self.random.clone(),
            tasks: tasks.clone(),
        }
    }

    /// Ends the server process where it stands.
    pub(crate) async fn crash_server(&mut self) {
        let Some(process) = self.server.take() else {
            return;
        };
        self.tell("server crashes");
        *self.address.lock().unwrap() = None;
        process.mount.cut_off();
        for node in &self.agents {
            node.link.cut();
        }
        process.tasks.abandon().await;
        self.ledger.lock().unwrap().crashed();
        self.note_paths();
    }

    /// The use cases of the running server, and where what uses them runs.
    pub(crate) fn server(&self) -> Option<(Arc<Issuer>, Tasks)> {
        let process = self.server.as_ref()?;
        Some((process.issuer.clone(), process.tasks.clone()))
    }

    /// Why the server stopped by itself, which it never may.
    pub(crate) fn server_failed(&self) -> Option<TaskFailed> {
        failure(&self.server.as_ref()?.tasks)
    }

    pub(crate) fn set_disk(&mut self, illness: Illness) {
        self.tell(format!("disk: {illness:?}"));
        self.disk.set(illness);
        self.failing = illness.failing > 0.0;
        self.note_paths();
    }

    pub(crate) fn set_link(&mut self, number: usize, weather: Weather) {
        self.tell(format!("agent {number}: the way is {weather:?}"));
        self.agents[number].link.set(weather);
        self.note_paths();
    }

    pub(crate) fn cut_link(&mut self, number: usize) {
        self.tell(format!("agent {number}: its streams are cut"));
        let now = self.clock.now();
        self.agents[number].link.cut();
        self.agents[number].path.broken(now);
        self.note_paths();
    }

    /// Gives the node a new join token and starts its agent. Without an answer of the server there
    /// is no token, and no agent.
    pub(crate) async fn enrol(&mut self, number: usize) {
        let Some((issuer, tasks)) = self.server() else {
            return;
        };
        let alias = self.agents[number].name.clone();
        let token = self.agents[number].token.clone();
        token.lock().unwrap().take();
        let (made, waits) = tokio::sync::oneshot::channel();
        tasks.spawn("token", async move {
            let by = operator();
            let created = issuer.create_token(&by, TOKEN_TTL, None, Some(alias));
            if let Ok(new) = created.await {
                *token.lock().unwrap() = Some(new.value);
            }
            let _nobody = made.send(());
        });
        let _dropped = waits.await;
        if self.agents[number].token.lock().unwrap().is_some() {
            self.start_agent(number);
        }
    }

    /// Starts the agent of this node on what its disk has.
    pub(crate) fn start_agent(&mut self, number: usize) {
        let seed = self.rng.random();
        let now = self.clock.now();
        let node = &mut self.agents[number];
        if node.life.is_none() {
            let life = Life::begin(node, self.clock.clone(), seed);
            node.life = Some(life);
            node.path.broken(now);
            self.tell(format!("agent {number}: starts"));
        }
        self.note_paths();
    }

    /// Ends the agent process where it stands.
    pub(crate) async fn crash_agent(&mut self, number: usize) {
        let Some(life) = self.agents[number].life.take() else {
            return;
        };
        self.tell(format!("agent {number}: crashes"));
        self.agents[number].link.cut();
        life.tasks.abandon().await;
        self.note_paths();
    }

    /// Why the agent ended by itself, if it did.
    pub(crate) fn agent_failed(&self, number: usize) -> Option<TaskFailed> {
        failure(&self.agents[number].life.as_ref()?.tasks)
    }

    /// Notes which agents can hear of changes at once.
    fn note_paths(&mut self) {
        let now = self.clock.now();
        let up = self.server.is_some() && !self.failing;
        for node in &mut self.agents {
            match up && node.life.is_some() && node.link.is_clear() {
                true => node.path.clear(now),
                false => node.path.broken(now),
            }
        }
    }
}

impl Node {
    fn new(number: usize, address: Address, directory: &Path, now: SystemTime) -> Self {
        Self {
            name: SpiffeId::new(&td(), &format!("/node/{number}")).unwrap(),
            link: Link::new(address),
            life: None,
            unwanted: BTreeSet::new(),
            last: None,
            path: crate::staleness::Path::new(now),
            directory: directory.join(format!("agent-{number}")),
            token: Arc::default(),
        }
    }

    /// Who the agent is, if it runs and is attested.
    pub(crate) fn member(&self) -> Option<(SpiffeId, SystemTime)> {
        let member = self.life.as_ref()?.member.borrow();
        let own = member.as_ref()?;
        Some((own.id.clone(), own.not_after))
    }
}

impl Life {
    fn begin(node: &Node, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let token = node.token.clone();
        let attestor = move || -> Result<Arc<dyn AgentAttestor>, NoAttestor> {
            let token = token.lock().unwrap().clone();
            let token = token.ok_or(NoAttestor::NoJoinToken)?;
            Ok(Arc::new(JoinTokenAgent::new(SecretString::new(token))))
        };
        let address = ServerAddress {
            host: "server.invalid".to_owned(),
            port: 8081,
        };
        let parts = agent::Parts {
            trust_domain: td(),
            clock,
            dial: Arc::new(node.link.clone()),
            address: address.clone(),
            data_dir: DataDir::open(&node.directory).unwrap(),
            keys: Arc::new(DiskKeys::open_in(&node.directory).unwrap()),
            bootstrap: Bootstrap {
                trust_domain: td(),
                source: BundleSource::Insecure,
                server: address,
                authorities: None,
            },
            attestor: Arc::new(attestor),
            workload_attestors: Vec::new(),
            settings: agent::Settings {
                policy: SvidPolicy::default(),
                workload_key_type: KeyType::EcP256,
                x509_cache_size: 100,
                jwt_cache_size: 100,
                sync_interval: Duration::from_secs(5),
                options: Options::default(),
            },
            metrics: Metrics::new("spire_agent"),
            seed,
        };
        let agent = agent::Agent::new(parts).unwrap();
        let tasks = Tasks::new();
        let subscribe = |number| agent.holdings.subscribe(&workload(number));
        let life = Self {
            views: (0..WORKLOADS).map(subscribe).collect(),
            holdings: agent.holdings.clone(),
            freshness: agent.freshness.clone(),
            member: agent.member.clone(),
            tasks: tasks.clone(),
        };
        agent.start(&tasks);
        life
    }
}

impl Life {
    /// What a workload of this kind sees that subscribed long ago, and one that does now.
    pub(crate) fn shown(&self, kind: u32) -> [Arc<View>; 2] {
        let followed = self.views[kind as usize].borrow().clone();
        let fresh = self.holdings.subscribe(&workload(kind)).borrow().clone();
        [followed, fresh]
    }
}

fn failure(tasks: &Tasks) -> Option<TaskFailed> {
    use futures::FutureExt;
    tasks.failed().now_or_never()
}

/// The trust domain.
pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

/// Whoever changes things.
pub(crate) fn operator() -> Authorized {
    Authorized {
        caller: Caller::Local { uid: 0, pid: None },
        capacity: Capacity::Local,
        request_id: "simulation".to_owned(),
        noted: Noted::default(),
    }
}

/// What the agent finds out about workloads of this kind.
pub(crate) fn workload(number: u32) -> SelectorSet {
    SelectorSet::from_iter([uid(number), gid()])
}

/// The user of workloads of this kind.
pub(crate) fn uid(number: u32) -> Selector {
    Selector::new("unix", &format!("uid:{}", 1000 + number)).unwrap()
}

/// The group of all workloads.
pub(crate) fn gid() -> Selector {
    Selector::new("unix", "gid:100").unwrap()
}
