//! `agent …`.

use serde_json::json;
use signet_cli::testing::Fake;
use signet_proto::spire::server::agent::v1::{
    BanAgentRequest, CountAgentsRequest, CountAgentsResponse, GetAgentRequest, ListAgentsRequest,
    ListAgentsResponse,
};
use signet_proto::spire::types::{Agent, Selector, selector_match::MatchBehavior};

use super::asked;

const LIST: &str = "/spire.api.server.agent.v1.Agent/ListAgents";
const COUNT: &str = "/spire.api.server.agent.v1.Agent/CountAgents";
const SHOW: &str = "/spire.api.server.agent.v1.Agent/GetAgent";
const BAN: &str = "/spire.api.server.agent.v1.Agent/BanAgent";

fn agent(name: &str) -> Agent {
    Agent {
        id: signet_cli::value::spiffe_id(&format!("spiffe://td/spire/agent/{name}")).ok(),
        attestation_type: "join_token".into(),
        x509svid_serial_number: "42".into(),
        x509svid_expires_at: 1_769_860_800,
        selectors: vec![Selector {
            r#type: "a".into(),
            value: "b:c".into(),
        }],
        agent_version: "1.2.3".into(),
        ..Agent::default()
    }
}

const ONE: &str = "\
SPIFFE ID         : spiffe://td/spire/agent/one
Attestation type  : join_token
Expiration time   : 2026-01-31 12:00:00 +0000 UTC
Serial number     : 42
Can re-attest     : false
Agent version     : 1.2.3

";

#[tokio::test]
async fn a_list_follows_all_pages() {
    let server = Fake::new().on(LIST, |request: ListAgentsRequest| {
        let page = |name: &str, next: &str| ListAgentsResponse {
            agents: vec![agent(name)],
            next_page_token: next.into(),
        };
        Ok(match request.page_token.as_str() {
            "" => page("one", "1"),
            "1" => page("two", "2"),
            _ => ListAgentsResponse::default(),
        })
    });
    let answer = asked(&server, "agent list").await.unwrap();
    let two = ONE.replace("agent/one", "agent/two");
    assert_eq!(
        answer.text,
        format!("Found 2 attested agents:\n\n{ONE}{two}")
    );
    let json = answer.json.unwrap();
    assert_eq!(json["agents"][1]["id"]["path"], "/spire/agent/two");
    assert_eq!(json["next_page_token"], "");
}

#[tokio::test]
async fn a_banned_agent_shows_no_serial() {
    let server = Fake::new().on(LIST, |_: ListAgentsRequest| {
        let agent = Agent {
            banned: true,
            ..agent("one")
        };
        Ok(ListAgentsResponse {
            agents: vec![agent],
            ..Default::default()
        })
    });
    let answer = asked(&server, "agent list").await.unwrap();
    assert!(answer.text.contains("Banned            : true\n"));
    assert!(!answer.text.contains("Serial number"));
}

#[tokio::test]
async fn filters_reach_the_server() {
    let server = Fake::new().on(COUNT, |request: CountAgentsRequest| {
        let filter = request.filter.unwrap();
        let selectors = filter.by_selector_match.unwrap();
        assert_eq!(selectors.r#match, MatchBehavior::MatchAny as i32);
        assert_eq!(selectors.selectors.len(), 2);
        assert_eq!(filter.by_banned, Some(false));
        assert_eq!(filter.by_can_reattest, Some(true));
        assert_eq!(filter.by_expires_before, "2026-01-31 12:00:00 +0000 +00");
        assert_eq!(filter.by_attestation_type, "x509pop");
        Ok(CountAgentsResponse { count: 1 })
    });
    let line = "agent count -selector a:b -selector c:d -matchSelectorsOn any -banned false \
                -canReattest=true -expiresBefore 2026-01-31T12:00:00Z -attestationType x509pop";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(answer.text, "1 attested agent\n");
    assert_eq!(answer.json, Some(json!({ "count": 1 })));
}

#[tokio::test]
async fn without_filters_nothing_is_filtered() {
    let server = Fake::new().on(LIST, |request: ListAgentsRequest| {
        assert_eq!(request.filter, Some(Default::default()));
        Ok(ListAgentsResponse::default())
    });
    let answer = asked(&server, "agent list").await.unwrap();
    assert_eq!(answer.text, "No attested agents found\n");
}

#[tokio::test]
async fn one_agent_is_shown_with_its_selectors() {
    let server = Fake::new().on(SHOW, |request: GetAgentRequest| {
        assert_eq!(request.id.unwrap().path, "/spire/agent/one");
        Ok(agent("one"))
    });
    let line = "agent show -spiffeID spiffe://td/spire/agent/one";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(
        answer.text,
        format!("Found an attested agent given its SPIFFE ID\n\n{ONE}Selectors         : a:b:c\n")
    );
}

#[tokio::test]
async fn a_ban_says_so() {
    let server = Fake::new().on(BAN, |_: BanAgentRequest| Ok(()));
    let line = "agent ban -spiffeID spiffe://td/spire/agent/one";
    let answer = asked(&server, line).await.unwrap();
    assert_eq!(answer.text, "Agent banned successfully\n");
    assert_eq!(answer.json, Some(json!({})));
}

#[tokio::test]
async fn a_server_that_knows_no_ban_is_told_apart() {
    let line = "agent ban -spiffeID spiffe://td/spire/agent/one";
    let failure = asked(&Fake::new(), line).await.unwrap_err();
    assert!(failure.to_string().contains("does not offer this"));
}
