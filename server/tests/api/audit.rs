//! Exactly one audit record for each issue, refusal and administrative change; none for reads.

use crate::harness::{
    Node, World, call, create, csr, entry, forged_csr, id, key, mint, only, params, selector,
    token_request,
};
use crate::localauthority;
use futures::Future;
use signet_model::{ActorKind, Credential, Decision};
use signet_proto::signet::admin::v1 as admin;
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::spire::server::agent::v1 as agent_api;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::bundle::v1 as bundle_api;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::entry::v1 as entry_api;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::server::svid::v1 as svid_api;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::types::{Bundle, Entry, JwtKey, Spiffeid};
use signet_server::authority::Kind;
use tonic::transport::Channel;

const YES: Decision = Decision::Granted;
const NO: Decision = Decision::Refused;

/// Demands that an act leaves these records, in any order: items of a batch run side by side.
async fn leaves<T>(
    world: &World,
    what: &str,
    expected: &[(&str, Decision)],
    act: impl Future<Output = T>,
) -> T {
    world.records();
    let outcome = act.await;
    let mut left: Vec<_> = world
        .records()
        .iter()
        .map(|record| format!("{} {:?}", record.action, record.decision))
        .collect();
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(action, decision)| format!("{action} {decision:?}"))
        .collect();
    left.sort();
    expected.sort();
    assert_eq!(left, expected, "{what}");
    outcome
}

async fn attest(channel: Channel, request: Option<agent_api::AttestAgentRequest>) {
    let requests = tokio_stream::iter(request);
    let answers = AgentClient::new(channel).attest_agent(requests).await;
    if let Ok(answers) = answers {
        let _outcome = answers.into_inner().message().await;
    }
}

#[tokio::test]
async fn attestations_leave_one_record_each() {
    let world = World::new().await;
    let channel = world.remote(None).await;
    let csr = csr(&key(), &[]);
    let token = world.token().await;
    let cases = [
        (
            "bad CSR",
            Some(params("join_token", token.as_bytes(), b"x")),
            "agent.attest",
            NO,
        ),
        (
            "granted",
            Some(params("join_token", token.as_bytes(), &csr)),
            "agent.attest",
            YES,
        ),
        (
            "unknown token",
            Some(params("join_token", b"nope", &csr)),
            "agent.attest",
            NO,
        ),
        (
            "unknown type",
            Some(params("nope", b"x", &csr)),
            "agent.attest",
            NO,
        ),
        (
            "no payload",
            Some(params("join_token", b"", &csr)),
            "call.refuse",
            NO,
        ),
        ("empty request", Some(Default::default()), "call.refuse", NO),
        ("no request", None, "call.refuse", NO),
    ];
    for (what, request, action, decision) in cases {
        let act = attest(channel.clone(), request);
        leaves(&world, what, &[(action, decision)], act).await;
    }
}

#[tokio::test]
async fn the_agents_own_calls_leave_a_record_for_each_issue_and_refusal() {
    let world = World::new().await;
    let node = world.agent().await;
    let renew = |csr: &[u8]| agent_api::RenewAgentRequest {
        params: Some(agent_api::AgentX509svidParams {
            csr: csr.to_vec().into(),
        }),
    };
    let csr = csr(&key(), &[]);
    let mut agents = node.agents();
    let act = agents.renew_agent(renew(&csr));
    leaves(&world, "renew", &[("agent.renew", YES)], act)
        .await
        .unwrap();
    let act = agents.renew_agent(renew(b"x"));
    leaves(&world, "bad CSR", &[("agent.renew", NO)], act)
        .await
        .unwrap_err();
    let act = agents.renew_agent(renew(b""));
    leaves(&world, "no CSR", &[("call.refuse", NO)], act)
        .await
        .unwrap_err();
    let act = agents.renew_agent(agent_api::RenewAgentRequest::default());
    leaves(&world, "no params", &[("call.refuse", NO)], act)
        .await
        .unwrap_err();
    for version in ["1.0".to_owned(), "x".repeat(256)] {
        let report = agent_api::PostStatusRequest {
            agent_version: version,
            ..Default::default()
        };
        let _either = leaves(&world, "report", &[], agents.post_status(report)).await;
    }
}

#[tokio::test]
async fn agents_administered_leave_one_record_each() {
    let world = World::new().await;
    let (banned, evicted) = (world.agent().await, world.agent().await);
    let channel = world.local().await;
    let mut client = AgentClient::new(channel.clone());
    let unknown = id("/spire/agent/join_token/nope");
    let cases = [
        (Some(banned.id.clone()), Some(evicted.id.clone()), true, YES),
        (Some(unknown.clone()), Some(unknown), true, NO),
        (Some(id("/web")), Some(id("/web")), false, NO),
        (None, None, false, NO),
    ];
    for (ban, evict, read, decision) in cases {
        let action = |named| if read { named } else { "call.refuse" };
        let act = client.ban_agent(agent_api::BanAgentRequest { id: ban });
        let _either = leaves(&world, "ban", &[(action("agent.ban"), decision)], act).await;
        let act = client.delete_agent(agent_api::DeleteAgentRequest { id: evict });
        let _either = leaves(&world, "evict", &[(action("agent.evict"), decision)], act).await;
    }
    let tokens = [
        (token_request(60, "mine", None), "token.create", YES),
        (
            token_request(60, "", Some(id("/alias"))),
            "token.create",
            YES,
        ),
        (token_request(60, "mine", None), "token.create", NO),
        (token_request(0, "", None), "token.create", NO),
        (token_request(60, "a b", None), "token.create", NO),
        (
            token_request(60, "", Some(id("/spire/server"))),
            "token.create",
            NO,
        ),
        (
            token_request(60, "", Some(Spiffeid::default())),
            "call.refuse",
            NO,
        ),
    ];
    for (request, action, decision) in tokens {
        let what = format!("{request:?}");
        let act = client.create_join_token(request);
        let _either = leaves(&world, &what, &[(action, decision)], act).await;
    }
}

#[tokio::test]
async fn reads_leave_none_granted_or_not() {
    let world = World::new().await;
    let local = world.local().await;
    let node = world.agent().await;
    let read = |channel: &Channel, path: &'static str| {
        let channel = channel.clone();
        async move { call(&channel, path).await }
    };
    for path in [
        "/spire.api.server.agent.v1.Agent/CountAgents",
        "/spire.api.server.agent.v1.Agent/ListAgents",
        "/spire.api.server.agent.v1.Agent/GetAgent",
        "/spire.api.server.entry.v1.Entry/CountEntries",
        "/spire.api.server.entry.v1.Entry/ListEntries",
        "/spire.api.server.entry.v1.Entry/GetEntry",
        "/spire.api.server.bundle.v1.Bundle/GetBundle",
        "/spire.api.server.bundle.v1.Bundle/CountBundles",
        "/spire.api.server.bundle.v1.Bundle/ListFederatedBundles",
        "/spire.api.server.bundle.v1.Bundle/GetFederatedBundle",
        "/signet.admin.v1.Admin/Why",
        "/signet.admin.v1.Admin/GetEntryExtras",
        "/signet.admin.v1.Admin/WaitForEntries",
        "/signet.admin.v1.Admin/GetLifetimes",
        "/grpc.health.v1.Health/Check",
    ] {
        let _either = leaves(&world, path, &[], read(&local, path)).await;
    }
    for path in [
        "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries",
        "/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries",
        "/spire.api.server.bundle.v1.Bundle/GetFederatedBundle",
        "/signet.sync.v1.Sync/Watch",
    ] {
        let _either = leaves(&world, path, &[], read(&node.channel, path)).await;
    }
}

#[tokio::test]
async fn each_call_that_is_denied_leaves_one() {
    let world = World::new().await;
    let node = world.agent().await;
    let anonymous = world.remote(None).await;
    let list = "/spire.api.server.entry.v1.Entry/ListEntries";
    let create = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
    for (channel, kind) in [
        (&node.channel, ActorKind::Other),
        (&anonymous, ActorKind::Anonymous),
    ] {
        for path in [list, create] {
            world.records();
            call(channel, path).await.unwrap_err();
            let record = only(world.records());
            assert_eq!((record.action, record.decision), ("call.deny", NO));
            assert_eq!(record.caller.kind, kind);
            assert_eq!(record.target.as_deref(), Some(path));
        }
    }
    world.records();
    call(&anonymous, "/made.up/Name").await.unwrap_err();
    assert!(world.records().is_empty());
}

#[tokio::test]
async fn entries_leave_one_record_an_item() {
    let world = World::new().await;
    let mut client = EntryClient::new(world.local().await);
    let parent = id("/spire/agent/x/y");
    let good = entry("/web", &parent);
    let entries = vec![
        good.clone(),
        Entry {
            id: "a b".to_owned(),
            ..entry("/b", &parent)
        },
        Entry {
            selectors: vec![],
            ..entry("/c", &parent)
        },
        Entry {
            federates_with: vec!["other.org".to_owned()],
            ..entry("/d", &parent)
        },
        Entry::default(),
    ];
    let request = entry_api::BatchCreateEntryRequest {
        entries,
        output_mask: None,
    };
    let expected: Vec<_> = [YES, NO, NO, NO, NO].map(|d| ("entry.create", d)).into();
    let act = client.batch_create_entry(request);
    let created = leaves(&world, "create", &expected, act).await.unwrap();
    let made = created.into_inner().results[0].entry.clone().unwrap();
    let again = entry_api::BatchCreateEntryRequest {
        entries: vec![good],
        output_mask: None,
    };
    let act = client.batch_create_entry(again);
    leaves(&world, "similar", &[("entry.create", NO)], act)
        .await
        .unwrap();

    let with_id = |id: &str| Entry {
        id: id.to_owned(),
        ..made.clone()
    };
    let bad = Entry {
        x509_svid_ttl: -1,
        ..made.clone()
    };
    let request = entry_api::BatchUpdateEntryRequest {
        entries: vec![
            with_id(&made.id),
            with_id("nope"),
            with_id("a b"),
            with_id(""),
            bad,
        ],
        input_mask: None,
        output_mask: None,
    };
    let expected: Vec<_> = [YES, NO, NO, NO, NO].map(|d| ("entry.update", d)).into();
    let act = client.batch_update_entry(request);
    leaves(&world, "update", &expected, act).await.unwrap();

    let ids = [&made.id, "nope", "a b", ""].map(str::to_owned).to_vec();
    let expected: Vec<_> = [YES, NO, NO, NO].map(|d| ("entry.delete", d)).into();
    let act = client.batch_delete_entry(entry_api::BatchDeleteEntryRequest { ids });
    leaves(&world, "delete", &expected, act).await.unwrap();
}

#[tokio::test]
async fn the_record_of_an_update_names_entry_revision_and_request() {
    let world = World::new().await;
    let channel = world.local().await;
    let parent = id("/spire/agent/x/y");
    let made = create(&channel, vec![entry("/web", &parent)])
        .await
        .remove(0);
    world.records();
    let request = entry_api::BatchUpdateEntryRequest {
        entries: vec![made.clone()],
        ..Default::default()
    };
    let mut client = EntryClient::new(channel);
    client.batch_update_entry(request).await.unwrap();
    let record = only(world.records());
    let (entry_id, revision) = record.entry.unwrap();
    assert_eq!((entry_id.to_string(), revision), (made.id, 1));
    assert_eq!(record.target.as_deref(), Some("spiffe://example.org/web"));
    assert_eq!(record.caller.kind, ActorKind::Local);
    assert!(!record.request_id.is_empty());
}

fn wanted(entry_id: &str, csr: &[u8]) -> svid_api::NewX509svidParams {
    svid_api::NewX509svidParams {
        entry_id: entry_id.to_owned(),
        csr: csr.to_vec().into(),
    }
}

async fn served(world: &World) -> (Node, Entry) {
    let node = world.agent().await;
    let made = create(&world.local().await, vec![entry("/web", &node.id)]).await;
    (node, made.into_iter().next().unwrap())
}

#[tokio::test]
async fn x509_svids_leave_one_record_an_item() {
    let world = World::new().await;
    let (node, entry) = served(&world).await;
    let csr = csr(&key(), &[]);
    let batch = vec![
        wanted(&entry.id, &csr),
        wanted("nope", &csr),
        wanted("a b", &csr),
        wanted("", &csr),
        wanted(&entry.id, &forged_csr()),
        wanted(&entry.id, b""),
    ];
    let expected: Vec<_> = [YES, NO, NO, NO, NO, NO].map(|d| ("x509.issue", d)).into();
    let mut client = node.svids();
    let act = client.batch_new_x509svid(svid_api::BatchNewX509svidRequest { params: batch });
    leaves(&world, "batch", &expected, act).await.unwrap();
    for count in [0, 501] {
        let params = vec![wanted(&entry.id, &csr); count];
        let act = client.batch_new_x509svid(svid_api::BatchNewX509svidRequest { params });
        leaves(&world, "whole batch", &[("call.refuse", NO)], act)
            .await
            .unwrap_err();
    }
    let act = client.batch_new_witsvid(svid_api::BatchNewWitsvidRequest::default());
    leaves(&world, "WIT", &[("call.refuse", NO)], act)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn jwt_svids_leave_one_record_each_that_names_no_token() {
    let world = World::new().await;
    let (node, entry) = served(&world).await;
    let mut client = node.svids();
    let wanted = |entry_id: &str, audience: &[&str]| svid_api::NewJwtsvidRequest {
        entry_id: entry_id.to_owned(),
        audience: audience.iter().map(|one| (*one).to_owned()).collect(),
    };
    let act = client.new_jwtsvid(wanted("nope", &["a"]));
    leaves(&world, "unknown", &[("jwt.issue", NO)], act)
        .await
        .unwrap_err();
    let act = client.new_jwtsvid(wanted(&entry.id, &[""]));
    leaves(&world, "no audience", &[("jwt.issue", NO)], act)
        .await
        .unwrap_err();
    world.records();
    let issued = client.new_jwtsvid(wanted(&entry.id, &["a"])).await.unwrap();
    let record = only(world.records());
    assert_eq!((record.action, record.decision), ("jwt.issue", YES));
    assert!(matches!(record.credential, Some(Credential::JtiHash(_))));
    let token = issued.into_inner().svid.unwrap().token;
    assert!(!format!("{record:?}").contains(&token));
}

#[tokio::test]
async fn minting_leaves_one_record_each() {
    let world = World::new().await;
    let channel = world.local().await;
    let good = csr(&key(), &["spiffe://example.org/m"]);
    let none = csr(&key(), &[]);
    for (csr, action, decision) in [
        (good, "x509.mint", YES),
        (none, "x509.mint", NO),
        (forged_csr(), "x509.mint", NO),
        (Vec::new(), "call.refuse", NO),
    ] {
        let act = mint(&channel, csr, 0);
        let _either = leaves(&world, "mint", &[(action, decision)], act).await;
    }
    let mut client = SvidClient::new(channel);
    for (subject, audience, action, decision) in [
        (Some(id("/m")), "a", "jwt.mint", YES),
        (Some(id("/m")), "", "jwt.mint", NO),
        (Some(id("/spire/server")), "a", "jwt.mint", NO),
        (None, "a", "call.refuse", NO),
    ] {
        let request = svid_api::MintJwtsvidRequest {
            id: subject,
            audience: vec![audience.to_owned()],
            ttl: 0,
        };
        let act = client.mint_jwtsvid(request);
        let _either = leaves(&world, "mint", &[(action, decision)], act).await;
    }
    let act = client.mint_witsvid(svid_api::MintWitsvidRequest::default());
    leaves(&world, "WIT", &[("call.refuse", NO)], act)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn bundles_leave_one_record_an_item() {
    let world = World::new().await;
    let mut client = BundleClient::new(world.local().await);
    let named = |name: &str| Bundle {
        trust_domain: name.to_owned(),
        ..crate::bundles::foreign_bundle()
    };
    let batch = || {
        vec![
            named("other.org"),
            named("example.org"),
            named("A B"),
            named(""),
        ]
    };
    let items = |action: &'static str| -> Vec<_> {
        vec![
            (action, YES),
            (action, NO),
            ("bundle.write", NO),
            ("bundle.write", NO),
        ]
    };
    let request = bundle_api::BatchCreateFederatedBundleRequest {
        bundle: batch(),
        output_mask: None,
    };
    let act = client.batch_create_federated_bundle(request);
    leaves(&world, "create", &items("bundle.create"), act)
        .await
        .unwrap();
    let request = bundle_api::BatchUpdateFederatedBundleRequest {
        bundle: batch(),
        ..Default::default()
    };
    let act = client.batch_update_federated_bundle(request);
    leaves(&world, "update", &items("bundle.update"), act)
        .await
        .unwrap();
    let request = bundle_api::BatchSetFederatedBundleRequest {
        bundle: batch(),
        output_mask: None,
    };
    let act = client.batch_set_federated_bundle(request);
    leaves(&world, "set", &items("bundle.set"), act)
        .await
        .unwrap();
    let request = bundle_api::BatchDeleteFederatedBundleRequest {
        trust_domains: ["other.org", "other.org", "example.org", ""]
            .map(str::to_owned)
            .into(),
        mode: 0,
    };
    let expected: Vec<_> = [YES, NO, NO, NO].map(|d| ("bundle.delete", d)).into();
    let act = client.batch_delete_federated_bundle(request.clone());
    leaves(&world, "delete", &expected, act).await.unwrap();
    let unknown = bundle_api::BatchDeleteFederatedBundleRequest { mode: 9, ..request };
    let act = client.batch_delete_federated_bundle(unknown);
    leaves(&world, "mode", &[("call.refuse", NO)], act)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn what_is_added_to_the_own_bundle_leaves_one_record_each() {
    let world = World::new().await;
    let local = world.local().await;
    let below = Entry {
        downstream: true,
        ..entry("/below", &id("/spire/agent/x/y"))
    };
    create(&local, vec![below]).await;
    let mut client = BundleClient::new(local);
    let jwt_key = |id: &str| JwtKey {
        public_key: key().public_key().spki_der().to_vec().into(),
        key_id: id.to_owned(),
        ..JwtKey::default()
    };
    let append = |keys| bundle_api::AppendBundleRequest {
        jwt_authorities: keys,
        ..Default::default()
    };
    for (keys, action, decision) in [
        (vec![jwt_key("one")], "bundle.append", YES),
        (vec![jwt_key("one")], "bundle.append", NO),
        (vec![], "call.refuse", NO),
        (vec![JwtKey::default()], "call.refuse", NO),
    ] {
        let act = client.append_bundle(append(keys));
        let _either = leaves(&world, "append", &[(action, decision)], act).await;
    }
    let below = world.remote(Some(&world.minted("/below").await)).await;
    let mut client = BundleClient::new(below.clone());
    for (key, action, decision) in [
        (Some(jwt_key("two")), "bundle.append", YES),
        (Some(jwt_key("two")), "bundle.append", NO),
        (None, "call.refuse", NO),
    ] {
        let request = bundle_api::PublishJwtAuthorityRequest { jwt_authority: key };
        let act = client.publish_jwt_authority(request);
        let _either = leaves(&world, "publish", &[(action, decision)], act).await;
    }
    let path = "/spire.api.server.svid.v1.SVID/NewDownstreamX509CA";
    let act = call(&below, path);
    leaves(&world, path, &[("call.refuse", NO)], act)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn what_is_done_to_authorities_leaves_one_record_each() {
    let world = World::new().await;
    let channel = world.local().await;
    let issuer = world.server.issuer();
    let active = |kind| issuer.local_authorities(kind).unwrap().active.authority_id;
    for (kind, name) in [(Kind::X509, "X509"), (Kind::Jwt, "JWT")] {
        let old = active(kind);
        let done = |verb: &'static str, decision, id: String| {
            let (world, channel) = (&world, &channel);
            async move {
                let action = format!("authority.{}", verb.to_lowercase());
                let act = localauthority::act(channel, verb, name, &id);
                leaves(world, verb, &[(&action, decision)], act).await
            }
        };
        let next = done("Prepare", YES, String::new())
            .await
            .unwrap()
            .authority_id;
        let cases = [
            ("Activate", NO, old.clone()),
            ("Activate", YES, next),
            ("Revoke", NO, old.clone()),
            ("Taint", YES, old.clone()),
            ("Taint", NO, old.clone()),
            ("Revoke", YES, old),
        ];
        for (verb, decision, id) in cases {
            let _either = done(verb, decision, id).await;
        }
    }
    let off = localauthority::act(&channel, "Prepare", "WIT", "");
    leaves(&world, "WIT", &[("authority.prepare", NO)], off)
        .await
        .unwrap_err();
    for (verb, action) in [
        ("Taint", "upstream_authority.taint"),
        ("Revoke", "upstream_authority.revoke"),
    ] {
        let method = format!("{verb}X509UpstreamAuthority");
        let path = format!("/spire.api.server.localauthority.v1.LocalAuthority/{method}");
        let act = call(&channel, &path);
        leaves(&world, verb, &[(action, NO)], act)
            .await
            .unwrap_err();
    }
    for kind in ["X509", "JWT", "WIT"] {
        let method = format!("Get{kind}AuthorityState");
        let path = format!("/spire.api.server.localauthority.v1.LocalAuthority/{method}");
        let _either = leaves(&world, kind, &[], call(&channel, &path)).await;
    }
}

#[tokio::test]
async fn what_we_add_to_entries_leaves_one_record_each() {
    let world = World::new().await;
    let channel = world.local().await;
    let parent = id("/spire/agent/x/y");
    let made = create(&channel, vec![entry("/web", &parent)])
        .await
        .remove(0);
    let mut client = AdminClient::new(channel);
    let extras = |entry_id: &str| admin::SetEntryExtrasRequest {
        extras: Some(admin::EntryExtras {
            entry_id: entry_id.to_owned(),
            disabled: true,
            ..Default::default()
        }),
        input_mask: None,
    };
    for (request, action, decision) in [
        (extras(&made.id), "entry.update", YES),
        (extras("nope"), "entry.update", NO),
        (extras(""), "call.refuse", NO),
        (admin::SetEntryExtrasRequest::default(), "call.refuse", NO),
    ] {
        let act = client.set_entry_extras(request);
        let _either = leaves(&world, "extras", &[(action, decision)], act).await;
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_leaves_one_record() {
    let world = World::new().await;
    let channel = world.local().await;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    // The second field is a number in MintX509SVIDRequest and a text here.
    let request = tonic::Request::new(id("/x"));
    let path = "/spire.api.server.svid.v1.SVID/MintX509SVID"
        .parse()
        .unwrap();
    let codec = tonic_prost::ProstCodec::<Spiffeid, ()>::default();
    world.records();
    grpc.unary(request, path, codec).await.unwrap_err();
    let record = only(world.records());
    assert_eq!((record.action, record.decision), ("call.refuse", NO));
}

#[tokio::test]
async fn no_record_holds_a_selector_a_token_or_a_request() {
    let world = World::new().await;
    let channel = world.local().await;
    let token = "secret-token";
    let mut agents = AgentClient::new(channel.clone());
    agents
        .create_join_token(token_request(60, token, None))
        .await
        .unwrap();
    agents
        .create_join_token(token_request(60, token, None))
        .await
        .unwrap_err();
    let anonymous = world.remote(None).await;
    attest(
        anonymous,
        Some(params("join_token", b"secret-token-2", &csr(&key(), &[]))),
    )
    .await;
    let odd = Entry {
        selectors: vec![selector("unix:secret-value")],
        dns_names: vec!["bad-.".to_owned()],
        ..entry("/web", &id("/spire/agent/x/y"))
    };
    let mut entries = EntryClient::new(channel);
    let request = entry_api::BatchCreateEntryRequest {
        entries: vec![odd],
        output_mask: None,
    };
    entries.batch_create_entry(request).await.unwrap();
    let records = world.records();
    assert_eq!(records.len(), 4);
    assert!(!format!("{records:?}").contains("secret"), "{records:?}");
}
