//! The replacement of authorities in one go: its order, its waits, and how it is taken up again.

use crate::harness::{Node, World, create, entry, refusal};
use crate::watch::{Stream, greeted};
use signet_ca::slots::Kind;
use signet_crypto::KeyType;
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::signet::admin::v1::replace_authority_progress::Step;
use signet_proto::signet::admin::v1::{ReplaceAuthorityProgress, ReplaceAuthorityRequest};
use signet_proto::signet::sync::v1::Ack;
use signet_proto::signet::sync::v1::watch_request::Message as Out;
use signet_server::authority::{Audiences, JwtAlternative};
use signet_upstream::testing::{FakeUpstream, Pki};
use std::sync::Arc;
use tonic::{Code, Status, Streaming};

fn request(kinds: &[&str]) -> ReplaceAuthorityRequest {
    ReplaceAuthorityRequest {
        kinds: kinds.iter().map(ToString::to_string).collect(),
        reason: "a laptop was stolen".into(),
        patience: 2,
        ..ReplaceAuthorityRequest::default()
    }
}

async fn begun(
    world: &World,
    request: ReplaceAuthorityRequest,
) -> Result<Streaming<ReplaceAuthorityProgress>, Status> {
    let mut client = AdminClient::new(world.local().await);
    Ok(client.replace_authority(request).await?.into_inner())
}

/// All that is told, and how it ended.
async fn told(world: &World, wanted: ReplaceAuthorityRequest) -> (Vec<Step>, Result<(), Status>) {
    let mut stream = begun(world, wanted).await.unwrap();
    let mut steps = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(told)) => steps.push(told.step()),
            Ok(None) => return (steps, Ok(())),
            Err(status) => return (steps, Err(status)),
        }
    }
}

/// What is done, without the waits.
fn done(steps: &[Step]) -> Vec<Step> {
    let waits = [
        Step::Exposed,
        Step::Condemned,
        Step::Resumed,
        Step::Spreading,
        Step::Draining,
    ];
    let steps = steps.iter().filter(|step| !waits.contains(step));
    steps.copied().collect()
}

/// The node acknowledges every update from now on.
fn acknowledge_all(mut stream: Stream) {
    #[allow(clippy::disallowed_methods, reason = "the other end of a test")]
    tokio::spawn(async move {
        while let Ok(update) = stream.update().await {
            let ack = Ack {
                revision: update.revision,
                ready: true,
            };
            stream.say(Out::Ack(ack)).await;
        }
    });
}

async fn connected(world: &World) -> (Node, Stream) {
    let node = world.agent().await;
    let (stream, first) = greeted(&node).await;
    let ack = Ack {
        revision: first.revision,
        ready: true,
    };
    stream.say(Out::Ack(ack)).await;
    (node, stream)
}

fn x509(world: &World) -> (String, Option<String>) {
    let found = world.server.issuer().local_authorities(Kind::X509).unwrap();
    (
        found.active.authority_id,
        found.old.map(|old| old.authority_id),
    )
}

fn published(world: &World) -> Vec<String> {
    let bundle = world.server.issuer().own_bundle().unwrap();
    let ids = bundle.x509_authorities.iter();
    ids.map(|one| signet_crypto::hex(&one.subject_key_id()))
        .collect()
}

#[tokio::test]
async fn the_new_authority_signs_and_the_old_one_is_gone() {
    let world = World::new().await;
    let (_node, stream) = connected(&world).await;
    acknowledge_all(stream);
    let (before, _) = x509(&world);
    let (steps, end) = told(&world, request(&["x509"])).await;
    end.unwrap();
    assert_eq!(steps[0], Step::Exposed);
    let order = [Step::Prepared, Step::Superseded, Step::Revoked];
    assert_eq!(done(&steps), order);
    let (after, _) = x509(&world);
    assert_ne!(before, after);
    assert_eq!(published(&world), [after]);
}

#[tokio::test]
async fn all_kinds_are_replaced_if_none_is_named() {
    let world = World::new().await;
    let jwt = |world: &World| {
        let found = world.server.issuer().local_authorities(Kind::Jwt).unwrap();
        found.active.authority_id
    };
    let before = (x509(&world).0, jwt(&world));
    let (steps, end) = told(&world, request(&[])).await;
    end.unwrap();
    assert_eq!(done(&steps).len(), 6);
    assert_ne!(before.0, x509(&world).0);
    assert_ne!(before.1, jwt(&world));
    assert_eq!(
        world
            .server
            .issuer()
            .own_bundle()
            .unwrap()
            .jwt_authorities
            .len(),
        1
    );
}

#[tokio::test]
async fn an_agent_that_lacks_the_new_authority_stops_it_before_anything_is_given_up() {
    let world = World::new().await;
    let (_node, stream) = connected(&world).await;
    let (before, _) = x509(&world);
    let (steps, end) = told(&world, request(&["x509"])).await;
    let (code, text) = refusal(end);
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(text.contains("1 agents have not"), "{text}");
    assert_eq!(done(&steps), [Step::Prepared]);
    assert_eq!(x509(&world).0, before);
    drop(stream);
}

#[tokio::test]
async fn an_agent_that_has_not_come_back_since_the_start_is_waited_for() {
    let world = World::new().await;
    let node = world.agent().await;
    let (before, _) = x509(&world);
    let (steps, end) = told(&world, request(&["x509"])).await;
    let (code, text) = refusal(end);
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(text.contains(&node.id.path), "{text}");
    assert_eq!(done(&steps), [Step::Prepared]);
    assert!(published(&world).contains(&before));
}

#[tokio::test]
async fn by_force_it_goes_on_without_the_agent_and_says_so() {
    let world = World::new().await;
    let (node, stream) = connected(&world).await;
    let (before, _) = x509(&world);
    let forced = ReplaceAuthorityRequest {
        force: true,
        patience: 1,
        ..request(&["x509"])
    };
    let (steps, end) = told(&world, forced).await;
    end.unwrap();
    assert_eq!(*steps.last().unwrap(), Step::Revoked);
    assert!(!published(&world).contains(&before));
    let left = steps.iter().filter(|step| **step == Step::LeftBehind);
    assert_eq!(
        left.count(),
        2,
        "it had neither the new authority nor left the old"
    );
    let records = world.records();
    let mut left = records.iter();
    let left = left.find(|record| record.action == "authority.leave_behind");
    let reason = &left.unwrap().reason;
    let named = format!("spiffe://{}{}", node.id.trust_domain, node.id.path);
    assert!(reason.contains("past 1 agents"), "{reason}");
    assert!(reason.contains(&named), "{reason}");
    drop(stream);
}

#[tokio::test]
async fn what_was_cut_off_is_taken_up_where_it_stands() {
    let world = World::new().await;
    let (_node, mut stream) = connected(&world).await;
    let (before, _) = x509(&world);
    let mut telling = begun(&world, request(&["x509"])).await.unwrap();
    // The agent takes what it gets, but goes on serving what the old authority signed.
    let serving = async {
        loop {
            let update = stream.update().await.unwrap();
            let ack = Ack {
                revision: update.revision,
                ready: false,
            };
            stream.say(Out::Ack(ack)).await;
        }
    };
    let superseded =
        async { while telling.message().await.unwrap().unwrap().step() != Step::Draining {} };
    tokio::select! {
        () = serving => {}
        () = superseded => {}
    }
    drop(telling);
    let (after, old) = x509(&world);
    assert_eq!(old.as_ref(), Some(&before));
    let ready = Ack {
        revision: world.server.issuer().state.revision().0,
        ready: true,
    };
    stream.say(Out::Ack(ready)).await;
    acknowledge_all(stream);
    let (steps, end) = told(&world, request(&["x509"])).await;
    end.unwrap();
    assert_eq!(done(&steps), [Step::Revoked]);
    let (again, _) = x509(&world);
    assert_eq!(again, after, "no second successor is made");
    assert!(!published(&world).contains(&before));
}

#[tokio::test]
async fn an_authority_that_the_rotation_retired_during_the_wait_is_the_one_that_goes() {
    let world = World::new().await;
    let (_node, stream) = connected(&world).await;
    let (stolen, _) = x509(&world);
    let mut telling = begun(&world, request(&["x509"])).await.unwrap();
    let successor = loop {
        let told = telling.message().await.unwrap().unwrap();
        if told.step() == Step::Spreading {
            break told.successor_id;
        }
    };
    let rotation = &world.server.issuer().rotation;
    let activated = rotation.activate_now(Kind::X509, &successor).await;
    activated.unwrap();
    let late = loop {
        if let Err(status) = telling.message().await {
            break status;
        }
    };
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(published(&world).contains(&stolen));
    acknowledge_all(stream);
    let (steps, end) = told(&world, request(&["x509"])).await;
    end.unwrap();
    assert_eq!(steps[1], Step::Resumed);
    assert_eq!(done(&steps), [Step::Superseded, Step::Revoked]);
    assert_eq!(published(&world), std::slice::from_ref(&successor));
    assert_eq!(x509(&world).0, successor);
}

#[tokio::test]
async fn two_who_ask_for_the_same_make_one_replacement() {
    let world = World::new().await;
    let (stolen, _) = x509(&world);
    let wanted = || told(&world, request(&["x509"]));
    let (one, other) = tokio::join!(wanted(), wanted());
    one.1.unwrap();
    other.1.unwrap();
    let steps = [done(&one.0), done(&other.0)].concat();
    let made = steps.iter().filter(|step| **step == Step::Revoked);
    assert!((1..=2).contains(&made.count()), "{steps:?}");
    assert_eq!(published(&world), [x509(&world).0]);
    assert!(!published(&world).contains(&stolen));
}

#[tokio::test]
async fn jwt_means_both_jwt_keys() {
    let world = World::with(|parts| {
        parts.authority.jwt_alternative = Some(JwtAlternative {
            key_type: KeyType::EcP384,
            audiences: Audiences::new(["https://legacy.example/*".parse().unwrap()]),
        });
    })
    .await;
    let issuer = world.server.issuer();
    let active = |kind| issuer.local_authorities(kind).unwrap().active.authority_id;
    let before = [Kind::Jwt, Kind::JwtAlternative].map(active);
    let (steps, end) = told(&world, request(&["jwt"])).await;
    end.unwrap();
    assert_eq!(done(&steps).len(), 6);
    let after = [Kind::Jwt, Kind::JwtAlternative].map(active);
    let bundle = issuer.own_bundle().unwrap();
    let keys = bundle.jwt_authorities.iter().map(|key| key.key_id.clone());
    let keys: Vec<_> = keys.collect();
    assert!(after.iter().all(|id| keys.contains(id)));
    assert!(before.iter().all(|id| !keys.contains(id)));
}

#[tokio::test]
async fn below_an_upstream_the_other_kinds_are_replaced_before_x509_is_refused() {
    let world = World::with(|parts| {
        let pki = Pki::new("root", parts.clock.now());
        parts.upstream = Some(Arc::new(FakeUpstream::new(pki, parts.clock.clone())));
    })
    .await;
    let jwt = |world: &World| {
        let found = world.server.issuer().local_authorities(Kind::Jwt).unwrap();
        found.active.authority_id
    };
    let before = (x509(&world).0, jwt(&world));
    let (steps, end) = told(&world, request(&[])).await;
    let (code, text) = refusal(end);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains("upstream authority"), "{text}");
    let order = [Step::Prepared, Step::Superseded, Step::Revoked];
    assert_eq!(done(&steps), order);
    assert_eq!(x509(&world).0, before.0);
    assert_ne!(jwt(&world), before.1);
}

#[tokio::test]
async fn a_drill_counts_and_changes_nothing() {
    let world = World::new().await;
    let (node, _stream) = connected(&world).await;
    create(&world.local().await, vec![entry("/workload", &node.id)]).await;
    let revision = world.server.issuer().state.revision();
    let drill = ReplaceAuthorityRequest {
        drill: true,
        reason: String::new(),
        ..request(&[])
    };
    let mut telling = begun(&world, drill).await.unwrap();
    let told = telling.message().await.unwrap().unwrap();
    let exposure = told.exposure.unwrap();
    assert_eq!((exposure.agents, exposure.connected_agents), (1, 1));
    assert_eq!(exposure.svids, 1);
    assert!(telling.message().await.unwrap().is_none());
    assert_eq!(world.server.issuer().state.revision(), revision);
}

#[tokio::test]
async fn a_replacement_without_reason_or_of_unknown_kind_is_refused() {
    let world = World::new().await;
    let without = ReplaceAuthorityRequest {
        reason: String::new(),
        ..request(&["x509"])
    };
    let long = ReplaceAuthorityRequest {
        reason: "x".repeat(1025),
        ..request(&["x509"])
    };
    for (wanted, says) in [
        (without, "a reason is required"),
        (long, "longer than"),
        (request(&["x508"]), "unknown kind"),
    ] {
        let (code, text) = refusal(begun(&world, wanted).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(text.contains(says), "{text}");
    }
    let (code, _) = refusal(begun(&world, request(&["wit"])).await);
    assert_eq!(code, Code::FailedPrecondition);
}

#[tokio::test]
async fn the_steps_are_in_the_audit_record_with_the_reason() {
    let world = World::new().await;
    let (_, end) = told(&world, request(&["jwt"])).await;
    end.unwrap();
    let records = world.records();
    let find = |action| records.iter().find(|record| record.action == action);
    let condemned = find("authority.condemn").unwrap();
    assert_eq!(condemned.reason, "a laptop was stolen");
    assert!(find("authority.prepare").is_some());
    let superseded = find("authority.supersede").unwrap();
    assert_eq!(superseded.reason, "a laptop was stolen");
    assert!(find("authority.revoke").is_some());
}
