//! Connections give back what they take. Alone in its process, so that nobody else opens files.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::os::unix::net::UnixStream;

use signet_workload_attestor::peer::{Access, PeerListener};

const CONNECTIONS: usize = 10_000;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_connection_costs_two_descriptors_and_gives_them_back_ten_thousand_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let listener = PeerListener::bind(&path, Access::Public).unwrap();
    let before = open_descriptors();
    for _ in 0..CONNECTIONS {
        let client = UnixStream::connect(&path).unwrap();
        let connection = listener.accept().await.unwrap();
        connection.peer().still_same().unwrap();
        drop((client, connection));
    }
    assert_eq!(open_descriptors(), before);
    let _client = UnixStream::connect(&path).unwrap();
    let _connection = listener.accept().await.unwrap();
    assert_eq!(open_descriptors(), before + 3, "client, our end, pidfd");
}
