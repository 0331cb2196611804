//! Both halves of `azure_msi` against emulated services, and tokens that prove nothing.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod azure;
mod tokens;
mod web;

use std::collections::{BTreeMap, BTreeSet};

use azure::{NOW, PRINCIPAL, SHARED_PRINCIPAL, SUBSCRIPTION, TENANT, clock, machines};
use serde_json::{Value, json};
use signet_node_attestor::azure_msi::payload::Payload;
use signet_node_attestor::azure_msi::{
    AzureMsiAgent, AzureMsiConfig, AzureMsiServer, DEFAULT_RESOURCE_ID, EvidenceError, Tenant,
};
use signet_node_attestor::{AgentAttestor, AgentError, Attested, Peer, Refused, ServerAttestor};
use signet_oidc::{ClaimsError, TokenError};
use signet_spiffe::TrustDomain;
use tokens::{Issuer, Nobody};
use web::{Answer, Web, local};

fn claims() -> Value {
    json!({
        "aud": DEFAULT_RESOURCE_ID, "iss": format!("https://sts.windows.net/{TENANT}/"),
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 3600, "appid": "x", "idtyp": "app",
        "oid": PRINCIPAL, "sub": PRINCIPAL, "tid": TENANT, "ver": "1.0",
        "xms_mirid": "/subscriptions/x",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

async fn attest(web: &Web, issuer: &Issuer, payload: &[u8]) -> Result<Attested, Refused> {
    attest_in(Some(SUBSCRIPTION), web, issuer, payload).await
}

async fn attest_in(
    subscription: Option<&str>,
    web: &Web,
    issuer: &Issuer,
    payload: &[u8],
) -> Result<Attested, Refused> {
    let tenant = Tenant {
        resource_id: DEFAULT_RESOURCE_ID.to_owned(),
        subscription: subscription.map(str::to_owned),
        machines: machines(&web.url),
    };
    let config = AzureMsiConfig {
        tenants: BTreeMap::from([(TENANT.to_uppercase(), tenant)]),
        agent_path_template: None,
    };
    let domain = TrustDomain::parse("example.org").unwrap();
    let server = AzureMsiServer::new(domain, config, issuer.keys(), clock()).unwrap();
    server.attest(payload, &Peer::default(), &mut Nobody).await
}

/// The outcome for an agent with this token of Entra.
async fn outcome(token: String) -> Result<Attested, Refused> {
    local(async {
        let web = Web::new(azure::answer).await;
        attest(&web, &Issuer::new(), &Payload { token }.encode()).await
    })
    .await
}

#[track_caller]
fn evidence(outcome: Result<Attested, Refused>) -> EvidenceError {
    match outcome {
        Err(Refused::Evidence(error)) => *error.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_machine_with_a_token_of_its_identity_is_attested() {
    local(async {
        let web = Web::new(azure::answer).await;
        let issuer = Issuer::new();
        let token = issuer.token(&claims());
        let service = Web::new(move |asked| {
            let line = "GET /metadata/identity/oauth2/token?api-version=2018-02-01\
                        &resource=https%3A%2F%2Fmanagement.azure.com%2F";
            assert_eq!(asked.line, line);
            assert!(asked.headers.contains("metadata: true"));
            let text = format!(
                r#"{{"access_token":"{token}","expires_in":"3599","token_type":"Bearer"}}"#
            );
            Answer::Ok(text.into_bytes())
        });
        let agent = AzureMsiAgent::new(&service.await.url, DEFAULT_RESOURCE_ID);
        let payload = agent.payload().await.unwrap();
        let attested = attest(&web, &issuer, &payload).await.unwrap();
        let id = format!("/spire/agent/azure_msi/{TENANT}/{PRINCIPAL}");
        assert_eq!(attested.agent_id.path(), id);
        assert!(attested.first_use && !attested.can_reattest);
        let values: BTreeSet<_> = attested.selectors.iter().map(|one| one.expose()).collect();
        let subscription = format!("azure_msi:subscription-id:{SUBSCRIPTION}");
        let expected = [
            &*subscription,
            "azure_msi:vm-name:FrontEnd:blog",
            "azure_msi:network-security-group:FrontEnd:webservers",
            "azure_msi:virtual-network:FrontEnd:vnet",
            "azure_msi:virtual-network-subnet:FrontEnd:vnet:default",
        ];
        assert_eq!(values, expected.map(str::to_owned).into());
    })
    .await;
}

#[tokio::test]
async fn expired_and_future_tokens_and_those_for_others_are_refused() {
    let issuer = Issuer::new();
    for (claims, expected) in [
        (with("exp", json!(NOW - 301)), ClaimsError::Expired),
        (with("nbf", json!(NOW + 301)), ClaimsError::NotYet("nbf")),
        (with("iat", json!(NOW + 301)), ClaimsError::NotYet("iat")),
        (
            with("aud", json!("https://vault.azure.net")),
            ClaimsError::Audience,
        ),
        (
            with("aud", json!("https://management.azure.com")),
            ClaimsError::Audience,
        ),
        (with("exp", json!("never")), ClaimsError::Malformed("exp")),
    ] {
        let refused = evidence(outcome(issuer.token(&claims)).await);
        let EvidenceError::Token(TokenError::Claims(error)) = refused else {
            panic!("{claims}: {refused:?}")
        };
        assert_eq!(error, expected);
    }
    outcome(issuer.token(&with("exp", json!(NOW - 299))))
        .await
        .unwrap();
}

#[tokio::test]
async fn tokens_of_another_tenant_are_refused() {
    let issuer = Issuer::new();
    let other = "00000000-0000-0000-0000-000000000000";
    for iss in [
        format!("https://sts.windows.net/{other}/"),
        format!("https://evil.example/{TENANT}/"),
        String::from("x"),
    ] {
        let refused = evidence(outcome(issuer.token(&with("iss", json!(iss)))).await);
        assert!(matches!(refused, EvidenceError::Tenant), "{iss}");
    }
    let refused = evidence(outcome(issuer.token(&with("tid", json!(other)))).await);
    assert!(matches!(refused, EvidenceError::OtherTenant));
}

#[tokio::test]
async fn claims_that_cannot_be_ids_are_refused() {
    let issuer = Issuer::new();
    let long = "x".repeat(4000);
    for value in ["..", "a/b", "a%2fb", "x' or 'a' == 'a", &long] {
        for name in ["sub", "tid"] {
            let refused = evidence(outcome(issuer.token(&with(name, json!(value)))).await);
            assert!(
                matches!(refused, EvidenceError::Principal(_)),
                "{name} {value}"
            );
        }
    }
}

#[tokio::test]
async fn tokens_by_another_key_or_altered_are_refused() {
    let forger = Issuer::other();
    let refused = evidence(outcome(forger.token(&claims())).await);
    assert!(matches!(
        refused,
        EvidenceError::Token(TokenError::Signature(_))
    ));
    let issuer = Issuer::new();
    let altered = tokens::altered(&issuer.token(&claims()), &with("sub", json!(TENANT)));
    let refused = evidence(outcome(altered).await);
    assert!(matches!(
        refused,
        EvidenceError::Token(TokenError::Signature(_))
    ));
    let unsigned = tokens::unsigned(&claims());
    assert!(matches!(outcome(unsigned).await, Err(Refused::Payload(_))));
}

/// The machine's own identity, and one that it might share, with and without a subscription. Only the
/// Resource Manager knows how the group is written, and it lists machines by their own identities only.
#[tokio::test]
async fn a_machine_is_found_by_an_identity_of_its_own_and_by_a_shared_one() {
    for (principal, subscription, expected) in [
        (PRINCIPAL, None, "azure_msi:vm-name:FrontEnd:blog"),
        (SHARED_PRINCIPAL, None, "azure_msi:vm-name:frontend:blog"),
        (
            SHARED_PRINCIPAL,
            Some(SUBSCRIPTION),
            "azure_msi:vm-name:frontend:blog",
        ),
    ] {
        local(async {
            let web = Web::new(azure::answer).await;
            let issuer = Issuer::new();
            let token = issuer.token(&with("sub", json!(principal)));
            let payload = Payload { token }.encode();
            let attested = attest_in(subscription, &web, &issuer, &payload).await;
            let selectors = attested.unwrap().selectors;
            let mut values = selectors.iter().map(|one| one.expose());
            assert!(values.any(|value| value == expected), "{expected}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_identity_without_a_machine_is_refused() {
    let issuer = Issuer::new();
    let other = "0f6f0b3e-4ba0-4fd6-8a8e-000000000003";
    let refused = evidence(outcome(issuer.token(&with("sub", json!(other)))).await);
    assert!(matches!(refused, EvidenceError::Unknown(_)));
}

#[tokio::test]
async fn payloads_that_are_empty_odd_or_of_10_mb_are_refused() {
    local(async {
        let web = Web::new(azure::answer).await;
        let issuer = Issuer::new();
        let long = vec![b'x'; 10 << 20];
        for payload in [
            &b""[..],
            b"{}",
            br#"{"token":""}"#,
            br#"{"token":"a.b"}"#,
            &long,
        ] {
            let refused = attest(&web, &issuer, payload).await;
            assert!(matches!(refused, Err(Refused::Payload(_))), "{refused:?}");
        }
        assert!(web.asked().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_agent_takes_nothing_from_a_service_that_hangs_redirects_or_answers_pages() {
    local(async {
        for kind in 0..4 {
            let service = Web::new(move |_| match kind {
                0 => Answer::Hang,
                1 => Answer::Redirect("http://127.0.0.1:1/"),
                2 => Answer::Html,
                _ => Answer::Ok(b"{\"access_token\":\"\"}".to_vec()),
            });
            let agent = AzureMsiAgent::new(&service.await.url, DEFAULT_RESOURCE_ID);
            let failed = agent.payload().await;
            assert!(
                matches!(failed, Err(AgentError::Metadata { .. })),
                "{failed:?}"
            );
            assert!(agent.respond(b"x").await.is_err());
        }
    })
    .await;
}
