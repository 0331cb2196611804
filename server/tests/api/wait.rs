//! `WaitForEntries`: until the agents that a change concerns have carried it out.

use crate::harness::{Node, World, create, entry, id, refusal};
use crate::watch::{Stream, greeted};
use signet_model::EntryId;
use signet_proto::signet::admin::v1::WaitForEntriesRequest;
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::signet::sync::v1::Ack;
use signet_proto::signet::sync::v1::watch_request::Message as Out;
use signet_proto::spire::server::entry::v1::BatchDeleteEntryRequest;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::types::{Entry, Spiffeid};
use signet_server::wait::Standing;
use signet_spiffe::SpiffeId;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::Channel;

const LIMIT: Duration = Duration::from_secs(30);

fn ids(entries: &[Entry]) -> Vec<EntryId> {
    let ids = entries.iter().map(|entry| EntryId::parse(&entry.id));
    ids.collect::<Result<_, _>>().unwrap()
}

fn agent(id: &Spiffeid) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://{}{}", id.trust_domain, id.path)).unwrap()
}

fn set(nodes: &[&Node]) -> BTreeSet<SpiffeId> {
    nodes.iter().map(|node| agent(&node.id)).collect()
}

/// Waits, and says how long it took.
async fn wait(world: &World, entries: &[Entry], further: &[&Node]) -> (Standing, Duration) {
    let begun = Instant::now();
    let (issuer, entries) = (world.server.issuer(), ids(entries));
    let standing = issuer.wait_for_entries(&entries, set(further), LIMIT);
    (standing.await, begun.elapsed())
}

/// Takes the next update and acknowledges it.
async fn acknowledge(stream: &mut Stream, ready: bool) {
    let revision = stream.update().await.unwrap().revision;
    for ready in [false, ready] {
        stream.say(Out::Ack(Ack { revision, ready })).await;
    }
}

/// A world whose server is not asked over its socket: paused time does not go with that.
async fn world() -> (World, Channel) {
    let world = World::paused().await;
    let channel = world.operator().await;
    (world, channel)
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_when_the_last_agent_that_serves_the_entry_is_ready() {
    let (world, channel) = world().await;
    let (one, two) = (world.agent().await, world.agent().await);
    let links = [&one.id, &two.id].map(|parent| entry("/rack", parent));
    create(&channel, links.to_vec()).await;
    let ((mut first, _), (mut second, _)) = (greeted(&one).await, greeted(&two).await);
    let made = create(&channel, vec![entry("/web", &id("/rack"))]).await;
    let late = Duration::from_secs(3);
    let agents = async {
        acknowledge(&mut first, true).await;
        tokio::time::sleep(late).await;
        acknowledge(&mut second, true).await;
    };
    let ((standing, took), ()) = tokio::join!(wait(&world, &made, &[]), agents);
    assert!(standing.is_settled());
    assert_eq!(standing.ready, set(&[&one, &two]));
    assert!(
        took >= late && took < late + Duration::from_secs(1),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_applied_the_entry_but_does_not_serve_it_is_missing_by_name() {
    let (world, channel) = world().await;
    let node = world.agent().await;
    let (mut stream, _) = greeted(&node).await;
    let made = create(&channel, vec![entry("/web", &node.id)]).await;
    let agents = acknowledge(&mut stream, false);
    let ((standing, took), ()) = tokio::join!(wait(&world, &made, &[]), agents);
    assert_eq!(standing.missing, set(&[&node]));
    assert!(standing.ready.is_empty());
    assert!(took >= LIMIT, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn agents_of_other_entries_are_not_waited_for() {
    let (world, channel) = world().await;
    let (one, other) = (world.agent().await, world.agent().await);
    let ((mut stream, _), _silent) = (greeted(&one).await, greeted(&other).await);
    let made = create(&channel, vec![entry("/web", &one.id)]).await;
    let ((standing, took), ()) =
        tokio::join!(wait(&world, &made, &[]), acknowledge(&mut stream, true));
    assert_eq!(standing.ready, set(&[&one]));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn with_nobody_connected_it_is_said_at_once_who_is_attested() {
    let (world, channel) = world().await;
    let node = world.agent().await;
    let made = create(&channel, vec![entry("/web", &node.id)]).await;
    let (standing, took) = wait(&world, &made, &[]).await;
    assert_eq!(took, Duration::ZERO);
    assert_eq!(standing.offline, set(&[&node]));
    assert!(standing.ready.is_empty() && standing.missing.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_entry_below_no_agent_concerns_nobody() {
    let (world, channel) = world().await;
    let node = world.agent().await;
    let _stream = greeted(&node).await;
    let made = create(&channel, vec![entry("/web", &id("/spire/agent/x/y"))]).await;
    let (standing, took) = wait(&world, &made, &[]).await;
    assert_eq!((standing, took), (Standing::default(), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_entry_is_waited_for_at_the_agents_that_served_it() {
    let (world, channel) = world().await;
    let node = world.agent().await;
    let made = create(&channel, vec![entry("/web", &node.id)]).await;
    let (mut stream, _) = greeted(&node).await;
    let ids = vec![made[0].id.clone()];
    let mut client = EntryClient::new(channel);
    client
        .batch_delete_entry(BatchDeleteEntryRequest { ids })
        .await
        .unwrap();
    let had_it = [&node];
    let waiting = wait(&world, &made, &had_it);
    let ((standing, took), ()) = tokio::join!(waiting, acknowledge(&mut stream, true));
    assert_eq!(standing.ready, set(&[&node]));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_later_change_of_others_does_not_hold_the_wait_up() {
    let (world, channel) = world().await;
    let node = world.agent().await;
    let (mut stream, _) = greeted(&node).await;
    let made = create(&channel, vec![entry("/web", &node.id)]).await;
    acknowledge(&mut stream, true).await;
    create(&channel, vec![entry("/far", &id("/spire/agent/x/y"))]).await;
    // The agent knows nothing of the later revision; it is asked to confirm it.
    let ((standing, took), ()) =
        tokio::join!(wait(&world, &made, &[]), acknowledge(&mut stream, true));
    assert_eq!(standing.ready, set(&[&node]));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_leaves_and_comes_back_is_waited_for() {
    let (world, channel) = world().await;
    let node = world.agent().await;
    let (stream, _) = greeted(&node).await;
    let made = create(&channel, vec![entry("/web", &node.id)]).await;
    let agents = async {
        drop(stream);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (stream, first) = greeted(&node).await;
        let (revision, ready) = (first.revision, true);
        stream.say(Out::Ack(Ack { revision, ready })).await;
        stream
    };
    let ((standing, took), _stream) = tokio::join!(wait(&world, &made, &[]), agents);
    assert_eq!(standing.ready, set(&[&node]));
    assert!(took >= Duration::from_secs(5) && took < LIMIT, "{took:?}");
}

#[tokio::test]
async fn the_socket_answers_who_is_ready_missing_and_offline() {
    let world = World::new().await;
    let local = world.local().await;
    let (one, two) = (world.agent().await, world.agent().await);
    let parents = [&one.id, &two.id];
    let made = create(&local, parents.map(|parent| entry("/web", parent)).to_vec()).await;
    let (stream, first) = greeted(&one).await;
    let mut client = AdminClient::new(local);
    let look = WaitForEntriesRequest {
        entry_ids: made.iter().map(|entry| entry.id.clone()).collect(),
        ..WaitForEntriesRequest::default()
    };
    let text = |node: &Node| vec![agent(&node.id).to_string()];
    let standing = client.wait_for_entries(look.clone()).await;
    let standing = standing.unwrap().into_inner();
    assert_eq!(
        (standing.missing, standing.offline),
        (text(&one), text(&two))
    );

    let (revision, ready) = (first.revision, true);
    stream.say(Out::Ack(Ack { revision, ready })).await;
    let wait = WaitForEntriesRequest {
        timeout_milliseconds: 20_000,
        ..look
    };
    let standing = client.wait_for_entries(wait).await.unwrap().into_inner();
    assert_eq!((standing.ready, standing.offline), (text(&one), text(&two)));
    assert!(standing.missing.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let world = World::new().await;
    let mut client = AdminClient::new(world.local().await);
    let good = WaitForEntriesRequest {
        entry_ids: vec!["made-up".to_owned()],
        ..WaitForEntriesRequest::default()
    };
    client.wait_for_entries(good.clone()).await.unwrap();
    let bad = [
        WaitForEntriesRequest {
            entry_ids: vec!["a b".to_owned()],
            ..good.clone()
        },
        WaitForEntriesRequest {
            agent_ids: vec!["no-id".to_owned()],
            ..good.clone()
        },
        WaitForEntriesRequest {
            timeout_milliseconds: -1,
            ..good.clone()
        },
        WaitForEntriesRequest {
            timeout_milliseconds: i64::MAX,
            ..good
        },
    ];
    for request in bad {
        let refused = client.wait_for_entries(request.clone()).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{request:?}");
    }
}
