//! How long pods of a real kubelet wait for their identity, and what an idle node costs.
//!
//! ```text
//! KUBEBUILDER_ASSETS=… cargo bench -p signet-tests --bench pods
//! ```
//!
//! Pods of the default installation start in waves. Each runs this program, which asks at once, tells
//! when it began and when it held its SVID, and keeps the stream. Created is a pod when the API server
//! took it, by its audit log; begun is its program at its first step, when the loader is done. Most of the
//! time before that is the kubelet's, which makes the pod's cgroups, network and container.
//!
//! `SIGNET_BENCH_PODS` is the number of pods (200). The last hundred stay, and for a minute nothing
//! happens but what agent and server do by themselves.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark reports on its standard output"
)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use signet_proto::workload::X509svidRequest;
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_runtime::{Clock as _, SystemClock};
use signet_tests::image::Image;
use signet_tests::installation::Installation;
use signet_tests::{command, usage, wait, wire};

/// Pods that are created at once.
const WAVE: usize = 20;

/// Pods that stay for the idle minute.
const IDLE_PODS: usize = 100;

const IDLE: Duration = Duration::from_secs(60);

/// Until what the last wave began is done.
const SETTLE: Duration = Duration::from_secs(10);

/// A wave that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(300);

/// Between two tries of a workload that is refused: its entry comes in a moment.
const RETRY: Duration = Duration::from_millis(50);

const IMAGE: &str = "measured:1";

/// What this program is told when it is the workload.
const WORKLOAD: &str = "workload";

fn main() {
    let began = SystemClock.now();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if std::env::args().nth(1).as_deref() == Some(WORKLOAD) {
        runtime.block_on(workload(began));
    }
    let pods = std::env::var_os("SIGNET_BENCH_PODS");
    let pods = pods.and_then(|text| text.to_str()?.parse().ok());
    runtime.block_on(measure(pods.unwrap_or(200)));
}

/// Fetches, tells, and keeps the stream for good.
async fn workload(began: SystemTime) {
    let socket = Path::new("/spiffe/spire-agent.sock");
    for tries in 1.. {
        let channel = wire::channel(socket).await;
        let mut client = SpiffeWorkloadApiClient::new(channel.expect("an agent"));
        let request = wire::workload_request(X509svidRequest {});
        if let Ok(stream) = client.fetch_x509svid(request).await {
            let mut stream = stream.into_inner();
            if let Ok(Some(_)) = stream.message().await {
                let held = millis(SystemClock.now());
                let told = json!({"began": millis(began), "held": held, "tries": tries});
                println!("{told}");
                while let Ok(Some(_)) = stream.message().await {}
                println!("the stream ended");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn measure(pods: usize) {
    let Some(it) = Installation::start("pods").await else {
        return;
    };
    let own = std::env::current_exe().expect("the path of this program");
    let there = "/usr/local/bin/workload";
    let image = Image::new(IMAGE).program(&own, there);
    it.cluster.load(&image.entrypoint(&[there, WORKLOAD])).await;
    let mut told = HashMap::new();
    for first in (0..pods).step_by(WAVE) {
        let last = (first + WAVE).min(pods);
        wave(&it, first..last, &mut told).await;
        if last + IDLE_PODS <= pods {
            let wave = format!("wave=w{first}");
            it.cluster
                .api
                .kubectl(&["delete", "pods", "-l", &wave])
                .await;
        }
    }
    report_times(&told, &created(&it).await);
    report_idle(&it).await;
}

/// Creates pods at once, and waits until each has told its times.
async fn wave(it: &Installation, pods: std::ops::Range<usize>, told: &mut HashMap<String, Value>) {
    let all: Vec<_> = pods.clone().map(|number| pod(number, pods.start)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
    it.cluster.api.create(&list.to_string()).await;
    let logs = it.cluster.machine().var("log").join("pods");
    wait::within(PATIENCE, "a wave of pods with SVIDs", async || {
        told.extend(lines(&logs));
        (told.len() >= pods.end).then_some(())
    })
    .await;
}

fn pod(number: usize, wave: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "labels": {"wave": format!("w{wave}")}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "workload", "image": IMAGE,
                "volumeMounts": [{"name": "spiffe", "mountPath": "/spiffe", "readOnly": true}],
            }],
            "volumes": [{"name": "spiffe", "csi": {"driver": "csi.spiffe.io", "readOnly": true}}],
        },
    })
}

/// What the pods that are there have told, by their names, from the kubelet's files.
fn lines(logs: &Path) -> Vec<(String, Value)> {
    let folders = fs::read_dir(logs).into_iter().flatten().flatten();
    let told = folders.filter_map(|folder| {
        let name = folder.file_name().to_str()?.to_owned();
        let pod = name.strip_prefix("default_")?.split('_').next()?.to_owned();
        let log = fs::read_to_string(folder.path().join("workload/0.log")).ok()?;
        let (_, line) = log.lines().next()?.split_once(" stdout F ")?;
        Some((pod, serde_json::from_str(line).ok()?))
    });
    told.collect()
}

/// When the API server took each pod.
async fn created(it: &Installation) -> HashMap<String, f64> {
    let log = fs::read_to_string(it.cluster.api.file("audit.log")).expect("an audit log");
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let created: Vec<_> = events
        .filter(|event| event["objectRef"]["namespace"] == "default")
        .filter(|event| event["objectRef"]["subresource"].is_null())
        .filter_map(|event| {
            let name = event["objectRef"]["name"].as_str()?.to_owned();
            Some((name, event["requestReceivedTimestamp"].as_str()?.to_owned()))
        })
        .collect();
    let times = it.directory().join("times");
    let text: Vec<_> = created.iter().map(|(_, time)| time.as_str()).collect();
    fs::write(&times, text.join("\n")).expect("a file");
    let file = format!("--file={}", times.display());
    let seconds = command::run("date", &[file.as_str(), "+%s.%N"]).await.ok();
    let millis = seconds
        .lines()
        .filter_map(|line| Some(line.parse::<f64>().ok()? * 1000.0));
    created
        .into_iter()
        .map(|(name, _)| name)
        .zip(millis)
        .collect()
}

fn millis(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).expect("a time after 1970");
    since.as_secs_f64() * 1000.0
}

fn report_times(told: &HashMap<String, Value>, created: &HashMap<String, f64>) {
    let field = |told: &Value, name: &str| told[name].as_f64().expect("a time");
    let all = || told.iter().map(|(pod, told)| (created[pod], told));
    let refused = all().filter(|(_, told)| told["tries"] != 1).count();
    println!(
        "{} pods in waves of {WAVE}; {refused} were refused at first",
        told.len()
    );
    println!("{:32} {:>9} {:>9} {:>9}", "ms", "p50", "p99", "max");
    row(
        "program begun to SVID held",
        all().map(|(_, told)| field(told, "held") - field(told, "began")),
    );
    row(
        "pod created to program begun",
        all().map(|(created, told)| field(told, "began") - created),
    );
    row(
        "pod created to SVID held",
        all().map(|(created, told)| field(told, "held") - created),
    );
}

fn row(name: &str, times: impl Iterator<Item = f64>) {
    let mut times: Vec<_> = times.collect();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{name:32} {:9.1} {:9.1} {:9.1}", at(50), at(99), at(100));
}

async fn report_idle(it: &Installation) {
    let machine = it.cluster.machine();
    let pods = machine.containers(WORKLOAD).len();
    tokio::time::sleep(SETTLE).await;
    let programs = ["signet-agent", "signet-server"].map(|name| {
        let pid = machine.containers(name)[0];
        (name, pid, usage::processor_time(pid))
    });
    tokio::time::sleep(IDLE).await;
    println!("{pods} idle pods, each with a stream, for {IDLE:?}");
    println!("{:32} {:>9} {:>9}", "", "ms/s", "RSS, MB");
    for (name, pid, before) in programs {
        let used = (usage::processor_time(pid) - before).as_secs_f64() * 1000.0;
        let used = used / IDLE.as_secs_f64();
        println!("{name:32} {used:9.2} {:9.1}", usage::resident(pid));
    }
}
