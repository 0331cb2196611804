//! The `k8s` attestor over a kubelet that a test writes, with time under control.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{join, join_all};
use http::StatusCode;
use serde_json::{Value, json};
use signet_runtime::Stop;
use signet_workload_attestor::k8s::{
    HeldPods, K8sAttestor, K8sConfig, KubeletError, NamespaceSource, PodSource,
};
use signet_workload_attestor::peer::{FakeProcess, Peer, PeerGone};
use signet_workload_attestor::{AttestError, WorkloadAttestor};
use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_millis(500);

/// A kubelet whose pods a test sets.
#[derive(Clone, Default)]
struct FakeKubelet {
    pods: Arc<Mutex<Vec<Value>>>,
    down: Arc<Mutex<bool>>,
    calls: Arc<AtomicUsize>,
}

impl FakeKubelet {
    fn of(pods: Vec<Value>) -> Self {
        let kubelet = Self::default();
        kubelet.set(pods);
        kubelet
    }

    fn set(&self, pods: Vec<Value>) {
        *self.pods.lock().unwrap() = pods;
    }

    fn is_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl PodSource for FakeKubelet {
    async fn fetch(&self) -> Result<Bytes, KubeletError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(20)).await;
        if *self.down.lock().unwrap() {
            return Err(KubeletError::Status(StatusCode::BAD_GATEWAY));
        }
        let list = json!({"kind": "PodList", "items": *self.pods.lock().unwrap()});
        Ok(list.to_string().into())
    }
}

fn uid(number: usize) -> String {
    format!("{number:08x}-6b1c-4d3e-8f90-a1b2c3d4e5f6")
}

fn container(number: usize) -> String {
    format!("{number:064x}")
}

/// A pod with an init, a plain and an ephemeral container: number, number + 1000, number + 2000.
fn pod(number: usize) -> Value {
    let status = |name: &str, number: usize| {
        json!({"name": name, "image": format!("registry.example/{name}:1"),
            "imageID": format!("registry.example/{name}@sha256:{}", "e".repeat(64)),
            "containerID": format!("containerd://{}", container(number))})
    };
    json!({
        "metadata": {
            "name": format!("shop-{number}"), "namespace": "shop", "uid": uid(number),
            "labels": {"app": "shop"},
            "annotations": {"kubernetes.io/config.source": "api"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "shop-7d4b", "uid": "rs-uid"}],
        },
        "spec": {"nodeName": "node-1", "serviceAccountName": "cashier"},
        "status": {
            "containerStatuses": [status("app", number + 1000)],
            "initContainerStatuses": [status("prepare", number)],
            "ephemeralContainerStatuses": [status("debug", number + 2000)],
        },
    })
}

fn process(number: usize, container_number: usize) -> FakeProcess {
    let process = FakeProcess::new(42, 1000, 1000);
    let path = format!(
        "/kubepods/besteffort/pod{}/{}",
        uid(number),
        container(container_number)
    );
    process.move_to_cgroup(&format!("0::{path}\n"));
    process
}

fn peer(number: usize, container_number: usize) -> Peer {
    Peer::fake(&process(number, container_number)).unwrap()
}

fn config() -> K8sConfig {
    K8sConfig {
        max_poll_attempts: 60,
        disable_container_selectors: false,
        namespaces: None,
    }
}

fn attestor(kubelet: &FakeKubelet) -> (K8sAttestor, Arc<HeldPods>) {
    let pods = Arc::new(HeldPods::new(kubelet.clone(), INTERVAL));
    (K8sAttestor::new(config(), pods.clone()), pods)
}

async fn values(attestor: &K8sAttestor, peer: &Peer) -> Vec<String> {
    let selectors = attestor.attest(peer).await.unwrap();
    assert!(selectors.iter().all(|selector| selector.kind() == "k8s"));
    let mut values: Vec<_> = selectors.iter().map(|one| one.value().to_owned()).collect();
    values.sort();
    values
}

#[tokio::test(start_paused = true)]
async fn every_selector_is_told() {
    let (attestor, _) = attestor(&FakeKubelet::of(vec![pod(1)]));
    let id = "e".repeat(64);
    let mut expected = vec![
        "ns:shop".to_owned(),
        "sa:cashier".to_owned(),
        "node-name:node-1".to_owned(),
        format!("pod-uid:{}", uid(1)),
        "pod-name:shop-1".to_owned(),
        "pod-label:app:shop".to_owned(),
        "pod-owner:ReplicaSet:shop-7d4b".to_owned(),
        "pod-owner-uid:ReplicaSet:rs-uid".to_owned(),
        "pod-image:registry.example/app:1".to_owned(),
        format!("pod-image:registry.example/app@sha256:{id}"),
        "pod-image-count:1".to_owned(),
        "pod-init-image:registry.example/prepare:1".to_owned(),
        format!("pod-init-image:registry.example/prepare@sha256:{id}"),
        "pod-init-image-count:1".to_owned(),
        "container-name:app".to_owned(),
        "container-image:registry.example/app:1".to_owned(),
        format!("container-image:registry.example/app@sha256:{id}"),
    ];
    expected.sort();
    assert_eq!(values(&attestor, &peer(1, 1001)).await, expected);
}

#[tokio::test(start_paused = true)]
async fn init_and_ephemeral_containers_are_known_too() {
    let (attestor, _) = attestor(&FakeKubelet::of(vec![pod(1)]));
    for (number, name) in [(1, "prepare"), (2001, "debug")] {
        let values = values(&attestor, &peer(1, number)).await;
        assert!(
            values.contains(&format!("container-name:{name}")),
            "{values:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_cost_one_list() {
    let kubelet = FakeKubelet::of((0..100).map(pod).collect());
    let (attestor, _) = attestor(&kubelet);
    let peers: Vec<_> = (0..100).map(|number| peer(number, number + 1000)).collect();
    for answer in join_all(peers.iter().map(|peer| attestor.attest(peer))).await {
        assert_eq!(answer.unwrap().len(), 17);
    }
    for peer in &peers {
        attestor.attest(peer).await.unwrap();
    }
    assert_eq!(kubelet.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_in_use_is_kept_fresh_and_attestations_ask_for_none() {
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let (attestor, pods) = attestor(&kubelet);
    let peer = peer(1, 1001);
    let attesting = async {
        for _ in 0..1000 {
            attestor.attest(&peer).await.unwrap();
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = attesting => {}
        () = pods.run(Stop::never()) => unreachable!("it never stops"),
    }
    assert!((8..=12).contains(&kubelet.calls()), "{}", kubelet.calls());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_nobody_uses_is_not_asked_for() {
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let (attestor, pods) = attestor(&kubelet);
    attestor.attest(&peer(1, 1001)).await.unwrap();
    let running = pods.run(Stop::never());
    let _ = tokio::time::timeout(Duration::from_secs(3600), running).await;
    assert!(kubelet.calls() < 70, "{}", kubelet.calls());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_container_is_answered_within_a_second_of_the_kubelet_knowing_it() {
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let (attestor, _) = attestor(&kubelet);
    let late = peer(2, 1002);
    let appears = async {
        sleep(Duration::from_secs(7)).await;
        kubelet.set(vec![pod(1), pod(2)]);
        Instant::now()
    };
    let attested = async { (attestor.attest(&late).await, Instant::now()) };
    let (known, (answer, answered)) = join(appears, attested).await;
    assert_eq!(answer.unwrap().len(), 17);
    assert!(answered - known < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_share_the_requests() {
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let (attestor, _) = attestor(&kubelet);
    let peers: Vec<_> = (10..60).map(|number| peer(number, number + 1000)).collect();
    let appear = async {
        sleep(Duration::from_secs(5)).await;
        kubelet.set((10..60).map(pod).collect());
    };
    let ((), answers) = join(
        appear,
        join_all(peers.iter().map(|peer| attestor.attest(peer))),
    )
    .await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert!(kubelet.calls() <= 13, "{}", kubelet.calls());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_never_appears_is_given_up() {
    let (attestor, _) = attestor(&FakeKubelet::of(vec![pod(1)]));
    let began = Instant::now();
    let failed = attestor.attest(&peer(9, 1009)).await;
    assert!(matches!(failed, Err(AttestError::Other { .. })));
    let waited = began.elapsed();
    assert!((29..=32).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_in_no_pod_has_no_selectors_at_once() {
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let (attestor, _) = attestor(&kubelet);
    let process = FakeProcess::new(42, 1000, 1000);
    for path in [
        "/".to_owned(),
        "/system.slice/sshd.service".to_owned(),
        format!(
            "/user.slice/user-1000.slice/kubepods/pod{}/{}",
            uid(1),
            container(1001)
        ),
    ] {
        process.move_to_cgroup(&format!("0::{path}\n"));
        let peer = Peer::fake(&process).unwrap();
        assert_eq!(attestor.attest(&peer).await.unwrap(), [], "{path}");
    }
    assert_eq!(kubelet.calls(), 0);
    let began = Instant::now();
    process.move_to_cgroup(&format!("0::/docker/{}\n", container(77)));
    let docker = Peer::fake(&process).unwrap();
    assert_eq!(attestor.attest(&docker).await.unwrap(), []);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn two_pods_that_claim_a_container_get_nothing() {
    let mut thief = pod(2);
    thief["status"]["containerStatuses"][0]["containerID"] =
        json!(format!("containerd://{}", container(1001)));
    let (attestor, _) = attestor(&FakeKubelet::of(vec![pod(1), thief]));
    for number in [1, 2] {
        let failed = attestor.attest(&peer(number, 1001)).await;
        assert!(matches!(failed, Err(AttestError::Other { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_of_another_pod_than_the_kernel_names_gets_nothing() {
    let (attestor, _) = attestor(&FakeKubelet::of(vec![pod(1), pod(2)]));
    let failed = attestor.attest(&peer(2, 1001)).await;
    assert!(matches!(failed, Err(AttestError::Other { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_moved_or_replaced_is_not_the_peer_any_more() {
    let (attestor, _) = attestor(&FakeKubelet::of(vec![pod(1), pod(2)]));
    let process = process(1, 1001);
    let peer = Peer::fake(&process).unwrap();
    process.move_to_cgroup(&format!("0::/kubepods/pod{}/{}\n", uid(2), container(1002)));
    // What counts is where it was when it connected, and the caller sees that it moved.
    let values = values(&attestor, &peer).await;
    assert!(values.contains(&"pod-name:shop-1".to_owned()));
    assert!(matches!(peer.still_same(), Err(PeerGone::CgroupMoved)));
    process.restart_at(7);
    assert!(matches!(peer.still_same(), Err(PeerGone::Replaced)));
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_is_away_leaves_known_containers_known() {
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let (attestor, _) = attestor(&kubelet);
    let known = peer(1, 1001);
    attestor.attest(&known).await.unwrap();
    kubelet.is_down(true);
    sleep(Duration::from_secs(200)).await;
    attestor.attest(&known).await.unwrap();
    let unknown = attestor.attest(&peer(2, 1002)).await.unwrap_err();
    assert!(format!("{unknown:?}").contains("502"), "{unknown:?}");
    sleep(Duration::from_secs(200)).await;
    attestor.attest(&known).await.unwrap_err();
    kubelet.is_down(false);
    attestor.attest(&known).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_list_stirs_those_who_follow_it_only_if_it_says_something_else() {
    let kubelet = FakeKubelet::of(vec![pod(1), pod(2)]);
    let (attestor, pods) = attestor(&kubelet);
    let mut changes = attestor.changes().unwrap();
    let following = async {
        changes.changed().await.unwrap();
        let mut ready = pod(1);
        ready["status"]["phase"] = json!("Running");
        kubelet.set(vec![pod(2), ready]);
        let quiet = tokio::time::timeout(Duration::from_secs(10), changes.changed()).await;
        assert!(quiet.is_err(), "nothing that matters changed");
        let mut labelled = pod(1);
        labelled["metadata"]["labels"]["tier"] = json!("gold");
        kubelet.set(vec![labelled, pod(2)]);
        let began = Instant::now();
        changes.changed().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(2));
        let values = values(&attestor, &peer(1, 1001)).await;
        assert!(values.contains(&"pod-label:tier:gold".to_owned()));
    };
    tokio::select! {
        () = following => {}
        () = pods.run(Stop::never()) => unreachable!("it never stops"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_is_told_at_once_and_within_two_seconds() {
    let kubelet = FakeKubelet::of(vec![pod(1), pod(2)]);
    let (attestor, pods) = attestor(&kubelet);
    let workload = peer(1, 1001);
    let mut changes = attestor.changes().unwrap();
    let following = async {
        attestor.attest(&workload).await.unwrap();
        changes.mark_unchanged();
        kubelet.set(vec![pod(2)]);
        let began = Instant::now();
        changes.changed().await.unwrap();
        let failed = attestor.attest(&workload).await;
        assert!(matches!(failed, Err(AttestError::Departed { .. })));
        assert!(began.elapsed() < Duration::from_secs(2));
    };
    tokio::select! {
        () = following => {}
        () = pods.run(Stop::never()) => unreachable!("it never stops"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_has_just_started_takes_nobodys_pod_away() {
    let kubelet = FakeKubelet::of(vec![pod(1), pod(2)]);
    let (attestor, pods) = attestor(&kubelet);
    let workload = peer(1, 1001);
    let mut of_a_file = pod(3);
    of_a_file["metadata"]["annotations"]["kubernetes.io/config.source"] = json!("file");
    let following = async {
        attestor.attest(&workload).await.unwrap();
        for starting in [vec![], vec![of_a_file]] {
            kubelet.set(starting);
            sleep(Duration::from_secs(10)).await;
            attestor.attest(&workload).await.unwrap();
        }
        // A kubelet that stays without pods has none.
        sleep(Duration::from_secs(30)).await;
        let failed = attestor.attest(&workload).await;
        assert!(matches!(failed, Err(AttestError::Departed { .. })));
        kubelet.set(vec![pod(1)]);
        sleep(Duration::from_secs(2)).await;
        attestor.attest(&workload).await.unwrap();
    };
    tokio::select! {
        () = following => {}
        () = pods.run(Stop::never()) => unreachable!("it never stops"),
    }
}

#[tokio::test(start_paused = true)]
async fn without_container_selectors_the_pod_suffices() {
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let config = K8sConfig {
        disable_container_selectors: true,
        ..config()
    };
    let attestor = K8sAttestor::new(config, Arc::new(HeldPods::new(kubelet, INTERVAL)));
    for number in [1001, 5555] {
        let values = values(&attestor, &peer(1, number)).await;
        assert!(values.contains(&"ns:shop".to_owned()));
        assert!(!values.iter().any(|value| value.starts_with("container-")));
    }
}

struct FakeNamespaces(Arc<AtomicUsize>);

#[async_trait]
impl NamespaceSource for FakeNamespaces {
    async fn labels(
        &self,
        namespace: &str,
    ) -> Result<BTreeMap<String, String>, Box<dyn std::error::Error + Send + Sync>> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Ok([("team".to_owned(), namespace.to_owned())].into()),
            _ => Err("the API server is away".into()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn labels_of_the_namespace_are_told_and_held_while_the_api_server_is_away() {
    let calls = Arc::new(AtomicUsize::new(0));
    let config = K8sConfig {
        namespaces: Some(Box::new(FakeNamespaces(calls.clone()))),
        ..config()
    };
    let kubelet = FakeKubelet::of(vec![pod(1)]);
    let attestor = K8sAttestor::new(config, Arc::new(HeldPods::new(kubelet, INTERVAL)));
    for (pause, asked) in [(0, 1), (10, 1), (100, 2)] {
        sleep(Duration::from_secs(pause)).await;
        let values = values(&attestor, &peer(1, 1001)).await;
        assert!(
            values.contains(&"ns-label:team:shop".to_owned()),
            "{values:?}"
        );
        assert_eq!(calls.load(Ordering::SeqCst), asked);
    }
    sleep(Duration::from_secs(400)).await;
    attestor.attest(&peer(1, 1001)).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_list_of_pods_is_refused() {
    struct Html;
    #[async_trait]
    impl PodSource for Html {
        async fn fetch(&self) -> Result<Bytes, KubeletError> {
            Ok(Bytes::from_static(b"<html>Sign in</html>"))
        }
    }
    let pods = Arc::new(HeldPods::new(Html, INTERVAL));
    let failed = K8sAttestor::new(config(), pods)
        .attest(&peer(1, 1001))
        .await;
    assert!(format!("{failed:?}").contains("Form"), "{failed:?}");
}
