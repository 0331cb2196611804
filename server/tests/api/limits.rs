//! Rate limits over time: a bucket empties, calls wait their turn, the next is refused, and the
//! bucket fills again. Who has proved who it is has a bucket of its own.

use crate::harness::{Node, World, call};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use signet_proto::spire::server::agent::v1::PostStatusRequest;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::server::svid::v1::{BatchNewX509svidRequest, NewX509svidParams};
use signet_server::limits::{SIGN_RATE, STATUS_RATE};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How many seconds' worth a bucket gives at once: its own content, and what comes in while the
/// last call waits as long as it may.
const SECONDS: u32 = 1 + 30;
/// Below the streams that one connection may have.
const PER_CONNECTION: usize = 200;
const COUNT_ENTRIES: &str = "/spire.api.server.entry.v1.Entry/CountEntries";

/// Connections enough for so many calls at once.
async fn connections(world: &World, node: Option<&Node>, calls: usize) -> Vec<Channel> {
    let mut connections = Vec::new();
    for _ in 0..calls.div_ceil(PER_CONNECTION) {
        connections.push(world.remote(node.map(|node| &node.shown)).await);
    }
    connections
}

/// How a call ended, and when.
type Outcome = (Result<(), Code>, Duration);

/// Makes so many calls at the same time, and gives how each ended and when.
async fn all_at_once<F>(
    connections: &[Channel],
    calls: usize,
    act: impl Fn(Channel) -> F,
) -> Vec<Outcome>
where
    F: Future<Output = Result<(), Status>>,
{
    let begun = Instant::now();
    let calls = (0..calls).map(|at| {
        let outcome = act(connections[at % connections.len()].clone());
        async move {
            (
                outcome.await.map_err(|status| status.code()),
                begun.elapsed(),
            )
        }
    });
    calls.collect::<FuturesUnordered<_>>().collect().await
}

/// What is expected of one call more than the bucket gives, in any order: one is refused at once,
/// the last waits half a minute.
fn check(outcomes: &[Outcome], let_in: Result<(), Code>) {
    let is_refused = |one: &&Outcome| one.0 == Err(Code::ResourceExhausted);
    let (refused, others): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(is_refused);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].1 < Duration::from_secs(1), "{:?}", refused[0].1);
    assert!(others.iter().all(|(outcome, _)| *outcome == let_in));
    let last = others.iter().map(|(_, took)| *took).max().unwrap();
    let (least, most) = (Duration::from_secs(29), Duration::from_secs(32));
    assert!(last > least && last < most, "{last:?}");
}

async fn took(act: impl Future<Output = Result<(), Status>>) -> Duration {
    let begun = Instant::now();
    act.await.unwrap();
    begun.elapsed()
}

async fn post_status(channel: Channel) -> Result<(), Status> {
    let request = PostStatusRequest::default();
    let posted = AgentClient::new(channel).post_status(request).await;
    posted.map(drop)
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_reports_too_much_waits_and_is_refused_and_others_are_not() {
    let world = World::paused().await;
    let (busy, calm) = (world.agent().await, world.agent().await);
    let calls = usize::try_from(STATUS_RATE * SECONDS + 1).unwrap();
    let connections = connections(&world, Some(&busy), calls).await;
    let flood = all_at_once(&connections, calls, post_status);
    let other = async {
        // In the middle of the flood.
        tokio::time::sleep(Duration::from_secs(10)).await;
        took(post_status(calm.channel.clone())).await
    };
    let (outcomes, of_other) = tokio::join!(flood, other);
    check(&outcomes, Ok(()));
    assert_eq!(of_other, Duration::ZERO);

    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = took(post_status(busy.channel.clone())).await;
    assert_eq!(again, Duration::ZERO, "the bucket is full again");
}

/// A batch that takes its tokens and is then refused item by item.
async fn batch(channel: Channel, count: u32) -> Result<(), Status> {
    let request = BatchNewX509svidRequest {
        params: (0..count).map(|_| NewX509svidParams::default()).collect(),
    };
    let answer = SvidClient::new(channel).batch_new_x509svid(request).await;
    answer.map(drop)
}

#[tokio::test(start_paused = true)]
async fn an_agent_gets_no_more_signatures_than_its_share_and_takes_none_of_others() {
    let world = World::paused().await;
    let (busy, calm) = (world.agent().await, world.agent().await);
    let calls = usize::try_from(SECONDS + 1).unwrap();
    let connections = connections(&world, Some(&busy), calls).await;
    let flood = all_at_once(&connections, calls, |channel| batch(channel, SIGN_RATE));
    let other = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        took(batch(calm.channel.clone(), SIGN_RATE)).await
    };
    let (outcomes, of_other) = tokio::join!(flood, other);
    check(&outcomes, Ok(()));
    assert_eq!(of_other, Duration::ZERO);

    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(took(batch(busy.channel.clone(), 1)).await, Duration::ZERO);
    let more = batch(busy.channel.clone(), SIGN_RATE + 1).await;
    let refused = more.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("501"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn callers_without_a_certificate_share_the_bucket_of_their_address() {
    const UNPROVED_RATE: u32 = 50;
    let world = World::paused().await;
    let agent = world.agent().await;
    // The agent's own attestation was one such call; its place is free again by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let calls = usize::try_from(UNPROVED_RATE * SECONDS + 1).unwrap();
    let connections = connections(&world, None, calls).await;
    let denied = |channel: Channel| async move { call(&channel, COUNT_ENTRIES).await };
    let flood = all_at_once(&connections, calls, denied);
    let attested = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        took(post_status(agent.channel.clone())).await
    };
    let (outcomes, of_attested) = tokio::join!(flood, attested);
    check(&outcomes, Err(Code::PermissionDenied));
    assert_eq!(of_attested, Duration::ZERO);
}
