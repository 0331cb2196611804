//! Agents as administrators see them: counted, listed, filtered, in pages; and what agents report.

use crate::harness::{HOUR, World, call, foreign, id, refusal};
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::list_agents_request::Filter;
use signet_proto::spire::server::agent::v1::{
    BanAgentRequest, CountAgentsRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest,
    PostStatusRequest, count_agents_request,
};
use signet_proto::spire::types::{AgentMask, SelectorMatch};
use tonic::Code;
use tonic::transport::Channel;

async fn list(channel: &Channel, filter: Filter) -> Result<Vec<String>, tonic::Status> {
    let mut client = AgentClient::new(channel.clone());
    let count = count_agents_request::Filter {
        by_attestation_type: filter.by_attestation_type.clone(),
        by_selector_match: filter.by_selector_match.clone(),
        by_banned: filter.by_banned,
        by_can_reattest: filter.by_can_reattest,
        by_expires_before: filter.by_expires_before.clone(),
    };
    let request = ListAgentsRequest {
        filter: Some(filter),
        ..ListAgentsRequest::default()
    };
    let listed = client.list_agents(request).await?.into_inner();
    assert_eq!(listed.next_page_token, "");
    let request = CountAgentsRequest {
        filter: Some(count),
    };
    let counted = client.count_agents(request).await?.into_inner().count;
    assert_eq!(usize::try_from(counted).unwrap(), listed.agents.len());
    let paths = listed
        .agents
        .into_iter()
        .map(|agent| agent.id.unwrap().path);
    Ok(paths.collect())
}

#[tokio::test]
async fn filters_narrow_list_and_count_alike() {
    let world = World::new().await;
    let (one, two) = (world.agent().await, world.agent().await);
    let local = world.local().await;
    let mut client = AgentClient::new(local.clone());
    let ban = BanAgentRequest {
        id: Some(two.id.clone()),
    };
    client.ban_agent(ban).await.unwrap();
    let of = |banned| Filter {
        by_banned: Some(banned),
        ..Filter::default()
    };
    assert_eq!(
        list(&local, of(true)).await.unwrap(),
        [two.id.path.as_str()]
    );
    assert_eq!(
        list(&local, of(false)).await.unwrap(),
        [one.id.path.as_str()]
    );
    for (kind, count) in [("", 2), ("join_token", 2), ("x509pop", 0)] {
        let filter = Filter {
            by_attestation_type: kind.to_owned(),
            ..Filter::default()
        };
        assert_eq!(list(&local, filter).await.unwrap().len(), count, "{kind}");
    }
    for (can, count) in [(true, 0), (false, 2)] {
        let filter = Filter {
            by_can_reattest: Some(can),
            ..Filter::default()
        };
        assert_eq!(list(&local, filter).await.unwrap().len(), count);
    }
    let filter = Filter {
        by_selector_match: Some(SelectorMatch::default()),
        ..Filter::default()
    };
    assert_eq!(refusal(list(&local, filter).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn agents_are_found_by_the_end_of_their_svid() {
    let world = World::new().await;
    world.agent().await;
    let local = world.local().await;
    let before = |text: &str| Filter {
        by_expires_before: text.to_owned(),
        ..Filter::default()
    };
    // The server's first instant is 2027-01-15 08:00:00 UTC; the agents' SVIDs live an hour.
    for (text, count) in [
        ("2027-01-15 09:00:00 +0000 UTC", 0),
        ("2027-01-15 09:00:01 +0000 UTC", 1),
        ("2027-01-15 10:00:01 +0100 +01", 1),
        ("2027-01-15 10:00:00 +0100 CET", 0),
    ] {
        assert_eq!(
            list(&local, before(text)).await.unwrap().len(),
            count,
            "{text}"
        );
    }
    for text in [
        "yesterday",
        "2027-01-15",
        "2027-13-45 99:00:00 +0000 UTC",
        "1",
    ] {
        let refused = list(&local, before(text)).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{text}");
    }
}

#[tokio::test]
async fn pages_cover_all_agents_and_a_token_of_another_make_is_refused() {
    let world = World::new().await;
    for _ in 0..5 {
        world.agent().await;
    }
    let mut client = AgentClient::new(world.local().await);
    let mut request = ListAgentsRequest {
        page_size: 2,
        ..ListAgentsRequest::default()
    };
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = client
            .list_agents(request.clone())
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.agents.into_iter().map(|agent| agent.id.unwrap().path));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, 4, "as SPIRE, one empty page ends the list");
    seen.dedup();
    assert_eq!(seen.len(), 5);
    request.page_token = "7".to_owned();
    assert_eq!(
        refusal(client.list_agents(request).await).0,
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn a_mask_keeps_the_id_and_what_it_names() {
    let world = World::new().await;
    let node = world.agent().await;
    let mut client = AgentClient::new(world.local().await);
    let mut request = GetAgentRequest {
        id: Some(node.id.clone()),
        output_mask: Some(AgentMask::default()),
    };
    let bare = client
        .get_agent(request.clone())
        .await
        .unwrap()
        .into_inner();
    let expected = signet_proto::spire::types::Agent {
        id: Some(node.id.clone()),
        ..Default::default()
    };
    assert_eq!(bare, expected);
    request.output_mask = None;
    let all = client.get_agent(request).await.unwrap().into_inner();
    assert_eq!(all.attestation_type, "join_token");
    assert_eq!(all.x509svid_expires_at, world.now() + 3600);
    let serial = &all.x509svid_serial_number;
    assert!(!serial.is_empty() && serial.chars().all(|digit| digit.is_ascii_digit()));
}

#[tokio::test]
async fn ids_that_are_no_agents_are_refused_and_unknown_agents_not_found() {
    let world = World::new().await;
    let mut client = AgentClient::new(world.local().await);
    let odd = [
        None,
        Some(id("/web")),
        Some(id("")),
        Some(foreign("/spire/agent/x/y")),
    ];
    for id in odd {
        let refused = client.ban_agent(BanAgentRequest { id: id.clone() }).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{id:?}");
        let refused = client
            .delete_agent(DeleteAgentRequest { id: id.clone() })
            .await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{id:?}");
        let request = GetAgentRequest {
            id,
            output_mask: None,
        };
        assert_eq!(
            refusal(client.get_agent(request).await).0,
            Code::InvalidArgument
        );
    }
    let id = Some(id("/spire/agent/x/y"));
    let not_found = (Code::NotFound, "agent not found".to_owned());
    let refused = client.ban_agent(BanAgentRequest { id: id.clone() }).await;
    assert_eq!(refusal(refused), not_found);
    let refused = client
        .delete_agent(DeleteAgentRequest { id: id.clone() })
        .await;
    assert_eq!(refusal(refused), not_found);
    let request = GetAgentRequest {
        id,
        output_mask: None,
    };
    assert_eq!(refusal(client.get_agent(request).await), not_found);
}

#[tokio::test]
async fn an_agents_version_is_kept_up_to_its_limit() {
    let world = World::new().await;
    let node = world.agent().await;
    let report = |version: String| PostStatusRequest {
        agent_version: version,
        ..PostStatusRequest::default()
    };
    node.agents()
        .post_status(report("v".repeat(255)))
        .await
        .unwrap();
    let refused = node.agents().post_status(report("v".repeat(256))).await;
    assert_eq!(refusal(refused).0, Code::InvalidArgument);
    node.agents()
        .post_status(report(String::new()))
        .await
        .unwrap();
    let mut client = AgentClient::new(world.local().await);
    let request = GetAgentRequest {
        id: Some(node.id.clone()),
        output_mask: None,
    };
    let stored = client.get_agent(request).await.unwrap().into_inner();
    assert_eq!(stored.agent_version.len(), 255);
}

#[tokio::test]
async fn an_expired_agent_is_still_listed() {
    let world = World::new().await;
    let node = world.agent().await;
    world.clock.advance(2 * HOUR);
    let path = "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries";
    call(&node.channel, path).await.unwrap_err();
    let listed = list(&world.local().await, Filter::default()).await.unwrap();
    assert_eq!(listed, [node.id.path.as_str()]);
}
