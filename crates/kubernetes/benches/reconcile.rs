//! A large cluster: 30,000 pods on 1,000 nodes, ten resources that each declare an entry for each pod.
//! Prints how long everything takes from zero, how long one change takes, and what it holds in memory.
//!
//!     cargo bench -p signet-kubernetes --bench reconcile

#![allow(clippy::print_stdout, reason = "it is what this program is for")]
#![allow(clippy::disallowed_methods, reason = "it looks at the clock")]

mod large;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use large::{NAMESPACES, NODES, RULES, pod, rule};
use serde_json::Value;
use signet_kubernetes::{Change, IgnoredNamespaces, Kind, Object, Settings, World};
use signet_spiffe::TrustDomain;

const PODS: usize = 30_000;
const CHANGES: usize = 200;

fn main() {
    let mut world = World::new(settings());
    let before = resident();
    let began = Instant::now();
    for at in 0..NAMESPACES {
        put(&mut world, Kind::Namespaces, large::namespace(at));
    }
    for at in 0..NODES {
        put(&mut world, Kind::Nodes, large::node(at));
    }
    for at in 0..RULES {
        put(&mut world, Kind::SpiffeIds, rule(at, 1));
    }
    for at in 0..PODS {
        put(&mut world, Kind::Pods, pod(at, "a"));
    }
    complete(&mut world);
    let read = began.elapsed();
    let began = Instant::now();
    let entries = settle(&mut world);
    println!(
        "{PODS} pods read in {read:.2?}, {entries} entries worked out in {:.2?}",
        began.elapsed()
    );
    println!(
        "resident: {} MB more than before",
        (resident() - before) / 1_000_000
    );
    let mut times: Vec<_> = (0..CHANGES).map(|at| one_change(&mut world, at)).collect();
    times.sort_unstable();
    let (median, late) = (times[CHANGES / 2], times[CHANGES * 99 / 100]);
    println!("one pod's change: p50 {median:.2?}, p99 {late:.2?}");
    let began = Instant::now();
    put(&mut world, Kind::SpiffeIds, rule(0, 2));
    let changed = settle(&mut world);
    println!(
        "one resource's change: {changed} entries in {:.2?}",
        began.elapsed()
    );
}

fn settings() -> Settings {
    Settings {
        trust_domain: TrustDomain::parse("example.org").expect("a name"),
        cluster_name: "demo".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        ignored: IgnoredNamespaces::default(),
        class_name: String::new(),
        watch_classless: true,
        parent_id: Settings::default_parent_id(),
        default_id: None,
    }
}

fn put(world: &mut World, kind: Kind, object: Value) {
    world.put(Object::read(kind, object).expect("an object"));
}

/// Everything is listed; what was put stays.
fn complete(world: &mut World) {
    let keys = |prefix: &str, count: usize| -> HashSet<_> {
        (0..count)
            .map(|at| format!("{prefix}{at}").into())
            .collect()
    };
    for kind in Kind::ALL {
        let seen = match kind {
            Kind::Namespaces => keys("ns-", NAMESPACES),
            Kind::Nodes => keys("node-", NODES),
            Kind::SpiffeIds => keys("rule-", RULES),
            Kind::Pods => keys("pod-", PODS),
            _ => HashSet::new(),
        };
        world.listed(kind, &seen);
    }
}

fn settle(world: &mut World) -> usize {
    let mut count = 0;
    while !world.is_settled() {
        let changes = world.settle(250, 500);
        count += changes
            .iter()
            .filter(|change| matches!(change, Change::Set { .. }))
            .count();
    }
    count
}

fn one_change(world: &mut World, at: usize) -> Duration {
    let changed = pod(at * 149, "b");
    let began = Instant::now();
    put(world, Kind::Pods, changed);
    assert_eq!(settle(world), RULES);
    began.elapsed()
}

/// In bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells");
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}
