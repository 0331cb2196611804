//! `kill -9`: each acknowledged write is there and the store opens.
//!
//! The test runs itself as a child that writes from several tasks at once and says each
//! acknowledgement on its standard output. It is killed fifty times in the midst of it, at a
//! random moment: at the start, in the opening, or after some acknowledgements.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

use std::{
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use rand::Rng;
use signet_datastore::{Commit, RedbStore, Store};

const ROUNDS: usize = 50;
const WRITERS: usize = 8;
/// Names the store to the child.
const STORE: &str = "SIGNET_TEST_KILL_STORE";

#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        acknowledged.extend(run_and_kill(&path));
        let found = keys(&path).await;
        for key in &acknowledged {
            assert!(found.contains(key), "round {round}: {key} is gone");
        }
    }
    println!(
        "{ROUNDS} kills, {} acknowledged writes kept",
        acknowledged.len()
    );
    assert!(acknowledged.len() > ROUNDS);
}

/// Kills the child after a random number of lines and answers with all it acknowledged.
fn run_and_kill(path: &Path) -> Vec<String> {
    let mut child = spawn(path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    for _ in 0..rand::rng().random_range(0..80) {
        seen.extend(next(&mut lines));
    }
    child.kill().unwrap();
    while let Some(key) = next(&mut lines) {
        seen.push(key);
    }
    child.wait().unwrap();
    seen
}

fn spawn(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The key of the next acknowledgement; a line cut off by the kill is none.
fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    let line = lines.by_ref().map_while(Result::ok);
    let key = |line: String| Some(line.strip_prefix("ack ")?.strip_suffix(" .")?.to_owned());
    line.filter_map(key).next()
}

async fn keys(path: &Path) -> std::collections::BTreeSet<String> {
    let store = RedbStore::open(path).unwrap();
    let records = store.load().await.unwrap().records;
    records.into_iter().map(|record| record.key).collect()
}

#[tokio::test]
#[ignore = "the child of the test above"]
#[allow(clippy::disallowed_methods, reason = "how the parent names the store")]
async fn child() {
    let Ok(path) = std::env::var(STORE) else {
        return;
    };
    let store = RedbStore::open(PathBuf::from(path)).unwrap();
    let writers = (0..WRITERS).map(|writer| write(&store, writer));
    futures::future::join_all(writers).await;
}

async fn write(store: &RedbStore, writer: usize) {
    for number in 0.. {
        let key = format!("{}/{writer}/{number}", std::process::id());
        let commit = Commit::new().absent(&*key).put(&*key, vec![b'v'; 400]);
        store.commit(commit).await.unwrap();
        println!("ack {key} .");
    }
}
