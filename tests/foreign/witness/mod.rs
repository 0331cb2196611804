//! Authorities that rotate every few seconds, watched by the clients of three languages.
//!
//! ```text
//!   Go ◀── mTLS, each way, and each with itself ──▶ Rust ◀── swaps over TCP ──▶ Python
//!    └──────────────────────── one agent, one server ─────────────────────────────┘
//! ```
//!
//! Each conversation shows a JWT-SVID both ways too, so that what one client was given is verified by
//! another. Entries come and go meanwhile. Whatever fails is told with all that the one who refused
//! held. The scenario takes none, but for what ran out while programs did not get to run.
//! `WITNESS_SECONDS` makes it longer than in CI.

#![allow(clippy::print_stdout, reason = "the counts are the point")]

mod children;
mod conversation;
mod failures;
mod machine;
mod tally;
mod tls;
mod workload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use signet_proto::spire::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use signet_proto::spire::server::localauthority::v1::{
    ActivateJwtAuthorityRequest, PrepareJwtAuthorityRequest,
};
use signet_tests::{AgentSettings, Maker, Scene, Server, ServerSettings, wire};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use children::Child;
use failures::Failures;
use tally::Tally;
use workload::Workload;

/// Short, but an SVID is sure of a sixth of it, and is renewed at half of that at the latest.
const CA_TTL: &str = "24s";
/// An authority signs for half of its life; the other kind's rotates in between.
const SIGNS_SECONDS: u64 = 12;
/// An SVID of this life is cut short by its authority now and then.
const SVID_TTL: &str = "8s";
/// Two rotations of each kind, with what starting takes of it.
const SHORT: Duration = Duration::from_secs(45);
/// Between two changes of entries. They are for Rust and Go only: py-spiffe takes some 5 ms of
/// processor time for each certificate of a message, and falls seconds behind where all have them.
const CHURN: Duration = Duration::from_millis(500);

const RUST: &str = "/rust";
const GO: &str = "/go";
const PYTHON: &str = "/python";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_refuses_anybody_while_all_authorities_rotate_every_few_seconds() {
    let name = "nobody_refuses_anybody_while_all_authorities_rotate_every_few_seconds";
    let (Some(go), Some(python)) = (super::clients::go(name), super::clients::python(name)) else {
        return;
    };
    let scene = scene().await;
    let own_program = std::env::current_exe().unwrap();
    entry(&scene, RUST, &own_program).await;
    entry(&scene, GO, &go.program()).await;
    entry(&scene, PYTHON, &python.program()).await;
    let failures = Arc::new(Failures::default());
    let rust = Workload::start(&scene, RUST, Tally::new(RUST, failures.clone())).await;
    let mut own = JoinSet::new();
    let tls = rust.listen_tls(&mut own).await;
    let swaps = rust.listen_swaps(&mut own).await;
    let go_program = go.program();
    let mut go = Child::start(&go, &scene, GO, &[&tls], &failures);
    let go_address = go.address().await;
    let python = Child::start(&python, &scene, PYTHON, &[&swaps], &failures);

    let until = Instant::now() + long();
    tokio::join!(
        rust.converse_until(&go_address, until),
        rust.converse_until(&tls, until),
        churn(&scene, [&own_program, &go_program], until),
        failures.machine.watch(until),
    );
    let python = python.end().await;
    let go = go.end().await;
    let told = [rust.tally.conclude(), go, python];
    report(&told, &failures);
    judge(&told, &failures);
}

fn long() -> Duration {
    let seconds = std::env::var_os("WITNESS_SECONDS").map(|seconds| {
        let seconds = seconds.to_str().and_then(|seconds| seconds.parse().ok());
        seconds.expect("WITNESS_SECONDS is a number of seconds")
    });
    seconds.map_or(SHORT, Duration::from_secs)
}

async fn scene() -> Scene {
    let settings = ServerSettings::new(Maker::Signet)
        .line(&format!("ca_ttl = \"{CA_TTL}\""))
        .line(&format!("default_x509_svid_ttl = \"{SVID_TTL}\""))
        .line(&format!("default_jwt_svid_ttl = \"{SVID_TTL}\""));
    let scene = Scene::tuned(&settings, AgentSettings::know_programs).await;
    put_jwt_out_of_step(&scene.server).await;
    scene
}

/// Makes an entry for the processes that run this program, and gives its id.
async fn entry(scene: &Scene, path: &str, program: &Path) -> String {
    let selector = format!("unix:path:{}", program.display());
    scene
        .server
        .entry(path, &["-hint", path, "-selector", &selector])
        .await
}

/// Makes entries and deletes them, so that the streams of these programs have news all the time.
async fn churn(scene: &Scene, programs: [&Path; 2], until: Instant) {
    for program in programs.iter().cycle() {
        let id = entry(scene, "/passer-by", program).await;
        sleep(CHURN).await;
        let line = ["entry", "delete", "-entryID", &id];
        scene.server.cli(&line).await.ok();
        sleep(CHURN).await;
        if Instant::now() > until {
            return;
        }
    }
}

/// From now on the kinds of authority rotate by turns, and not all at once. Nobody holds anything yet
/// that an authority would have to be known for.
async fn put_jwt_out_of_step(server: &Server) {
    let channel = wire::channel(&server.socket).await;
    let mut authorities = LocalAuthorityClient::new(channel.unwrap());
    let asked = PrepareJwtAuthorityRequest {};
    let prepared = authorities.prepare_jwt_authority(asked).await.unwrap();
    let prepared = prepared.into_inner().prepared_authority;
    let authority_id = prepared.unwrap().authority_id;
    let asked = ActivateJwtAuthorityRequest { authority_id };
    authorities.activate_jwt_authority(asked).await.unwrap();
}

fn report(told: &[Value], failures: &Failures) {
    println!("in {} s: {failures}", long().as_secs());
    for one in told {
        println!("{one}");
    }
}

fn judge(told: &[Value], failures: &Failures) {
    assert_eq!(failures.faults(), 0, "{failures}");
    // The first authority signs for longer than those after it.
    let rotations = long().as_secs() / SIGNS_SECONDS;
    for one in told {
        let count = |name: &str| one[name].as_u64().unwrap_or_default();
        assert!(count("tokens") > 0, "{one}");
        for name in ["signers", "keys"] {
            assert!(count(name) + 1 >= rotations, "{name}: {one}");
        }
    }
}
