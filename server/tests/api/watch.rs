//! The stream by which agents hear of changes: greeting, difference, push, and how it ends.

use crate::callers::ForeignCa;
use crate::harness::{Node, World, create, entry, id, operator, reason, refusal};
use signet_crypto::sha256;
use signet_model::{Change, EntryId, holdings_lines};
use signet_proto::signet::sync::v1 as api;
use signet_proto::signet::sync::v1::sync_client::SyncClient;
use signet_proto::signet::sync::v1::watch_request::Message as Out;
use signet_proto::signet::sync::v1::watch_response::Message as In;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{BanAgentRequest, DeleteAgentRequest};
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::entry::v1::{BatchDeleteEntryRequest, BatchUpdateEntryRequest};
use signet_proto::spire::types::permission_denied_details::Reason;
use signet_proto::spire::types::{Bundle, Entry};
use signet_server::authority::Kind;
use signet_server::state::{Plan, StateError};
use signet_spiffe::{TrustDomain, X509Authority, x509_svid};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

const SECOND: Duration = Duration::from_secs(1);

/// The agent's end of a stream.
pub(crate) struct Stream {
    requests: mpsc::Sender<api::WatchRequest>,
    answers: Streaming<api::WatchResponse>,
}

/// What one update brought.
#[derive(Debug, Default)]
pub(crate) struct Update {
    epoch: Vec<u8>,
    pub(crate) revision: u64,
    pub(crate) upserts: Vec<Entry>,
    marks: Vec<i64>,
    deletes: Vec<String>,
    bundles: Vec<Bundle>,
    removed: Vec<String>,
}

impl Update {
    fn is_empty(&self) -> bool {
        self.upserts.is_empty()
            && self.deletes.is_empty()
            && self.bundles.is_empty()
            && self.removed.is_empty()
    }

    fn ids(&self) -> Vec<&str> {
        self.upserts.iter().map(|entry| entry.id.as_str()).collect()
    }
}

impl Stream {
    async fn open(node: &Node) -> Self {
        let (requests, sent) = mpsc::channel(16);
        let mut client = SyncClient::new(node.channel.clone());
        let answers = client.watch(ReceiverStream::new(sent)).await.unwrap();
        Self {
            requests,
            answers: answers.into_inner(),
        }
    }

    pub(crate) async fn say(&self, message: Out) {
        let message = Some(message);
        self.requests
            .send(api::WatchRequest { message })
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Result<In, Status> {
        let message = self.answers.message().await?;
        Ok(message.unwrap().message.unwrap())
    }

    /// The next update, heartbeats left aside.
    pub(crate) async fn update(&mut self) -> Result<Update, Status> {
        let mut update = Update::default();
        loop {
            match self.hear().await? {
                In::Heartbeat(_) => {}
                In::Begin(begin) => {
                    update.epoch = begin.store_epoch.to_vec();
                    update.revision = begin.revision;
                }
                In::Page(page) => {
                    assert_eq!(page.upserts.len(), page.marks.len());
                    update.upserts.extend(page.upserts);
                    update.marks.extend(page.marks);
                    update.deletes.extend(page.deletes);
                    update.bundles.extend(page.bundles);
                    update.removed.extend(page.removed_bundles);
                }
                In::End(end) => {
                    assert_eq!(end.revision, update.revision);
                    return Ok(update);
                }
                In::NeedHoldings(_) => panic!("nothing was said of holdings"),
            }
        }
    }

    /// The next update that changes anything, and how long it took to come.
    async fn pushed(&mut self) -> (Update, Duration) {
        let begun = Instant::now();
        loop {
            let update = self.update().await.unwrap();
            if !update.is_empty() {
                return (update, begun.elapsed());
            }
        }
    }

    /// How the stream ends.
    async fn ended(&mut self) -> (Status, Duration) {
        let begun = Instant::now();
        loop {
            if let Err(status) = self.hear().await {
                return (status, begun.elapsed());
            }
        }
    }
}

/// A stream greeted by an agent that has nothing.
pub(crate) async fn greeted(node: &Node) -> (Stream, Update) {
    let mut stream = Stream::open(node).await;
    stream.say(Out::Hello(api::Hello::default())).await;
    let first = stream.update().await.unwrap();
    (stream, first)
}

/// The hello of an agent that holds what this update brought.
fn holding(update: &Update) -> api::Hello {
    let ids: Vec<_> = update
        .upserts
        .iter()
        .map(|entry| EntryId::parse(&entry.id).unwrap())
        .collect();
    let created =
        |entry: &Entry| UNIX_EPOCH + Duration::from_secs(u64::try_from(entry.created_at).unwrap());
    let entries = update.upserts.iter().zip(&update.marks).zip(&ids);
    let entries = entries.map(|((entry, mark), id)| (id, *mark, created(entry)));
    let names: Vec<_> = update
        .bundles
        .iter()
        .map(|bundle| TrustDomain::parse(&bundle.trust_domain).unwrap())
        .collect();
    let bundles = names.iter().zip(&update.bundles);
    let bundles = bundles.map(|(name, bundle)| (name, bundle.sequence_number));
    api::Hello {
        store_epoch: update.epoch.clone().into(),
        revision: update.revision,
        holdings_hash: sha256(&holdings_lines(entries, bundles)).to_vec().into(),
        ..api::Hello::default()
    }
}

/// A world with an operator, an agent and an entry of it.
async fn served() -> (World, Channel, Node, Entry) {
    let world = World::paused().await;
    let channel = world.operator().await;
    let node = world.agent().await;
    let made = create(&channel, vec![entry("/web", &node.id)])
        .await
        .remove(0);
    (world, channel, node, made)
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_nothing_gets_all_that_is_its_and_our_bundle() {
    let (_world, channel, node, made) = served().await;
    let other = entry("/other", &id("/spire/agent/x/y"));
    create(&channel, vec![other]).await;
    let (_stream, first) = greeted(&node).await;
    assert_eq!(first.upserts, [made]);
    assert_eq!(first.bundles.len(), 1);
    assert_eq!(first.bundles[0].trust_domain, "example.org");
    assert!(first.deletes.is_empty() && first.removed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_holds_the_truth_is_confirmed_with_an_empty_update() {
    let (_world, _channel, node, _) = served().await;
    let (_stream, first) = greeted(&node).await;
    let mut stream = Stream::open(&node).await;
    stream.say(Out::Hello(holding(&first))).await;
    let again = stream.update().await.unwrap();
    assert!(again.is_empty(), "{again:?}");
    assert_eq!((again.revision, again.epoch), (first.revision, first.epoch));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_holds_something_else_says_what_and_gets_the_difference() {
    let (_world, channel, node, kept) = served().await;
    let more = vec![
        Entry {
            id: "stale".to_owned(),
            ..entry("/stale", &node.id)
        },
        Entry {
            id: "missing".to_owned(),
            ..entry("/missing", &node.id)
        },
    ];
    create(&channel, more).await;
    let (_stream, first) = greeted(&node).await;
    let mut stream = Stream::open(&node).await;
    let hello = api::Hello {
        holdings_hash: vec![7; 32].into(),
        ..holding(&first)
    };
    stream.say(Out::Hello(hello)).await;
    assert!(matches!(stream.hear().await.unwrap(), In::NeedHoldings(_)));
    let holding = |id: &str, mark| api::Holding {
        entry_id: id.to_owned(),
        entry_revision: mark,
        created_at: kept.created_at,
    };
    let place = first.ids().iter().position(|id| *id == kept.id).unwrap();
    let one = api::Holdings {
        holdings: vec![holding(&kept.id, first.marks[place]), holding("stale", 999)],
        more: true,
        ..api::Holdings::default()
    };
    let two = api::Holdings {
        holdings: vec![holding("gone", 0)],
        bundles: vec![api::BundleHolding {
            trust_domain: "gone.org".to_owned(),
            sequence_number: 1,
        }],
        more: false,
    };
    stream.say(Out::Holdings(one)).await;
    stream.say(Out::Holdings(two)).await;
    let update = stream.update().await.unwrap();
    assert_eq!(update.ids(), ["missing", "stale"]);
    assert_eq!(update.deletes, ["gone"]);
    assert_eq!(update.removed, ["gone.org"]);
    assert_eq!(update.bundles.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_changed_and_deleted_entry_is_pushed_at_once() {
    let (_world, channel, node, made) = served().await;
    let (mut stream, _) = greeted(&node).await;
    let new = create(&channel, vec![entry("/new", &node.id)])
        .await
        .remove(0);
    let (update, took) = stream.pushed().await;
    assert_eq!(update.upserts, [new]);
    assert!(took < SECOND, "{took:?}");

    let mut client = EntryClient::new(channel.clone());
    let request = BatchUpdateEntryRequest {
        entries: vec![Entry {
            hint: "changed".to_owned(),
            ..made.clone()
        }],
        ..BatchUpdateEntryRequest::default()
    };
    client.batch_update_entry(request).await.unwrap();
    let (update, took) = stream.pushed().await;
    assert_eq!(
        (
            update.upserts[0].hint.as_str(),
            update.upserts[0].revision_number
        ),
        ("changed", 1)
    );
    assert!(took < SECOND, "{took:?}");

    let ids = vec![made.id.clone()];
    client
        .batch_delete_entry(BatchDeleteEntryRequest { ids })
        .await
        .unwrap();
    let (update, took) = stream.pushed().await;
    assert_eq!(update.deletes, [made.id]);
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_entry_made_again_under_its_id_within_the_second_is_told_from_the_one_before() {
    let (_world, channel, node, _) = served().await;
    let fixed = |path| Entry {
        id: "fixed".to_owned(),
        ..entry(path, &node.id)
    };
    create(&channel, vec![fixed("/before")]).await;
    let (away, first) = greeted(&node).await;
    drop(away);
    let ids = vec!["fixed".to_owned()];
    EntryClient::new(channel.clone())
        .batch_delete_entry(BatchDeleteEntryRequest { ids })
        .await
        .unwrap();
    create(&channel, vec![fixed("/after")]).await;
    let mut stream = Stream::open(&node).await;
    stream.say(Out::Hello(holding(&first))).await;
    assert!(matches!(stream.hear().await.unwrap(), In::NeedHoldings(_)));
    let held = first.upserts.iter().zip(&first.marks);
    let held = held.map(|(entry, mark)| api::Holding {
        entry_id: entry.id.clone(),
        entry_revision: *mark,
        created_at: entry.created_at,
    });
    let held = api::Holdings {
        holdings: held.collect(),
        ..api::Holdings::default()
    };
    stream.say(Out::Holdings(held)).await;
    let update = stream.update().await.unwrap();
    assert_eq!(update.ids(), ["fixed"]);
    let before = first.upserts.iter().find(|entry| entry.id == "fixed");
    let before = before.unwrap();
    let (created, revision) = (
        update.upserts[0].created_at,
        update.upserts[0].revision_number,
    );
    assert_eq!(
        (created, revision),
        (before.created_at, before.revision_number),
        "only the mark tells them apart"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_restored_store_every_entry_is_sent_again() {
    let (_world, _channel, node, made) = served().await;
    let (_stream, first) = greeted(&node).await;
    let mut stream = Stream::open(&node).await;
    let hello = api::Hello {
        store_epoch: vec![1; 16].into(),
        ..holding(&first)
    };
    stream.say(Out::Hello(hello)).await;
    assert!(matches!(stream.hear().await.unwrap(), In::NeedHoldings(_)));
    let held = api::Holdings {
        holdings: vec![api::Holding {
            entry_id: made.id.clone(),
            entry_revision: first.marks[0],
            created_at: made.created_at,
        }],
        ..api::Holdings::default()
    };
    stream.say(Out::Holdings(held)).await;
    assert_eq!(stream.update().await.unwrap().ids(), [made.id]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_svid_that_opened_it() {
    let (world, _channel, node, _) = served().await;
    let end = x509_svid::parse(&node.shown.chain).unwrap().not_after;
    let clock = world.server.issuer().clock.clone();
    let left = end.duration_since(clock.now()).unwrap();
    tokio::time::sleep(left - 7 * SECOND).await;
    let (mut stream, _) = greeted(&node).await;
    let (status, took) = stream.ended().await;
    assert_eq!(reason(&status), Some(Reason::AgentExpired), "{status:?}");
    assert!(took < 8 * SECOND, "not with the next heartbeat: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_entry_is_taken_away_at_once_and_given_back() {
    let (world, _channel, node, made) = served().await;
    let (mut stream, _) = greeted(&node).await;
    let entry_id = EntryId::parse(&made.id).unwrap();
    let set = |disabled: bool| {
        let (issuer, entry_id) = (world.server.issuer(), &entry_id);
        async move {
            let edit = |old: &signet_model::Entry| {
                Ok(signet_model::Entry {
                    disabled,
                    ..old.clone()
                })
            };
            issuer
                .update_entry(&operator(), entry_id, edit)
                .await
                .unwrap();
        }
    };
    set(true).await;
    let (update, took) = stream.pushed().await;
    assert_eq!(update.deletes, [made.id.as_str()]);
    assert!(took < SECOND, "{took:?}");
    set(false).await;
    let (update, _) = stream.pushed().await;
    assert_eq!(update.ids(), [made.id.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_taken_away_at_the_instant_of_its_end() {
    let (world, channel, node, _) = served().await;
    let (mut stream, _) = greeted(&node).await;
    let lapsing = Entry {
        expires_at: world.now() + 30,
        ..entry("/lapsing", &node.id)
    };
    let made = create(&channel, vec![lapsing]).await.remove(0);
    stream.pushed().await;
    let end = UNIX_EPOCH + Duration::from_secs(u64::try_from(made.expires_at).unwrap());
    let (update, _) = stream.pushed().await;
    assert_eq!(update.deletes, [made.id]);
    let late = world
        .server
        .issuer()
        .clock
        .now()
        .duration_since(end)
        .unwrap();
    assert!(late < SECOND, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_leaves_another_agent_alone_wakes_nobody_else() {
    let (world, channel, node, _) = served().await;
    let other = world.agent().await;
    let (mut stream, _) = greeted(&node).await;
    let (mut others, _) = greeted(&other).await;
    create(&channel, vec![entry("/theirs", &other.id)]).await;
    let (update, _) = others.pushed().await;
    assert_eq!(update.upserts.len(), 1);
    let next = tokio::time::timeout(SECOND, stream.hear()).await;
    assert!(next.is_err(), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_federated_bundle_comes_with_its_entry_and_again_when_it_changes() {
    let (_world, channel, node, _) = served().await;
    let (mut stream, _) = greeted(&node).await;
    let set = || crate::bundles::set(&channel, crate::bundles::foreign_bundle());
    set().await;
    let federated = Entry {
        federates_with: vec!["other.org".to_owned()],
        ..entry("/federated", &node.id)
    };
    create(&channel, vec![federated]).await;
    let (update, _) = stream.pushed().await;
    assert_eq!(update.bundles[0].trust_domain, "other.org");
    set().await;
    let (update, took) = stream.pushed().await;
    assert_eq!(
        update.bundles.len(),
        1,
        "same sequence number, other content"
    );
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ban_and_an_eviction_end_the_open_stream_at_once_with_the_reason() {
    let (world, channel, banned, _) = served().await;
    let evicted = world.agent().await;
    let mut client = AgentClient::new(channel);
    let (mut stream, _) = greeted(&banned).await;
    let id = Some(banned.id.clone());
    client.ban_agent(BanAgentRequest { id }).await.unwrap();
    let (status, took) = stream.ended().await;
    assert_eq!(reason(&status), Some(Reason::AgentBanned));
    assert!(took < SECOND, "{took:?}");

    let (mut stream, _) = greeted(&evicted).await;
    let id = Some(evicted.id.clone());
    client
        .delete_agent(DeleteAgentRequest { id })
        .await
        .unwrap();
    let (status, took) = stream.ended().await;
    assert_eq!(reason(&status), Some(Reason::AgentNotAttested));
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_removed_authority_ends_the_streams_of_its_svids_at_once() {
    let (world, _channel, node, _) = served().await;
    let (mut stream, _) = greeted(&node).await;
    let issuer = world.server.issuer();
    let other = X509Authority::from_der(&ForeignCa::new().der).unwrap();
    let replace = |_: &signet_server::state::Snapshot| {
        let mut own = signet_spiffe::Bundle::clone(&issuer.own_bundle().unwrap());
        own.x509_authorities = vec![other.clone()];
        own.sequence += 1;
        let put = Change::PutBundle(Arc::new(own));
        Ok::<_, StateError>((Plan::default().change(put), ()))
    };
    issuer.state.change(replace).await.unwrap();
    let (status, took) = stream.ended().await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert!(took < SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_begin_with_a_hello_is_refused() {
    let (_world, _channel, node, _) = served().await;
    let odd = [
        Out::Heartbeat(api::Heartbeat::default()),
        Out::Ack(api::Ack::default()),
        Out::Holdings(api::Holdings::default()),
    ];
    for message in odd {
        let mut stream = Stream::open(&node).await;
        stream.say(message).await;
        assert_eq!(refusal(stream.hear().await).0, Code::InvalidArgument);
    }
    let (mut stream, _) = greeted(&node).await;
    stream.say(Out::Hello(api::Hello::default())).await;
    let (status, _) = stream.ended().await;
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn malformed_holdings_are_refused() {
    let (_world, _channel, node, _) = served().await;
    let (_stream, first) = greeted(&node).await;
    let odd = [
        api::Holding {
            entry_id: "a b".to_owned(),
            ..api::Holding::default()
        },
        api::Holding {
            entry_id: "a".to_owned(),
            created_at: -1,
            ..api::Holding::default()
        },
    ];
    for one in odd {
        let mut stream = Stream::open(&node).await;
        let hello = api::Hello {
            holdings_hash: vec![7; 32].into(),
            ..holding(&first)
        };
        stream.say(Out::Hello(hello)).await;
        stream.hear().await.unwrap();
        let holdings = vec![one];
        stream
            .say(Out::Holdings(api::Holdings {
                holdings,
                ..api::Holdings::default()
            }))
            .await;
        assert_eq!(refusal(stream.hear().await).0, Code::InvalidArgument);
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_says_that_it_is_there_every_15_seconds() {
    let (_world, _channel, node, _) = served().await;
    let (mut stream, first) = greeted(&node).await;
    for _ in 0..4 {
        let begun = Instant::now();
        let In::Heartbeat(beat) = stream.hear().await.unwrap() else {
            panic!("nothing has changed");
        };
        assert_eq!(beat.revision, first.revision);
        let took = begun.elapsed();
        assert!(took <= 15 * SECOND && took > 13 * SECOND, "{took:?}");
        stream.say(Out::Heartbeat(beat)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_silent_for_45_seconds_is_taken_for_gone() {
    let (_world, _channel, node, _) = served().await;
    let (mut stream, _) = greeted(&node).await;
    let (status, took) = stream.ended().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(took >= 44 * SECOND && took < 47 * SECOND, "{took:?}");
    let mut silent = Stream::open(&node).await;
    let (status, took) = silent.ended().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(took >= 44 * SECOND && took < 47 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_seen_more_than_this_server_is_sent_elsewhere() {
    let (_world, _channel, node, _) = served().await;
    let (_stream, first) = greeted(&node).await;
    let ahead = api::Hello {
        revision: first.revision + 1000,
        ..holding(&first)
    };
    let mut stream = Stream::open(&node).await;
    stream.say(Out::Hello(ahead.clone())).await;
    assert_eq!(refusal(stream.hear().await).0, Code::Unavailable);
    // In another life of the store the number means nothing, and what is held has to be said.
    let restored = api::Hello {
        store_epoch: vec![0; 16].into(),
        ..ahead
    };
    let mut stream = Stream::open(&node).await;
    stream.say(Out::Hello(restored)).await;
    assert!(matches!(stream.hear().await.unwrap(), In::NeedHoldings(_)));
}

#[tokio::test(start_paused = true)]
async fn a_hello_tells_the_agents_version() {
    let (world, _channel, node, _) = served().await;
    let mut stream = Stream::open(&node).await;
    let hello = api::Hello {
        agent_version: "9.9".to_owned(),
        ..api::Hello::default()
    };
    stream.say(Out::Hello(hello)).await;
    stream.update().await.unwrap();
    let agents = world.server.issuer().find_agents(&Default::default());
    assert_eq!(agents[0].agent_version, "9.9");
}

#[tokio::test(start_paused = true)]
async fn two_thousand_entries_come_in_pages_under_a_mebibyte() {
    let (_world, channel, node, _) = served().await;
    let hint = "h".repeat(1000);
    let many = |from: usize| -> Vec<_> {
        let one = |n: usize| Entry {
            hint: hint.clone(),
            ..entry(&format!("/w{n}"), &node.id)
        };
        (from..from + 500).map(one).collect()
    };
    for from in [0, 500, 1000, 1500] {
        create(&channel, many(from)).await;
    }
    let mut stream = Stream::open(&node).await;
    stream.say(Out::Hello(api::Hello::default())).await;
    let mut seen = BTreeSet::new();
    let mut pages = 0;
    loop {
        match stream.hear().await.unwrap() {
            In::Page(page) => {
                pages += 1;
                assert!(prost::Message::encoded_len(&page) < 1 << 20);
                seen.extend(page.upserts.into_iter().map(|entry| entry.id));
            }
            In::End(_) => break,
            _ => {}
        }
    }
    assert!(pages > 1);
    assert_eq!(seen.len(), 2001);
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_replacement_is_pushed_at_once_and_acknowledged() {
    let world = World::paused().await;
    let node = world.agent().await;
    let (mut stream, first) = greeted(&node).await;
    let issuer = world.server.issuer();
    let (by, kind) = (operator(), Kind::Jwt);
    let acknowledge = |revision| {
        Out::Ack(api::Ack {
            revision,
            ready: true,
        })
    };
    stream.say(acknowledge(first.revision)).await;

    let stolen = issuer.local_authorities(kind).unwrap().active.authority_id;
    let next = issuer.prepare_authority(&by, kind).await.unwrap();
    let (update, took) = stream.pushed().await;
    assert!(took < SECOND);
    let key = |update: &Update, id: &str| {
        let mut keys = update.bundles[0].jwt_authorities.iter();
        keys.find(|key| key.key_id == id).cloned()
    };
    assert!(key(&update, &next.authority_id).is_some());
    let lacking = || issuer.rotation.who_lacks_the_prepared(kind);
    assert_eq!(lacking().awaited.len(), 1);
    stream.say(acknowledge(update.revision)).await;
    while !lacking().is_empty() {
        tokio::task::yield_now().await;
    }

    let activated = issuer.activate_authority(&by, kind, &next.authority_id);
    activated.await.unwrap();
    issuer.taint_authority(&by, kind, &stolen).await.unwrap();
    let (update, took) = stream.pushed().await;
    assert!(took < SECOND);
    assert!(key(&update, &stolen).unwrap().tainted);
    issuer.revoke_authority(&by, kind, &stolen).await.unwrap();
    let (update, took) = stream.pushed().await;
    assert!(took < SECOND);
    assert_eq!(key(&update, &stolen), None);
}
