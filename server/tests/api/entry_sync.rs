//! What agents may serve: `GetAuthorizedEntries` and SPIRE's sync stream, message by message.

use crate::harness::{HOUR, Node, World, create, entry, id, operator, refusal};
use signet_model::EntryId;
use signet_proto::spire::server::entry::v1::{
    GetAuthorizedEntriesRequest, SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse,
};
use signet_proto::spire::types::{Entry, EntryMask};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// An open sync stream.
struct Sync {
    requests: Option<mpsc::Sender<SyncAuthorizedEntriesRequest>>,
    answers: Streaming<SyncAuthorizedEntriesResponse>,
}

impl Sync {
    async fn open(node: &Node, first: SyncAuthorizedEntriesRequest) -> Result<Self, Status> {
        let (requests, sent) = mpsc::channel(8);
        requests.send(first).await.unwrap();
        let mut client = node.entries();
        let answers = client
            .sync_authorized_entries(ReceiverStream::new(sent))
            .await?;
        Ok(Self {
            requests: Some(requests),
            answers: answers.into_inner(),
        })
    }

    async fn answer(&mut self) -> SyncAuthorizedEntriesResponse {
        self.answers
            .message()
            .await
            .unwrap()
            .expect("the stream goes on")
    }

    async fn ask(&self, ids: Vec<String>) {
        let request = SyncAuthorizedEntriesRequest {
            ids,
            output_mask: None,
        };
        self.requests.as_ref().unwrap().send(request).await.unwrap();
    }

    /// Half-closes, and demands that the server ends with OK.
    async fn finish(mut self) {
        self.requests = None;
        assert!(self.answers.message().await.unwrap().is_none());
    }
}

async fn world_with(count: usize) -> (World, Node, Vec<Entry>) {
    let world = World::new().await;
    let node = world.agent().await;
    let all = (0..count)
        .map(|n| entry(&format!("/w{n}"), &node.id))
        .collect();
    let mut made = create(&world.local().await, all).await;
    made.sort_by(|one, other| one.id.cmp(&other.id));
    (world, node, made)
}

#[tokio::test]
async fn up_to_500_entries_come_in_one_message_and_the_stream_ends() {
    for count in [0, 1, 500] {
        let (_world, node, made) = world_with(count).await;
        let first = SyncAuthorizedEntriesRequest::default();
        let mut sync = Sync::open(&node, first).await.unwrap();
        let answer = sync.answer().await;
        assert_eq!(answer.entries, made);
        assert!(!answer.more && answer.entry_revisions.is_empty());
        assert!(sync.answers.message().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn more_entries_come_as_revisions_and_then_as_asked_for() {
    for (count, pages) in [(501, vec![500, 1]), (1001, vec![500, 500, 1])] {
        let (_world, node, made) = world_with(count).await;
        let first = SyncAuthorizedEntriesRequest::default();
        let mut sync = Sync::open(&node, first).await.unwrap();
        let mut ids = Vec::new();
        for (number, size) in pages.iter().enumerate() {
            let page = sync.answer().await;
            assert_eq!(page.entry_revisions.len(), *size);
            assert_eq!(page.more, number + 1 < pages.len());
            assert!(page.entries.is_empty());
            ids.extend(page.entry_revisions.into_iter().map(|revision| {
                assert_eq!(
                    (revision.revision_number, revision.created_at),
                    (0, made[0].created_at)
                );
                revision.id
            }));
        }
        let expected: Vec<_> = made.iter().map(|entry| entry.id.clone()).collect();
        assert_eq!(ids, expected);

        sync.ask(ids).await;
        let mut entries = Vec::new();
        for (number, size) in pages.iter().enumerate() {
            let page = sync.answer().await;
            assert_eq!(
                (page.entries.len(), page.more),
                (*size, number + 1 < pages.len())
            );
            assert!(page.entry_revisions.is_empty());
            entries.extend(page.entries);
        }
        assert_eq!(entries, made);

        sync.ask(vec![
            "nope".to_owned(),
            made[3].id.clone(),
            "a b".to_owned(),
        ])
        .await;
        let some = sync.answer().await;
        assert_eq!((some.entries.as_slice(), some.more), (&made[3..4], false));
        for ids in [vec![], vec!["nope".to_owned()]] {
            sync.ask(ids).await;
            assert_eq!(
                sync.answer().await,
                SyncAuthorizedEntriesResponse::default()
            );
        }
        sync.finish().await;
    }
}

#[tokio::test]
async fn the_first_mask_holds_for_the_whole_stream() {
    let (_world, node, made) = world_with(501).await;
    let first = SyncAuthorizedEntriesRequest {
        output_mask: Some(EntryMask {
            revision_number: true,
            ..EntryMask::default()
        }),
        ids: vec![],
    };
    let mut sync = Sync::open(&node, first).await.unwrap();
    sync.answer().await;
    sync.answer().await;
    sync.ask(vec![made[0].id.clone()]).await;
    let bare = Entry {
        id: made[0].id.clone(),
        ..Entry::default()
    };
    assert_eq!(sync.answer().await.entries, [bare]);
}

#[tokio::test]
async fn a_stream_that_begins_wrongly_is_refused() {
    let (_world, node, _) = world_with(1).await;
    let ids = SyncAuthorizedEntriesRequest {
        ids: vec!["a".to_owned()],
        output_mask: None,
    };
    let no_revision = SyncAuthorizedEntriesRequest {
        output_mask: Some(EntryMask {
            hint: true,
            ..EntryMask::default()
        }),
        ids: vec![],
    };
    for first in [ids, no_revision] {
        let refused = Sync::open(&node, first).await.map(drop);
        assert_eq!(refusal(refused).0, Code::InvalidArgument);
    }
    let mut client = node.entries();
    let nothing = tokio_stream::empty::<SyncAuthorizedEntriesRequest>();
    let refused = client.sync_authorized_entries(nothing).await.map(drop);
    assert_eq!(refusal(refused).0, Code::Unknown);
}

#[tokio::test]
async fn a_later_sync_sees_what_has_changed_and_the_open_one_does_not() {
    let (world, node, made) = world_with(501).await;
    let mut open = Sync::open(&node, Default::default()).await.unwrap();
    open.answer().await;
    open.answer().await;
    let new = create(&world.local().await, vec![entry("/new", &node.id)])
        .await
        .remove(0);
    open.ask(vec![new.id.clone(), made[0].id.clone()]).await;
    assert_eq!(open.answer().await.entries, [made[0].clone()]);
    let mut later = Sync::open(&node, Default::default()).await.unwrap();
    later.answer().await;
    assert_eq!(later.answer().await.entry_revisions.len(), 2);
}

async fn authorized(node: &Node) -> Vec<String> {
    let request = GetAuthorizedEntriesRequest::default();
    let got = node.entries().get_authorized_entries(request).await;
    let entries = got.unwrap().into_inner().entries;
    entries
        .into_iter()
        .map(|entry| entry.spiffe_id.unwrap().path)
        .collect()
}

#[tokio::test]
async fn expired_and_disabled_entries_authorize_nothing() {
    let world = World::new().await;
    let node = world.agent().await;
    let local = world.local().await;
    let lapsing = Entry {
        expires_at: world.now() + 60,
        ..entry("/lapsing", &node.id)
    };
    let below = entry("/below", &id("/lapsing"));
    let other = entry("/other", &id("/spire/agent/x/y"));
    let kept = entry("/kept", &node.id);
    let made = create(&local, vec![lapsing, below, other, kept]).await;
    assert_eq!(authorized(&node).await.len(), 3);
    world.clock.advance(HOUR / 60);
    assert_eq!(authorized(&node).await, ["/kept"]);
    let kept = EntryId::parse(&made[3].id).unwrap();
    let edit = |old: &signet_model::Entry| {
        Ok(signet_model::Entry {
            disabled: true,
            ..old.clone()
        })
    };
    let issuer = world.server.issuer();
    issuer.update_entry(&operator(), &kept, edit).await.unwrap();
    assert!(authorized(&node).await.is_empty());
}
