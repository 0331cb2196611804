//! How long `authority replace` takes with a thousand agents: a real server and real agents in one
//! process, over streams in memory with real TLS, on the real clock.
//!
//! ```text
//! cargo bench -p signet-simulation --bench replace
//! ```
//!
//! `SIGNET_BENCH_AGENTS` is the number of agents (1,000); each serves four workloads. Every tenth of
//! a second each workload of each agent is looked at: none may be without an identity.

#![allow(clippy::print_stdout, reason = "a measurement is printed")]

use futures::future::BoxFuture;
use signet_agent::bootstrap::Bootstrap;
use signet_agent::config::BundleSource;
use signet_agent::disk::DataDir;
use signet_agent::lifecycle::NoAttestor;
use signet_agent::rotate::SvidPolicy;
use signet_agent::running as agent;
use signet_agent::upstream::{Dial, Stream};
use signet_agent::views::{View, X509Answer};
use signet_agent::workload_api::Options;
use signet_ca::slots::Kind;
use signet_crypto::{KeyType, SecretString, SystemRandom};
use signet_datastore::MemoryStore;
use signet_keys::memory::MemoryKeys;
use signet_model::{Entry, EntryId, Selector, SelectorSet, Stewardship};
use signet_node_attestor::AgentAttestor;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_runtime::{SystemClock, Tasks};
use signet_server::audit::{Audit, Noted};
use signet_server::authority::AuthoritySettings;
use signet_server::caller::{Authorized, Caller, Capacity};
use signet_server::issuer::{Issuer, Settings};
use signet_server::limits::Limits;
use signet_server::replace::{Progress, Replacement, Step};
use signet_server::running::{Parts, Server};
use signet_server::state::{Plan, StateError};
use signet_spiffe::{SpiffeId, TrustDomain};
use signet_telemetry::metrics::Metrics;
use signet_tls::{MemoryDialer, ServerAddress};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Workloads of each agent.
const WORKLOADS: u32 = 4;
/// How often every workload is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For the agents, before each step.
const PATIENCE: Duration = Duration::from_secs(600);
/// Agents that attest at the same time while the scene is set.
const AT_ONCE: usize = 32;

type Views = Vec<watch::Receiver<Arc<View>>>;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let agents = std::env::var_os("SIGNET_BENCH_AGENTS");
    let agents = agents
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(1000);
    runtime.block_on(measure(agents));
}

async fn measure(count: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let tasks = Tasks::new();
    let begun = Instant::now();
    let (server, dialer) = start_server(&tasks).await;
    let issuer = server.issuer().clone();
    create_entries(&issuer).await;
    let mut views = Views::new();
    for first in (0..count).step_by(AT_ONCE) {
        let numbers = first..count.min(first + AT_ONCE);
        let mut starting = Vec::new();
        for number in numbers {
            let token = token(&issuer).await;
            starting.extend(start_agent(
                directory.path(),
                number,
                token,
                &dialer,
                &tasks,
            ));
        }
        for view in &mut starting {
            let ready = view.wait_for(|view| matches!(view.x509, X509Answer::Ready(_)));
            ready.await.expect("the agent runs");
        }
        views.extend(starting);
    }
    println!(
        "{count} agents with {} workloads each attested and served in {:.1} s",
        WORKLOADS,
        begun.elapsed().as_secs_f64()
    );
    tokio::join!(replace(&issuer), watch_all(&issuer, &views));
}

/// Replaces both kinds of authority, and prints each step with its time.
async fn replace(issuer: &Arc<Issuer>) {
    let wanted = Replacement {
        kinds: vec![Kind::X509, Kind::Jwt],
        reason: "measured".to_owned(),
        force: false,
        patience: PATIENCE,
    };
    let (tell, mut told) = mpsc::channel(16);
    let print = async {
        while let Some(progress) = told.recv().await {
            print_step(&progress);
        }
    };
    let by = operator();
    let (done, ()) = tokio::join!(issuer.replace_authorities(&by, &wanted, tell), print);
    done.expect("the replacement ends well");
}

fn print_step(progress: &Progress) {
    let what = match &progress.step {
        Step::Condemned | Step::Resumed => "the present one is to go".to_owned(),
        Step::Prepared => "the successor is published".to_owned(),
        Step::Spreading(agents) => format!("{} agents lack the successor", agents.len()),
        Step::Superseded => "the successor signs, the old one is tainted".to_owned(),
        Step::Draining(agents) => format!("{} agents are not ready", agents.len()),
        Step::LeftBehind(agents) => format!("{} agents are left behind", agents.len()),
        Step::Revoked => "the old one is revoked".to_owned(),
    };
    let elapsed = progress.elapsed.as_secs_f64();
    println!("{elapsed:7.2} s  {}: {what}", progress.kind);
}

/// Looks at every workload until nothing of the first authority is served any more.
async fn watch_all(issuer: &Arc<Issuer>, views: &Views) {
    let old = issuer.authorities.x509().expect("an authority");
    let old = old.subject_key_id();
    let active = || {
        let now = issuer.authorities.x509().expect("an authority");
        now.subject_key_id()
    };
    let (mut looks, mut bare, mut superseded) = (0_u64, 0_u64, None);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if superseded.is_none() && active() != old {
            superseded = Some(Instant::now());
        }
        let mut of_old = 0;
        for view in views {
            looks += 1;
            match shown(&view.borrow(), &old) {
                Shown::Nothing => bare += 1,
                Shown::Old => of_old += 1,
                Shown::New => {}
            }
        }
        if let (Some(since), 0) = (superseded, of_old) {
            println!(
                "nothing of the old X.509 authority is served {:.1} s after it was tainted; \
                 {looks} looks at workloads, {bare} of them without identity",
                since.elapsed().as_secs_f64()
            );
            assert_eq!(bare, 0, "a workload was without identity");
            return;
        }
    }
}

enum Shown {
    Nothing,
    Old,
    New,
}

/// Whether the workload's SVIDs name the old authority as their issuer's key.
fn shown(view: &View, old: &[u8]) -> Shown {
    let X509Answer::Ready(identities) = &view.x509 else {
        return Shown::Nothing;
    };
    let names_old = |leaf: &[u8]| leaf.windows(old.len()).any(|bytes| bytes == old);
    match identities.iter().any(|one| names_old(&one.svid.chain[0])) {
        _ if identities.is_empty() => Shown::Nothing,
        true => Shown::Old,
        false => Shown::New,
    }
}

async fn start_server(tasks: &Tasks) -> (Server, MemoryDialer) {
    let parts = Parts {
        trust_domain: td(),
        server_id: "server".to_owned(),
        store: Arc::new(MemoryStore::new()),
        keys: Arc::new(MemoryKeys::new()),
        upstream: None,
        attestors: Vec::new(),
        settings: Settings::defaults(td()),
        authority: AuthoritySettings::defaults(),
        kubernetes: None,
        limits: Limits::new(false, false),
        audit: Audit::memory().0,
        metrics: Metrics::new(""),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()),
        tasks: tasks.clone(),
    };
    let server = Server::start(parts).await.expect("the server starts");
    let (dialer, listener) = signet_tls::memory();
    server.serve_remote(listener).expect("the server listens");
    (server, dialer)
}

/// One entry a workload, for all agents alike.
async fn create_entries(issuer: &Arc<Issuer>) {
    for number in 0..WORKLOADS {
        let create = |_: &signet_server::state::Snapshot| {
            let entry = Arc::new(entry(number));
            Ok::<_, StateError>((Plan::default().create_entry(&entry), ()))
        };
        issuer.state.change(create).await.expect("an entry");
    }
}

fn entry(number: u32) -> Entry {
    Entry {
        id: EntryId::parse(&format!("workload-{number}")).expect("an entry ID"),
        spiffe_id: SpiffeId::new(&td(), &format!("/workload/{number}")).expect("an ID"),
        parent_id: node(),
        selectors: workload(number),
        x509_svid_ttl: None,
        jwt_svid_ttl: None,
        federates_with: BTreeSet::new(),
        admin: false,
        downstream: false,
        store_svid: false,
        expires_at: None,
        dns_names: Vec::new(),
        hint: String::new(),
        revision_number: 0,
        created_at: UNIX_EPOCH,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
        disabled: false,
        stewardship: Stewardship::default(),
    }
}

async fn token(issuer: &Arc<Issuer>) -> String {
    let ttl = Duration::from_secs(3600);
    let by = operator();
    let made = issuer.create_token(&by, ttl, None, Some(node()));
    made.await.expect("a token").value
}

#[derive(Clone)]
struct ToServer(MemoryDialer);

impl Dial for ToServer {
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let dialer = self.0.clone();
        Box::pin(async move {
            let stream: Box<dyn Stream> = Box::new(dialer.dial().await?);
            Ok(stream)
        })
    }
}

fn start_agent(
    directory: &Path,
    number: usize,
    token: String,
    dialer: &MemoryDialer,
    tasks: &Tasks,
) -> Views {
    let directory = directory.join(number.to_string());
    let attestor = move || -> Result<Arc<dyn AgentAttestor>, NoAttestor> {
        let token = SecretString::new(token.clone());
        Ok(Arc::new(JoinTokenAgent::new(token)))
    };
    let address = ServerAddress {
        host: "server.invalid".to_owned(),
        port: 8081,
    };
    let parts = agent::Parts {
        trust_domain: td(),
        clock: Arc::new(SystemClock),
        dial: Arc::new(ToServer(dialer.clone())),
        address: address.clone(),
        data_dir: DataDir::open(&directory).expect("a data directory"),
        keys: Arc::new(MemoryKeys::new()),
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
        seed: u64::try_from(number).expect("a small number"),
    };
    let agent = agent::Agent::new(parts).expect("an agent");
    let views = (0..WORKLOADS).map(|kind| agent.holdings.subscribe(&workload(kind)));
    let views = views.collect();
    agent.start(tasks);
    views
}

fn td() -> TrustDomain {
    TrustDomain::parse("example.org").expect("a trust domain")
}

/// What all nodes are.
fn node() -> SpiffeId {
    SpiffeId::new(&td(), "/node").expect("an ID")
}

fn workload(number: u32) -> SelectorSet {
    let uid = format!("uid:{}", 1000 + number);
    SelectorSet::from_iter([Selector::new("unix", &uid).expect("a selector")])
}

fn operator() -> Authorized {
    Authorized {
        caller: Caller::Local { uid: 0, pid: None },
        capacity: Capacity::Local,
        request_id: "bench".to_owned(),
        noted: Noted::default(),
    }
}
