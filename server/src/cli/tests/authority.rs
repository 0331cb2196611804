//! `localauthority …`, `upstreamauthority …` and `authority replace`.

use serde_json::json;
use signet_cli::testing::Fake;
use signet_proto::signet::admin::v1::replace_authority_progress::Step;
use signet_proto::signet::admin::v1::{
    Exposure, ReplaceAuthorityProgress, ReplaceAuthorityRequest,
};
use signet_proto::spire::server::localauthority::v1::{
    ActivateX509AuthorityRequest, ActivateX509AuthorityResponse, AuthorityState,
    GetJwtAuthorityStateRequest, GetJwtAuthorityStateResponse, PrepareWitAuthorityRequest,
    PrepareWitAuthorityResponse, RevokeJwtAuthorityRequest, RevokeJwtAuthorityResponse,
    TaintX509UpstreamAuthorityRequest, TaintX509UpstreamAuthorityResponse,
};
use tonic::Status;

use super::{asked, parsed};

const SERVICE: &str = "/spire.api.server.localauthority.v1.LocalAuthority";
const REPLACE: &str = "/signet.admin.v1.Admin/ReplaceAuthority";

fn method(name: &str) -> &'static str {
    format!("{SERVICE}/{name}").leak()
}

fn state(id: &str, upstream: &str) -> Option<AuthorityState> {
    Some(AuthorityState {
        authority_id: id.into(),
        expires_at: 1001,
        upstream_authority_subject_key_id: upstream.into(),
    })
}

#[tokio::test]
async fn authorities_are_shown_with_what_is_missing() {
    let server = Fake::new().on(
        method("GetJWTAuthorityState"),
        |_: GetJwtAuthorityStateRequest| {
            Ok(GetJwtAuthorityStateResponse {
                active: state("signs", ""),
                prepared: None,
                old: state("signed", ""),
            })
        },
    );
    let answer = asked(&server, "localauthority jwt show").await.unwrap();
    assert_eq!(
        answer.text,
        "Active JWT authority:\n  Authority ID: signs\n  Expires at: 1970-01-01 00:16:41 +0000 UTC\n\
         \nPrepared JWT authority:\n  No prepared JWT authority found\n\
         \nOld JWT authority:\n  Authority ID: signed\n  Expires at: 1970-01-01 00:16:41 +0000 UTC\n"
    );
    let json = answer.json.unwrap();
    assert_eq!(json["active"]["expires_at"], "1001");
    assert_eq!(json["prepared"], serde_json::Value::Null);
}

#[tokio::test]
async fn an_activated_authority_is_shown_with_its_upstream() {
    let server = Fake::new().on(
        method("ActivateX509Authority"),
        |request: ActivateX509AuthorityRequest| {
            Ok(ActivateX509AuthorityResponse {
                activated_authority: state(&request.authority_id, "abcd"),
            })
        },
    );
    let line = "localauthority x509 activate -authorityID next";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(
        answer.text,
        "Activated X.509 authority:\n  Authority ID: next\n  Expires at: 1970-01-01 00:16:41 +0000 UTC\n  \
         Upstream authority Subject Key ID: abcd\n"
    );
    assert_eq!(
        answer.json.unwrap(),
        json!({"activated_authority": {
            "authority_id": "next",
            "expires_at": "1001",
            "upstream_authority_subject_key_id": "abcd",
        }})
    );
}

#[tokio::test]
async fn keys_of_wit_svids_are_prepared_like_the_others() {
    let server = Fake::new().on(
        method("PrepareWITAuthority"),
        |_: PrepareWitAuthorityRequest| {
            Ok(PrepareWitAuthorityResponse {
                prepared_authority: state("next", ""),
            })
        },
    );
    let answer = asked(&server, "localauthority wit prepare").await.unwrap();
    assert!(
        answer
            .text
            .starts_with("Prepared WIT authority:\n  Authority ID: next\n")
    );
}

#[tokio::test]
async fn a_refusal_says_which_step_failed() {
    let server = Fake::new().on(
        method("RevokeJWTAuthority"),
        |_: RevokeJwtAuthorityRequest| {
            Err::<RevokeJwtAuthorityResponse, _>(Status::invalid_argument("it is active"))
        },
    );
    let refused = asked(&server, "localauthority jwt revoke -authorityID a").await;
    let text = refused.unwrap_err().to_string();
    assert!(
        text.starts_with("could not revoke the JWT authority: "),
        "{text}"
    );
}

#[test]
fn acts_need_an_authority() {
    for act in ["activate", "taint", "revoke"] {
        for line in [
            format!("localauthority x509 {act}"),
            format!("localauthority x509 {act} -authorityID="),
        ] {
            assert!(parsed(&line).is_err(), "{line}");
        }
    }
    assert!(parsed("upstreamauthority taint").is_err());
}

#[tokio::test]
async fn an_upstream_authority_is_tainted_by_its_subject_key_id() {
    let server = Fake::new().on(
        method("TaintX509UpstreamAuthority"),
        |request: TaintX509UpstreamAuthorityRequest| {
            Ok(TaintX509UpstreamAuthorityResponse {
                upstream_authority_subject_key_id: request.subject_key_id,
            })
        },
    );
    let line = "upstreamauthority taint -subjectKeyID abcd";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(
        answer.text,
        "Tainted X.509 upstream authority:\n  Subject Key ID: abcd\n"
    );
}

fn told(step: Step) -> ReplaceAuthorityProgress {
    ReplaceAuthorityProgress {
        step: step.into(),
        kind: "JWT".into(),
        authority_id: "old".into(),
        successor_id: "next".into(),
        ..ReplaceAuthorityProgress::default()
    }
}

fn exposed() -> ReplaceAuthorityProgress {
    ReplaceAuthorityProgress {
        step: Step::Exposed.into(),
        exposure: Some(Exposure {
            agents: 3,
            connected_agents: 2,
            svids: 12,
            downstream: vec!["spiffe://td/below".into()],
            federated: Vec::new(),
        }),
        ..ReplaceAuthorityProgress::default()
    }
}

#[tokio::test]
async fn a_replacement_ends_with_what_was_replaced() {
    let server = Fake::new().on_stream(REPLACE, |request: ReplaceAuthorityRequest| {
        assert_eq!(request.kinds, ["jwt"]);
        assert_eq!((request.reason.as_str(), request.patience), ("leak", 60));
        Ok(vec![
            exposed(),
            told(Step::Prepared),
            told(Step::Superseded),
            told(Step::Revoked),
        ])
    });
    let line = "authority replace --only jwt --reason leak --patience 1m";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(answer.text, "Replaced the JWT authority old\n");
    let json = answer.json.unwrap();
    assert_eq!(json["steps"].as_array().unwrap().len(), 4);
    assert_eq!(json["steps"][3]["step"], "REVOKED");
}

#[tokio::test]
async fn a_forced_replacement_names_whom_it_left_behind() {
    let server = Fake::new().on_stream(REPLACE, |request: ReplaceAuthorityRequest| {
        assert!(request.force);
        let left = ReplaceAuthorityProgress {
            waiting_for: 12,
            agents: vec![
                "spiffe://td/agent/one".into(),
                "spiffe://td/agent/two".into(),
            ],
            ..told(Step::LeftBehind)
        };
        Ok(vec![exposed(), left, told(Step::Revoked)])
    });
    let line = "authority replace --reason leak --force";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(
        answer.text,
        "Replaced the JWT authority old\nLeft behind for JWT: 12 agents: \
         spiffe://td/agent/one spiffe://td/agent/two\n"
    );
}

#[tokio::test]
async fn a_drill_says_what_hangs_on_the_authorities() {
    let server = Fake::new().on_stream(REPLACE, |request: ReplaceAuthorityRequest| {
        assert!(request.drill);
        Ok(vec![exposed()])
    });
    let answer = asked(&server, "authority replace --drill").await.unwrap();
    assert!(
        answer
            .text
            .contains("3 attested agents, 1 of them not connected")
    );
    assert!(answer.text.contains("12 X509-SVIDs"));
    assert!(
        answer
            .text
            .contains("1 downstream server: spiffe://td/below")
    );
}

#[test]
fn a_replacement_needs_a_reason_unless_it_is_a_drill() {
    assert!(parsed("authority replace").is_err());
    assert!(parsed("authority replace --reason=").is_err());
    assert!(parsed("authority replace --reason leak --only hsm").is_err());
    assert!(parsed("authority replace --drill").is_ok());
}
