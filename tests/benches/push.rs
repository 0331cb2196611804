//! How long from `entry create` until a waiting workload holds the SVID, and how much memory an
//! idle server and agent have. Ours, and SPIRE's beside it in the same run where its programs are.
//!
//! ```text
//! cargo bench -p signet-tests --bench push
//! ```
//!
//! `SIGNET_BENCH_ENTRIES` is the number of entries for ours (1,000). SPIRE polls every five
//! seconds, so it gets a hundredth of them.

use signet_proto::spire::server::entry::v1 as entry;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::types as wire_types;
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_proto::workload::{X509svidRequest, X509svidResponse};
use signet_tests::{Maker, Scene, ServerSettings, TRUST_DOMAIN, id, programs, usage, wire};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;
use tonic::transport::Channel;

/// A stream that has brought nothing by then is broken; SPIRE needs some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let entries = std::env::var_os("SIGNET_BENCH_ENTRIES");
    let entries = entries
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(1000);
    runtime.block_on(measure("signet", Maker::Signet, entries));
    if programs::spire_is_here("SPIRE beside it") {
        runtime.block_on(measure("spire", Maker::Spire, (entries / 100).max(5)));
    }
}

async fn measure(name: &str, maker: Maker, entries: usize) {
    let scene = Scene::of(&ServerSettings::new(maker), maker).await;
    scene.server.entry("/always", &[]).await;
    let mut workload = Workload::connect(&scene).await;
    workload
        .until(|ids| ids.iter().any(|found| *found == id("/always")))
        .await;
    report_memory(name, "idle", &scene);
    let mut admin = EntryClient::new(wire::channel(&scene.server.socket).await.expect("a server"));
    let selector = scene.server.selector();
    let mut times = Vec::with_capacity(entries);
    for number in 0..entries {
        let path = format!("/measured/{number}");
        let begun = Instant::now();
        let created = create(&mut admin, &path, &selector).await;
        workload
            .until(|ids| ids.iter().any(|found| *found == id(&path)))
            .await;
        times.push(begun.elapsed());
        delete(&mut admin, created).await;
        workload
            .until(|ids| ids.iter().all(|found| *found != id(&path)))
            .await;
    }
    report_times(name, times);
    report_memory(name, "after", &scene);
}

/// A workload that holds a stream open.
struct Workload(Streaming<X509svidResponse>);

impl Workload {
    async fn connect(scene: &Scene) -> Self {
        loop {
            let channel = wire::channel(&scene.agent.socket).await.expect("an agent");
            let mut client = SpiffeWorkloadApiClient::new(channel);
            let request = wire::workload_request(X509svidRequest {});
            if let Ok(stream) = client.fetch_x509svid(request).await {
                let mut stream = stream.into_inner();
                if let Ok(Some(_)) = stream.message().await {
                    let request = wire::workload_request(X509svidRequest {});
                    let again = client.fetch_x509svid(request).await.expect("a stream");
                    return Self(again.into_inner());
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn until(&mut self, enough: impl Fn(&[String]) -> bool) {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.message()).await;
            let message = message.expect("an update in time").expect("an open stream");
            let message = message.expect("a stream that goes on");
            let ids: Vec<_> = message
                .svids
                .into_iter()
                .map(|svid| svid.spiffe_id)
                .collect();
            if enough(&ids) {
                return;
            }
        }
    }
}

async fn create(admin: &mut EntryClient<Channel>, path: &str, selector: &str) -> String {
    let (kind, value) = selector.split_once(':').expect("a selector");
    let identity = |path: &str| wire_types::Spiffeid {
        trust_domain: TRUST_DOMAIN.to_owned(),
        path: path.to_owned(),
    };
    let wanted = wire_types::Entry {
        spiffe_id: Some(identity(path)),
        parent_id: Some(identity("/node")),
        selectors: vec![wire_types::Selector {
            r#type: kind.to_owned(),
            value: value.to_owned(),
        }],
        ..Default::default()
    };
    let request = entry::BatchCreateEntryRequest {
        entries: vec![wanted],
        output_mask: None,
    };
    let answer = admin
        .batch_create_entry(request)
        .await
        .expect("an answer")
        .into_inner();
    let created = answer
        .results
        .into_iter()
        .next()
        .and_then(|result| result.entry);
    created.expect("an entry").id
}

async fn delete(admin: &mut EntryClient<Channel>, id: String) {
    let request = entry::BatchDeleteEntryRequest { ids: vec![id] };
    admin.batch_delete_entry(request).await.expect("an answer");
}

#[allow(clippy::print_stdout, reason = "the figures are the point")]
fn report_times(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    println!(
        "{name}: entry create to SVID at the workload, {} entries: p50 {:.1} ms, p99 {:.1} ms",
        times.len(),
        at(50),
        at(99),
    );
}

#[allow(clippy::print_stdout, reason = "the figures are the point")]
fn report_memory(name: &str, when: &str, scene: &Scene) {
    let [server, agent] = [&scene.server.process, &scene.agent.process]
        .map(|process| usage::resident(process.as_ref().expect("a running program").pid()));
    println!("{name}: resident memory {when}: server {server:.1} MB, agent {agent:.1} MB");
}
