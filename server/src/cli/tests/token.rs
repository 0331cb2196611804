//! `token generate`.

use serde_json::json;
use signet_cli::testing::Fake;
use signet_proto::spire::server::agent::v1::CreateJoinTokenRequest;
use signet_proto::spire::types::JoinToken;
use tonic::Status;

use super::asked;

const CREATE: &str = "/spire.api.server.agent.v1.Agent/CreateJoinToken";

fn server(ttl: i32, path: &'static str) -> Fake {
    Fake::new().on(CREATE, move |request: CreateJoinTokenRequest| {
        assert_eq!(request.ttl, ttl);
        assert_eq!(request.agent_id.unwrap_or_default().path, path);
        Ok(JoinToken {
            value: "abc".into(),
            expires_at: 1_769_860_800,
        })
    })
}

#[tokio::test]
async fn a_token_lives_ten_minutes_and_is_printed_alone() {
    let line = "token generate -spiffeID spiffe://td/node";
    let answer = asked(&server(600, "/node"), line).await.unwrap();
    assert_eq!(answer.text, "Token: abc\n");
    assert_eq!(answer.problems, "");
    assert_eq!(
        answer.json,
        Some(json!({ "value": "abc", "expires_at": "1769860800" }))
    );
}

#[tokio::test]
async fn a_token_without_spiffe_id_comes_with_a_warning_beside_it() {
    let answer = asked(&server(60, ""), "token generate -ttl 60")
        .await
        .unwrap();
    assert_eq!(answer.text, "Token: abc\n");
    assert!(answer.problems.starts_with("Warning: "));
    assert!(!answer.failed);
}

#[tokio::test]
async fn a_refusal_names_the_step() {
    let refusing = Fake::new().on(CREATE, |_: CreateJoinTokenRequest| {
        Err::<JoinToken, _>(Status::permission_denied("no"))
    });
    let failure = asked(&refusing, "token generate").await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "could not make the join token: PermissionDenied: no"
    );
}
