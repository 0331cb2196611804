//! What holds for every call: header, unknown methods, health, reflection.

use super::*;
use crate::testing::entry;
use signet_proto::workload::*;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const NO_HEADER: (Code, &str) = (
    Code::InvalidArgument,
    "security header missing from request",
);

#[tokio::test(start_paused = true)]
async fn every_method_needs_the_security_header_once_with_the_value_true() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let mut client = world.client(1).await;
    let error = client
        .fetch_x509svid(X509svidRequest {})
        .await
        .expect_err("no header");
    assert_eq!(said(&error), NO_HEADER);
    let error = client
        .fetch_x509_bundles(X509BundlesRequest {})
        .await
        .expect_err("no header");
    assert_eq!(said(&error), NO_HEADER);
    let asked = JwtsvidRequest::default();
    let error = client.fetch_jwtsvid(asked).await.expect_err("no header");
    assert_eq!(said(&error), NO_HEADER);
    let error = client
        .fetch_jwt_bundles(JwtBundlesRequest {})
        .await
        .expect_err("no header");
    assert_eq!(said(&error), NO_HEADER);
    let asked = ValidateJwtsvidRequest::default();
    let error = client.validate_jwtsvid(asked).await.expect_err("no header");
    assert_eq!(said(&error), NO_HEADER);
    let mut wrong = Request::new(X509svidRequest {});
    wrong
        .metadata_mut()
        .insert("workload.spiffe.io", "True".parse().expect("ASCII"));
    let error = client.fetch_x509svid(wrong).await.expect_err("wrong value");
    assert_eq!(said(&error), NO_HEADER);
    let mut twice = request(X509svidRequest {});
    twice
        .metadata_mut()
        .append("workload.spiffe.io", "true".parse().expect("ASCII"));
    let error = client.fetch_x509svid(twice).await.expect_err("two values");
    assert_eq!(said(&error), NO_HEADER);
}

#[tokio::test(start_paused = true)]
async fn wit_svids_are_unimplemented() {
    let world = World::synced(&[]);
    let mut client = world.client(1).await;
    let asked = request(WitsvidRequest::default());
    let error = client.fetch_witsvid(asked).await.expect_err("not offered");
    assert_eq!(error.code(), Code::Unimplemented);
    let asked = request(WitBundlesRequest {});
    let error = client
        .fetch_wit_bundles(asked)
        .await
        .expect_err("not offered");
    assert_eq!(error.code(), Code::Unimplemented);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_method_is_unimplemented_even_without_the_header() {
    let world = World::synced(&[]);
    let (_, channel) = world.process(1).await;
    for path in ["/SpiffeWorkloadAPI/FetchMagic", "/Other/FetchX509SVID"] {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.expect("connected");
        let codec = tonic_prost::ProstCodec::<X509svidRequest, X509svidResponse>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let called = grpc
            .unary(Request::new(X509svidRequest {}), path, codec)
            .await;
        assert_eq!(called.expect_err("unknown").code(), Code::Unimplemented);
    }
}

#[tokio::test(start_paused = true)]
async fn health_is_serving_once_synced_and_only_for_the_whole() {
    let mut world = World::unsynced(&[], Options::default());
    let mut health = HealthClient::new(world.process(1).await.1);
    let asked = || HealthCheckRequest::default();
    let answer = health.check(asked()).await.expect("answered").into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    world.sync(&[]);
    let answer = health.check(asked()).await.expect("answered").into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let named = HealthCheckRequest {
        service: "SpiffeWorkloadAPI".to_owned(),
    };
    let error = health.check(named).await.expect_err("per service");
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = health.watch(asked()).await.expect_err("not offered");
    assert_eq!(error.code(), Code::Unimplemented);
}

#[tokio::test(start_paused = true)]
async fn reflection_names_the_workload_api() {
    let world = World::synced(&[]);
    let mut reflection = ServerReflectionClient::new(world.process(1).await.1);
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(stream::iter([asked]))
        .await;
    let mut answers = answers.expect("answered").into_inner();
    let answer = answers.message().await.expect("well").expect("one");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list");
    };
    assert!(
        list.service
            .iter()
            .any(|one| one.name == "SpiffeWorkloadAPI")
    );
}
