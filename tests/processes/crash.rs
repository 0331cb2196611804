//! The server is killed in the middle of writes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::entry::v1::{BatchCreateEntryRequest, ListEntriesRequest};
use signet_proto::spire::types::{Entry, EntryMask, Selector, Spiffeid};
use signet_tests::scene::directory;
use signet_tests::{Maker, Server, ServerSettings, TRUST_DOMAIN, wire};
use tokio::sync::Notify;
use tonic::transport::Channel;

const ROUNDS: usize = 50;

/// At most so many writes are acknowledged in a round before the kill.
const MOST_WRITES: usize = 23;

#[tokio::test]
async fn each_acknowledged_entry_outlives_fifty_kills() {
    let directory = directory();
    let mut server = Server::start(directory.path(), &ServerSettings::new(Maker::Signet)).await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let writes = 1 + round * 7 % MOST_WRITES;
        acknowledged.extend(write_until_killed(&mut server, round, writes).await);
        server.resume().await;
        let there = ids(&server).await;
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(
            lost.is_empty(),
            "round {round}: {} are lost: {lost:?}",
            lost.len()
        );
    }
    let count = acknowledged.len();
    assert!(count >= ROUNDS, "{count} writes were acknowledged");
}

/// Four writers at once; the kill comes when so many writes are acknowledged, and finds others
/// under way.
async fn write_until_killed(server: &mut Server, round: usize, writes: usize) -> Vec<String> {
    let channel = wire::channel(&server.socket).await.unwrap();
    let process = server.process.take().unwrap();
    let round = Round {
        number: round,
        next: Cell::new(0),
        acknowledged: RefCell::default(),
        enough: Notify::new(),
        writes,
    };
    let kill = async {
        round.enough.notified().await;
        process.kill().await;
    };
    let writer = || round.write(EntryClient::new(channel.clone()));
    tokio::join!(writer(), writer(), writer(), writer(), kill);
    round.acknowledged.into_inner()
}

struct Round {
    number: usize,
    next: Cell<usize>,
    acknowledged: RefCell<Vec<String>>,
    enough: Notify,
    writes: usize,
}

impl Round {
    /// Writes until the server is gone.
    async fn write(&self, mut client: EntryClient<Channel>) {
        loop {
            let number = self.next.replace(self.next.get() + 1);
            let path = format!("/round/{}/{number}", self.number);
            let request = BatchCreateEntryRequest {
                entries: vec![entry(path)],
                output_mask: None,
            };
            let Ok(answer) = client.batch_create_entry(request).await else {
                return;
            };
            let result = answer.into_inner().results.remove(0);
            assert_eq!(result.status.unwrap().code, 0);
            self.acknowledged
                .borrow_mut()
                .push(result.entry.unwrap().id);
            if self.acknowledged.borrow().len() >= self.writes {
                self.enough.notify_one();
            }
        }
    }
}

fn entry(path: String) -> Entry {
    let id = |path: String| Spiffeid {
        trust_domain: TRUST_DOMAIN.into(),
        path,
    };
    Entry {
        spiffe_id: Some(id(path)),
        parent_id: Some(id("/node".into())),
        selectors: vec![Selector {
            r#type: "unix".into(),
            value: "uid:7".into(),
        }],
        ..Entry::default()
    }
}

async fn ids(server: &Server) -> BTreeSet<String> {
    let mut client = EntryClient::new(wire::channel(&server.socket).await.unwrap());
    let request = ListEntriesRequest {
        output_mask: Some(EntryMask::default()),
        ..ListEntriesRequest::default()
    };
    let list = client.list_entries(request).await.unwrap().into_inner();
    assert!(list.next_page_token.is_empty());
    list.entries.into_iter().map(|entry| entry.id).collect()
}
