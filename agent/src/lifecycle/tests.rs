//! Attestation, renewal and refusals against a scripted server on the wire, in paused time.

use super::*;
use crate::config::{BundleFormat, BundleSource};
use crate::disk::DataDir;
use crate::rotate::SvidPolicy;
use crate::testing::upstream::{Reached, Upstream, refused};
use crate::testing::{Ca, HOUR, entry, selectors, td, whole};
use crate::views::X509Answer;
use signet_crypto::SecretString;
use signet_keys::KeyManager;
use signet_keys::disk::DiskKeys;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_proto::spire::types::permission_denied_details::Reason;
use signet_runtime::Tasks;
use signet_spiffe::X509Authority;
use signet_spiffe::pem::encode_pem_certs;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use tonic::Status;

const WINDOW: Duration = Duration::from_secs(30);

/// An agent's node: what survives a restart of the agent.
struct Node {
    dir: TempDir,
    reached: Reached,
}

/// One run of the agent.
struct Run {
    member: watch::Receiver<Option<OwnSvid>>,
    holdings: Arc<Holdings>,
    ended: Arc<Mutex<Option<Result<(), Ended>>>>,
    tasks: Tasks,
}

fn node(script: impl FnOnce(&mut Upstream)) -> Node {
    Node {
        dir: tempfile::tempdir().expect("made"),
        reached: Reached::with(script),
    }
}

impl Node {
    /// Starts the agent, which trusts the server by a file.
    fn start(&self) -> Run {
        self.start_trusting(&self.reached.upstream.ca)
    }

    fn start_trusting(&self, ca: &Ca) -> Run {
        let path = self.dir.path().join("bundle.pem");
        std::fs::write(&path, encode_pem_certs([&ca.authority().der])).expect("written");
        let data = self.dir.path().join("data");
        let dir = DataDir::open(&data).expect("opened");
        let keys: Arc<dyn KeyManager> = Arc::new(DiskKeys::open_in(&data).expect("opened"));
        let own = OwnStore::open(dir, keys, SvidPolicy::default()).expect("opened");
        let (clock, server) = (self.reached.clock.clone(), self.reached.server.clone());
        let holdings = Arc::new(Holdings::new(td(), clock.clone()));
        let (member, follow) = watch::channel(None);
        let lifecycle = Lifecycle {
            trust_domain: td(),
            own: Arc::new(own),
            bootstrap: Arc::new(Bootstrap {
                trust_domain: td(),
                source: BundleSource::File {
                    path,
                    format: BundleFormat::Pem,
                },
                server: self.reached.connection.connector().address.clone(),
                authorities: None,
            }),
            attestor: Arc::new(|| {
                let token = SecretString::new("token".to_owned());
                Ok(Arc::new(JoinTokenAgent::new(token)))
            }),
            connection: self.reached.connection.clone(),
            server,
            holdings: holdings.clone(),
            clock,
            jitter: Jitter::seeded(2),
            taint_window: WINDOW,
            metrics: Metrics::new("spire_agent"),
            member,
        };
        let tasks = Tasks::new();
        let ended = Arc::new(Mutex::new(None));
        let (end, stop) = (ended.clone(), tasks.stop());
        tasks.spawn("lifecycle", async move {
            let outcome = lifecycle.run(stop).await;
            *end.lock().unwrap() = Some(outcome);
        });
        Run {
            member: follow,
            holdings,
            ended,
            tasks,
        }
    }

    fn counts(&self) -> (usize, usize) {
        let upstream = &self.reached.upstream;
        let count = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::SeqCst);
        (count(&upstream.attested), count(&upstream.renewed))
    }

    fn refuse(&self, status: Status) {
        self.reached
            .upstream
            .refusals
            .lock()
            .unwrap()
            .push_back(status);
    }

    fn refuse_attestations(&self, statuses: impl IntoIterator<Item = Status>) {
        let mut refusals = self.reached.upstream.attest_refusals.lock().unwrap();
        refusals.extend(statuses);
    }

    /// The agent makes a call, which may be refused.
    async fn calls(&self) {
        let _refused = self.reached.server.renew_agent(vec![]).await;
    }

    fn stored_svids(&self) -> usize {
        let text = std::fs::read(self.dir.path().join("data/agent-data.json")).expect("there");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        json["svid"].as_array().expect("a list").len()
    }
}

impl Run {
    async fn joins(&mut self) -> OwnSvid {
        let member = self.member.wait_for(Option::is_some).await.expect("alive");
        member.clone().expect("a member")
    }

    async fn changes(&mut self) -> OwnSvid {
        self.member.borrow_and_update();
        self.member.changed().await.expect("alive");
        self.member.borrow().clone().expect("a member")
    }

    async fn ends(&mut self) -> Ended {
        while self.member.changed().await.is_ok() {}
        self.tasks.shutdown(HOUR).await;
        let outcome = self.ended.lock().unwrap().take().expect("ended");
        outcome.expect_err("with a reason")
    }

    async fn stops(self) {
        self.tasks.shutdown(HOUR).await;
    }
}

fn leaf(own: &OwnSvid) -> Arc<[u8]> {
    own.chain[0].clone()
}

#[tokio::test(start_paused = true)]
async fn an_agent_attests_once_and_keeps_its_identity_over_restarts() {
    let node = node(|_| {});
    let mut run = node.start();
    let first = leaf(&run.joins().await);
    run.stops().await;
    let mut run = node.start();
    assert_eq!(leaf(&run.joins().await), first);
    assert_eq!(node.counts(), (1, 0));
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn the_stored_bundle_counts_and_not_the_operators_file_once_there_is_one() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    run.stops().await;
    let mut run = node.start_trusting(&Ca::new());
    run.joins().await;
    assert_eq!(node.counts(), (1, 0));
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_of_an_unknown_authority_is_not_attested_to() {
    let node = node(|_| {});
    let mut run = node.start_trusting(&Ca::new());
    let waited = tokio::time::timeout(HOUR, run.member.changed()).await;
    assert!(waited.is_err(), "it goes on trying");
    assert_eq!(node.counts(), (0, 0));
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn an_svid_is_renewed_before_half_of_its_life_with_the_other_key() {
    let node = node(|_| {});
    let mut run = node.start();
    let first = run.joins().await;
    let before = Instant::now();
    let second = run.changes().await;
    let waited = before.elapsed().as_secs_f64() / HOUR.as_secs_f64();
    assert!((0.44..=0.5).contains(&waited), "{waited}");
    assert_ne!(first.key.public_key(), second.key.public_key());
    assert_eq!(node.counts(), (1, 1));
    let third = run.changes().await;
    assert_ne!(second.key.public_key(), third.key.public_key());
    run.stops().await;
    let keys = DiskKeys::open_in(&node.dir.path().join("data")).expect("opened");
    let ids: Vec<_> = keys
        .list()
        .await
        .expect("listed")
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(ids, ["agent-svid-A", "agent-svid-B"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_may_attests_again_instead_of_renewing() {
    let node = node(|upstream| upstream.reattestable = true);
    let mut run = node.start();
    run.joins().await;
    run.changes().await;
    assert_eq!(node.counts(), (2, 0));
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again_and_the_old_svid_stays() {
    let node = node(|_| {});
    let mut run = node.start();
    let first = leaf(&run.joins().await);
    for _ in 0..3 {
        node.refuse(Status::unavailable("away"));
    }
    tokio::time::sleep(HOUR / 2).await;
    assert!(run.ended.lock().unwrap().is_none());
    let now = run.member.borrow().as_ref().map(leaf).expect("a member");
    let renewed = if now == first {
        leaf(&run.changes().await)
    } else {
        now
    };
    assert_ne!(renewed, first);
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn a_banned_agent_forgets_its_svid_and_ends() {
    let node = node(|upstream| upstream.reattestable = true);
    let mut run = node.start();
    run.joins().await;
    assert_eq!(node.stored_svids(), 1);
    node.refuse(refused(Reason::AgentBanned));
    node.calls().await;
    assert!(matches!(run.ends().await, Ended::Banned));
    assert_eq!(node.stored_svids(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_evicted_agent_attests_again_if_it_may() {
    for reason in [
        Reason::AgentExpired,
        Reason::AgentNotAttested,
        Reason::AgentNotActive,
    ] {
        let node = node(|upstream| upstream.reattestable = true);
        let mut run = node.start();
        let first = leaf(&run.joins().await);
        node.refuse(refused(reason));
        node.calls().await;
        assert_ne!(leaf(&run.changes().await), first);
        assert_eq!((node.counts(), node.stored_svids()), ((2, 0), 1));
        run.stops().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_evicted_agent_that_may_not_attest_again_forgets_its_svid_and_ends() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    node.refuse(refused(Reason::AgentNotAttested));
    node.calls().await;
    let ended = run.ends().await;
    assert!(
        matches!(ended, Ended::CannotReattest(AgentReason::NotAttested)),
        "{ended}"
    );
    assert_eq!(node.stored_svids(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_must_reattest_does_so_instead_of_renewing() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    node.refuse(refused(Reason::AgentMustReattest));
    node.calls().await;
    run.changes().await;
    assert_eq!(node.counts(), (2, 0));
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn a_denial_without_a_reason_changes_nothing() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    node.refuse(Status::permission_denied("authorization denied"));
    node.calls().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(run.ended.lock().unwrap().is_none());
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn an_attestation_that_is_denied_ends_the_agent_and_an_outage_does_not() {
    let node = node(|_| {});
    let away = std::iter::repeat_with(|| Status::unavailable("away")).take(5);
    let banned = Status::permission_denied("failed to attest: agent is banned");
    node.refuse_attestations(away.chain([banned]));
    let mut run = node.start();
    assert!(matches!(run.ends().await, Ended::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn a_used_join_token_is_tried_for_a_minute() {
    let node = node(|_| {});
    let used = || Status::invalid_argument("join token does not exist or has already been used");
    node.refuse_attestations(std::iter::repeat_with(used).take(100));
    let before = Instant::now();
    let mut run = node.start();
    assert!(matches!(run.ends().await, Ended::Refused(_)));
    let waited = before.elapsed().as_secs();
    assert!((60..120).contains(&waited), "{waited}");
}

/// A bundle of a new authority, in which the server's old one has this part.
fn bundle_after(node: &Node, old: impl FnOnce(X509Authority) -> Option<X509Authority>) -> Bundle {
    let mut bundle = Ca::new().bundle();
    let authority = old(node.reached.upstream.ca.authority());
    bundle.x509_authorities.extend(authority);
    bundle
}

#[tokio::test(start_paused = true)]
async fn a_tainted_authority_makes_the_agent_renew_within_the_window_and_the_bundle_is_kept() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    let bundle = bundle_after(&node, |old| Some(old.with_taint(true)));
    let before = Instant::now();
    run.holdings.apply(whole(vec![], vec![bundle.clone()]));
    run.changes().await;
    assert!(before.elapsed() <= WINDOW, "{:?}", before.elapsed());
    run.stops().await;
    let data = DataDir::open(&node.dir.path().join("data")).expect("opened");
    assert_eq!(data.load().expect("loaded").bundle.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_server_signs_with_the_tainted_authority_the_agent_asks_again() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    let bundle = bundle_after(&node, |old| Some(old.with_taint(true)));
    run.holdings.apply(whole(vec![], vec![bundle]));
    tokio::time::sleep(2 * WINDOW).await;
    assert!((2..10).contains(&node.counts().1), "{:?}", node.counts());
    let sound = bundle_after(&node, Some);
    run.holdings.apply(whole(vec![], vec![sound]));
    tokio::time::sleep(HOUR / 4).await;
    let settled = node.counts();
    tokio::time::sleep(HOUR / 8).await;
    assert_eq!(node.counts(), settled);
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_key_or_an_expired_svid_means_a_new_attestation() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    run.stops().await;
    std::fs::remove_file(node.dir.path().join("data/keys.json")).expect("removed");
    let mut run = node.start();
    run.joins().await;
    assert_eq!(node.counts().0, 2);
    run.stops().await;
    tokio::time::advance(HOUR).await;
    let mut run = node.start();
    run.joins().await;
    assert_eq!(node.counts().0, 3);
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn below_intermediate_authorities_server_and_agent_know_each_other_by_their_root() {
    let node = node(|upstream| upstream.ca = Ca::below_another());
    let mut run = node.start();
    let first = run.joins().await;
    assert_eq!((first.chain.len(), node.stored_svids()), (2, 2));
    let second = run.changes().await;
    assert_eq!((second.chain.len(), node.counts()), (2, (1, 1)));
    run.stops().await;
    let data = DataDir::open(&node.dir.path().join("data")).expect("opened");
    let roots = data.load().expect("loaded").bundle;
    assert_eq!(roots, [node.reached.upstream.ca.authority().der]);
}

#[tokio::test(start_paused = true)]
async fn workloads_see_nothing_of_their_agents_expiry_and_new_attestation() {
    let node = node(|upstream| upstream.reattestable = true);
    let mut run = node.start();
    let first = run.joins().await;
    let (ca, clock) = (&node.reached.upstream.ca, &node.reached.clock);
    let entry = entry("web", &["unix:uid:1"]);
    run.holdings
        .apply(whole(vec![entry.clone()], vec![ca.bundle()]));
    let svid = ca.svid(&entry, clock.now(), 100 * HOUR);
    run.holdings.issued(vec![(entry.id.clone(), Ok(svid))]);
    let mut view = run.holdings.subscribe(&selectors(&["unix:uid:1"]));
    assert!(matches!(
        view.borrow_and_update().x509,
        X509Answer::Ready(_)
    ));

    let away = || Status::unavailable("away");
    node.refuse_attestations(std::iter::repeat_with(away).take(40));
    tokio::time::sleep(HOUR).await;
    assert!(
        first.not_after <= clock.now(),
        "the agent's SVID has expired"
    );
    let second = run.changes().await;
    assert!(second.not_after > clock.now());
    assert!(!view.has_changed().expect("open"), "nothing happened here");
    assert!(run.ended.lock().unwrap().is_none());
    run.stops().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_can_neither_renew_in_time_nor_attest_again_ends_with_its_svid() {
    let node = node(|_| {});
    let mut run = node.start();
    run.joins().await;
    let away = || Status::unavailable("away");
    for _ in 0..200 {
        node.refuse(away());
    }
    let before = Instant::now();
    assert!(matches!(run.ends().await, Ended::Expired));
    let lived = before.elapsed();
    assert!(
        lived >= HOUR && lived < HOUR + 3 * RENEW_MAX_WAIT,
        "{lived:?}"
    );
}
