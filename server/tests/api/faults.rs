//! A store that takes no writes: they are refused clearly, everything else goes on, and nothing
//! needs to be restarted afterwards.

use crate::harness::{
    World, attest_over, call, create, csr, entry, id, key, refusal, token_request, try_create,
};
use async_trait::async_trait;
use signet_datastore::{ChangeFeed, Commit, Epoch, Loaded, MemoryStore, Store, StoreError};
use signet_model::Revision;
use signet_proto::signet::sync::v1 as sync_api;
use signet_proto::signet::sync::v1::sync_client::SyncClient;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{
    AgentX509svidParams, BanAgentRequest, RenewAgentRequest,
};
use signet_proto::spire::server::entry::v1::BatchDeleteEntryRequest;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::svid::v1::{
    BatchNewX509svidRequest, NewJwtsvidRequest, NewX509svidParams,
};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio_stream::StreamExt;
use tonic::Code;

const WELL: u8 = 0;
const FULL: u8 = 1;
const BROKEN: u8 = 2;

/// A store whose disk can fill up and break.
struct Ill {
    store: MemoryStore,
    state: Arc<AtomicU8>,
}

impl Ill {
    fn check(&self) -> Result<(), StoreError> {
        let path = PathBuf::from("/data/store.redb");
        match self.state.load(Ordering::SeqCst) {
            FULL => Err(StoreError::Full {
                path,
                source: Arc::new(io::ErrorKind::StorageFull.into()),
            }),
            BROKEN => Err(StoreError::Io {
                step: "write",
                path,
                source: Arc::new(io::Error::other("the disk is gone")),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Ill {
    async fn load(&self) -> Result<Loaded, StoreError> {
        self.store.load().await
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        self.check()?;
        self.store.commit(commit).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.check()?;
        self.store.revision().await
    }

    fn changes(&self) -> ChangeFeed {
        self.store.changes()
    }

    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }
}

async fn ill_world() -> (World, Arc<AtomicU8>) {
    let state = Arc::new(AtomicU8::new(WELL));
    let store = Ill {
        store: MemoryStore::new(),
        state: state.clone(),
    };
    let world = World::with(|parts| parts.store = Arc::new(store)).await;
    (world, state)
}

#[tokio::test]
async fn writes_are_refused_clearly_and_accepted_again_by_themselves() {
    let (world, state) = ill_world().await;
    let local = world.local().await;
    let node = world.agent().await;
    let kept = create(&local, vec![entry("/kept", &node.id)])
        .await
        .remove(0);
    let token = world.token().await;
    let mut agents = AgentClient::new(local.clone());
    let mut entries = EntryClient::new(local.clone());
    for (fault, says) in [(FULL, "make room"), (BROKEN, "failed to write")] {
        state.store(fault, Ordering::SeqCst);
        let refused = try_create(&local, vec![entry("/new", &node.id)])
            .await
            .remove(0);
        let status = refused.status.unwrap();
        assert_eq!(Code::from(status.code), Code::Unavailable);
        assert!(status.message.contains(says), "{}", status.message);
        let ids = vec![kept.id.clone()];
        let request = BatchDeleteEntryRequest { ids };
        let deleted = entries.batch_delete_entry(request).await.unwrap();
        let status = deleted.into_inner().results.remove(0).status.unwrap();
        assert_eq!(Code::from(status.code), Code::Unavailable);
        let made = agents.create_join_token(token_request(60, "", None)).await;
        assert_eq!(refusal(made).0, Code::Unavailable);
        let id = Some(node.id.clone());
        let banned = agents.ban_agent(BanAgentRequest { id }).await;
        assert_eq!(refusal(banned).0, Code::Unavailable);
        let attested = world.attest(&token, &key()).await;
        assert_eq!(refusal(attested).0, Code::Unavailable);
    }
    state.store(WELL, Ordering::SeqCst);
    create(&local, vec![entry("/new", &node.id)]).await;
    world
        .attest(&token, &key())
        .await
        .expect("the token was not used up");
}

#[tokio::test]
async fn agents_read_and_are_issued_svids_while_nothing_can_be_written() {
    let (world, state) = ill_world().await;
    let local = world.local().await;
    let node = world.agent().await;
    let made = create(&local, vec![entry("/web", &node.id)])
        .await
        .remove(0);
    state.store(FULL, Ordering::SeqCst);
    // The agent's very first use of its SVID, which cannot be noted.
    let path = "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries";
    call(&node.channel, path).await.unwrap();
    let params = vec![NewX509svidParams {
        entry_id: made.id.clone(),
        csr: csr(&key(), &[]).into(),
    }];
    let issued = node
        .svids()
        .batch_new_x509svid(BatchNewX509svidRequest { params })
        .await;
    let result = issued.unwrap().into_inner().results.remove(0);
    assert_eq!(result.status.unwrap().message, "OK");
    let request = NewJwtsvidRequest {
        entry_id: made.id.clone(),
        audience: vec!["a".to_owned()],
    };
    node.svids().new_jwtsvid(request).await.unwrap();
    let hello = sync_api::Hello {
        agent_version: "1.0".to_owned(),
        ..sync_api::Hello::default()
    };
    let hello = sync_api::WatchRequest {
        message: Some(sync_api::watch_request::Message::Hello(hello)),
    };
    let open = tokio_stream::once(hello).chain(tokio_stream::pending());
    let stream = SyncClient::new(node.channel.clone()).watch(open).await;
    let first = stream
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let begins = matches!(
        first.message,
        Some(sync_api::watch_response::Message::Begin(_))
    );
    assert!(begins, "{first:?}");
    let renewal = RenewAgentRequest {
        params: Some(AgentX509svidParams {
            csr: csr(&key(), &[]).into(),
        }),
    };
    let refused = node.agents().renew_agent(renewal.clone()).await;
    assert_eq!(refusal(refused).0, Code::Unavailable);
    state.store(WELL, Ordering::SeqCst);
    node.agents().renew_agent(renewal).await.unwrap();
    let channel = world.remote(None).await;
    let again = attest_over(channel, &node.token, &csr(&node.shown.key, &[])).await;
    assert_eq!(
        refusal(again).0,
        Code::InvalidArgument,
        "the first use is noted now"
    );
}

#[tokio::test]
async fn a_denial_is_given_even_if_the_store_cannot_be_asked() {
    let (world, state) = ill_world().await;
    let channel = world.remote(Some(&world.minted("/web").await)).await;
    state.store(BROKEN, Ordering::SeqCst);
    let path = "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries";
    let refused = call(&channel, path).await;
    assert_eq!(refusal(refused).0, Code::PermissionDenied);
    let parent = id("/spire/agent/x/y");
    let refused = try_create(&world.local().await, vec![entry("/a", &parent)]).await;
    assert_eq!(
        Code::from(refused[0].status.as_ref().unwrap().code),
        Code::Unavailable
    );
}
