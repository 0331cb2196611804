//! A large cluster before a real server with its store: 30,000 pods on 1,000 nodes, ten resources that
//! each declare an entry for each pod. Prints how long the server takes from its start until all 300,000
//! entries are there, how long a pod's change takes until its entry shows it, at rest and while a
//! resource's change is worked out for all pods, how long that takes, and the server's memory.
//!
//! ```text
//! cargo bench -p signet-tests --bench declare
//! ```
//!
//! `SIGNET_BENCH_PODS` is the number of pods (30,000).

#![allow(clippy::print_stdout, reason = "the figures are the point")]
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

#[path = "../processes/kubernetes/cluster.rs"]
mod cluster;
#[path = "../../crates/kubernetes/benches/large/mod.rs"]
mod large;
#[allow(dead_code, reason = "each program uses its part")]
#[path = "../processes/kubernetes/objects.rs"]
mod objects;

use cluster::FakeCluster;
use large::{NAMESPACES, NODES, RULES, pod, rule};
use serde_json::Value;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::entry::v1::{
    CountEntriesRequest, GetEntryRequest, ListEntriesRequest,
};
use signet_tests::scene::directory;
use signet_tests::{Maker, Process, Server, ServerSettings, wire};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;

const CHANGES: usize = 100;
/// As many as the server asks for.
const PAGE: usize = 250;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pods = std::env::var_os("SIGNET_BENCH_PODS");
    let pods = pods.and_then(|text| text.to_str()?.parse().ok());
    runtime.block_on(measure(pods.unwrap_or(30_000)));
}

async fn measure(pods: usize) {
    let directory = directory();
    let cluster = FakeCluster::start(directory.path()).await;
    cluster.change(|state| fill(&mut state.watched, pods));
    let settings = ServerSettings::new(Maker::Signet).line(&format!(
        "kubernetes {{\n  cluster_name = \"demo\"\n  watch_classless = true\n  kube_config_file = \"{}\"\n  }}",
        cluster.kubeconfig.display()
    ));
    let began = Instant::now();
    let mut server = Server::start(directory.path(), &settings).await;
    let mut it = Measured {
        admin: EntryClient::new(wire::channel(&server.socket).await.unwrap()),
        cluster,
    };
    it.until_told(1).await;
    assert_eq!(it.entries().await, pods * RULES);
    println!(
        "{pods} pods: {} entries from zero in {:.1?}, resident {:.0} MB",
        pods * RULES,
        began.elapsed(),
        resident(&server.process)
    );
    let sample = it.sample().await;
    let mut times = Vec::new();
    for (entry, pod) in sample.iter().cycle().take(CHANGES) {
        times.push(it.change_of(entry, *pod).await);
    }
    report("at rest", times);
    let began = Instant::now();
    it.put("clusterspiffeids", rule(0, 2));
    let mut times = Vec::new();
    let mut all = sample.iter().cycle();
    while !it.is_told(0, 2) {
        let (entry, pod) = all.next().unwrap();
        times.push(it.change_of(entry, *pod).await);
    }
    println!(
        "a resource's change: {pods} entries in {:.1?}",
        began.elapsed()
    );
    report("meanwhile", times);
    server.kill().await;
    let began = Instant::now();
    server.resume().await;
    println!("a start with all of them: {:.1?}", began.elapsed());
    it.admin = EntryClient::new(wire::channel(&server.socket).await.unwrap());
    it.put("clusterspiffeids", rule(0, 3));
    while !it.is_told(0, 3) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!(
        "and until another change of a resource is done: {:.1?}, resident {:.0} MB",
        began.elapsed(),
        resident(&server.process)
    );
}

struct Measured {
    admin: EntryClient<Channel>,
    cluster: FakeCluster,
}

impl Measured {
    fn put(&self, resource: &str, object: Value) {
        self.cluster
            .change(|state| state.watched.put(resource, object));
    }

    /// Waits until each resource was told what became of its form of this number, or of a later one: that
    /// is half a second at most after the last entry was written. Counting entries would take time itself.
    async fn until_told(&self, generation: i64) {
        while !(0..RULES).all(|rule| self.is_told(rule, generation)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn entries(&mut self) -> usize {
        let request = CountEntriesRequest::default();
        let answer = self.admin.count_entries(request).await.unwrap();
        usize::try_from(answer.into_inner().count).unwrap()
    }

    /// Entries with the numbers of their pods.
    async fn sample(&mut self) -> Vec<(String, usize)> {
        let request = ListEntriesRequest {
            page_size: 50,
            ..Default::default()
        };
        let answer = self.admin.list_entries(request).await.unwrap().into_inner();
        let all = answer.entries.into_iter().map(|entry| {
            let selectors = entry.selectors.iter();
            let mut pods = selectors.filter_map(|one| one.value.strip_prefix("pod-uid:pod-"));
            let pod = pods.next().and_then(|number| number.parse().ok());
            (entry.id, pod.unwrap())
        });
        all.collect()
    }

    async fn revision(&mut self, id: &str) -> i64 {
        let request = GetEntryRequest {
            id: id.to_owned(),
            output_mask: None,
        };
        let answer = self.admin.get_entry(request).await;
        answer.unwrap().into_inner().revision_number
    }

    /// How long a change of the pod takes until the entry shows it.
    async fn change_of(&mut self, entry: &str, number: usize) -> Duration {
        let before = self.revision(entry).await;
        let changed = pod(number, &format!("v{before}-{number}"));
        let began = Instant::now();
        self.put("pods", changed);
        while self.revision(entry).await == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }

    fn is_told(&self, rule: usize, generation: i64) -> bool {
        self.cluster.change(|state| {
            let name = format!("rule-{rule}");
            let rule = state.watched.get("clusterspiffeids", &name).unwrap();
            let told = rule["status"]["conditions"][0]["observedGeneration"].as_i64();
            told >= Some(generation)
        })
    }
}

fn report(when: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "one pod's change until its entry shows it, {when}: {} times, p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}

fn fill(objects: &mut objects::Objects, pods: usize) {
    objects.page = PAGE;
    for at in 0..NAMESPACES {
        objects.put("namespaces", large::namespace(at));
    }
    for at in 0..NODES {
        objects.put("nodes", large::node(at));
    }
    for at in 0..RULES {
        objects.put("clusterspiffeids", rule(at, 1));
    }
    for at in 0..pods {
        objects.put("pods", pod(at, "a"));
    }
    objects.expire();
}

/// Megabytes of a process, from the kernel.
fn resident(process: &Option<Process>) -> f64 {
    let pid = process.as_ref().unwrap().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<f64>().unwrap() / 1000.0
}
