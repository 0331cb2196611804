//! Every method against every class of caller.

use crate::harness::{HOUR, Node, Shown, World, call, create, entry, id, key, reason, td};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use signet_crypto::PrivateKey;
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::signet::admin::v1::{EntryExtras, EntryExtrasMask, SetEntryExtrasRequest};
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{BanAgentRequest, DeleteAgentRequest};
use signet_proto::spire::server::bundle::v1::BatchSetFederatedBundleRequest;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::types::permission_denied_details::Reason;
use signet_proto::spire::types::{Bundle, Entry, X509Certificate};
use signet_spiffe::SpiffeId;
use std::sync::Arc;
use time::OffsetDateTime;
use tonic::Code;
use tonic::transport::Channel;

/// Who may call a group of methods, as SPIRE's policy has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Group {
    Any,
    Agent,
    AgentOrAdmin,
    Downstream,
    Admin,
    LocalOnly,
}

const METHODS: &[(Group, &str, &[&str])] = &[
    (Group::Any, "bundle.v1.Bundle", &["GetBundle"]),
    (Group::Any, "agent.v1.Agent", &["AttestAgent"]),
    (
        Group::Agent,
        "svid.v1.SVID",
        &["BatchNewX509SVID", "NewJWTSVID", "BatchNewWITSVID"],
    ),
    (
        Group::Agent,
        "entry.v1.Entry",
        &["GetAuthorizedEntries", "SyncAuthorizedEntries"],
    ),
    (
        Group::Agent,
        "agent.v1.Agent",
        &["RenewAgent", "PostStatus"],
    ),
    (
        Group::AgentOrAdmin,
        "bundle.v1.Bundle",
        &["GetFederatedBundle"],
    ),
    (Group::Downstream, "svid.v1.SVID", &["NewDownstreamX509CA"]),
    (
        Group::Downstream,
        "bundle.v1.Bundle",
        &["PublishJWTAuthority", "PublishWITAuthority"],
    ),
    (Group::LocalOnly, "debug.v1.Debug", &["GetInfo"]),
    (
        Group::LocalOnly,
        "logger.v1.Logger",
        &["GetLogger", "SetLogLevel", "ResetLogLevel"],
    ),
    (
        Group::Admin,
        "svid.v1.SVID",
        &["MintX509SVID", "MintJWTSVID", "MintWITSVID"],
    ),
    (
        Group::Admin,
        "bundle.v1.Bundle",
        &[
            "AppendBundle",
            "CountBundles",
            "ListFederatedBundles",
            "BatchCreateFederatedBundle",
            "BatchUpdateFederatedBundle",
            "BatchSetFederatedBundle",
            "BatchDeleteFederatedBundle",
        ],
    ),
    (
        Group::Admin,
        "entry.v1.Entry",
        &[
            "CountEntries",
            "ListEntries",
            "GetEntry",
            "BatchCreateEntry",
            "BatchUpdateEntry",
            "BatchDeleteEntry",
        ],
    ),
    (
        Group::Admin,
        "agent.v1.Agent",
        &[
            "CountAgents",
            "ListAgents",
            "GetAgent",
            "DeleteAgent",
            "BanAgent",
            "CreateJoinToken",
        ],
    ),
    (
        Group::Admin,
        "trustdomain.v1.TrustDomain",
        &["ListFederationRelationships", "RefreshBundle"],
    ),
    (
        Group::Admin,
        "localauthority.v1.LocalAuthority",
        &[
            "GetJWTAuthorityState",
            "PrepareJWTAuthority",
            "ActivateJWTAuthority",
            "TaintJWTAuthority",
            "RevokeJWTAuthority",
            "GetX509AuthorityState",
            "PrepareX509Authority",
            "ActivateX509Authority",
            "TaintX509Authority",
            "RevokeX509Authority",
            "TaintX509UpstreamAuthority",
            "RevokeX509UpstreamAuthority",
            "GetWITAuthorityState",
            "PrepareWITAuthority",
            "ActivateWITAuthority",
            "TaintWITAuthority",
            "RevokeWITAuthority",
        ],
    ),
];

fn methods() -> Vec<(Group, String)> {
    let full = |group, service: &str, method: &str| match service {
        _ if service.contains("sync") => (group, format!("/{service}/{method}")),
        _ => (group, format!("/spire.api.server.{service}/{method}")),
    };
    let mut all: Vec<_> = METHODS
        .iter()
        .flat_map(|(group, service, names)| {
            names.iter().map(move |name| full(*group, service, name))
        })
        .collect();
    all.push((Group::Agent, "/signet.sync.v1.Sync/Watch".to_owned()));
    all.push((Group::LocalOnly, "/grpc.health.v1.Health/Check".to_owned()));
    for method in ["Why", "GetEntryExtras", "SetEntryExtras", "WaitForEntries"] {
        all.push((Group::LocalOnly, format!("/signet.admin.v1.Admin/{method}")));
    }
    all
}

const COUNT_ENTRIES: &str = "/spire.api.server.entry.v1.Entry/CountEntries";

/// What is expected of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    Allowed,
    Denied(Option<Reason>),
    Unimplemented,
}

/// Calls every method and compares with what the class of caller may expect.
async fn check(class: &str, channel: &Channel, expected: impl Fn(Group) -> Expected) {
    for (group, path) in methods() {
        let outcome = call(channel, &path).await;
        let text = format!("authorization denied for method {path}");
        let denied = matches!(&outcome, Err(status) if status.message() == text);
        let context = format!("{class} calling {path}: {outcome:?}");
        match expected(group) {
            Expected::Allowed => {
                assert!(!denied, "{context}");
                let broken = matches!(&outcome, Err(status) if matches!(
                    status.code(),
                    Code::Unauthenticated | Code::Unavailable
                ));
                assert!(!broken, "{context}");
            }
            Expected::Denied(detail) => {
                assert!(denied, "{context}");
                let status = outcome.unwrap_err();
                assert_eq!(status.code(), Code::PermissionDenied, "{context}");
                assert_eq!(reason(&status), detail, "{context}");
            }
            Expected::Unimplemented => {
                assert_eq!(outcome.unwrap_err().code(), Code::Unimplemented, "{path}");
            }
        }
    }
}

/// A remote caller that is no agent; `detail` is what an agents' method answers it.
fn stranger(detail: Option<Reason>) -> impl Fn(Group) -> Expected {
    move |group| match group {
        Group::Any => Expected::Allowed,
        Group::Agent | Group::AgentOrAdmin => Expected::Denied(detail),
        Group::Downstream | Group::Admin => Expected::Denied(None),
        Group::LocalOnly => Expected::Unimplemented,
    }
}

fn admin(group: Group) -> Expected {
    match group {
        Group::Any | Group::AgentOrAdmin | Group::Admin => Expected::Allowed,
        Group::Agent => Expected::Denied(Some(Reason::AgentNotAttested)),
        Group::Downstream => Expected::Denied(None),
        Group::LocalOnly => Expected::Unimplemented,
    }
}

#[tokio::test]
async fn a_caller_without_a_certificate_may_attest_and_read_the_bundle() {
    let world = World::new().await;
    let channel = world.remote(None).await;
    check("anonymous", &channel, stranger(None)).await;
}

#[tokio::test]
async fn the_socket_may_call_all_but_what_agents_and_downstream_servers_may() {
    let world = World::new().await;
    let expected = |group| match group {
        Group::Any | Group::Admin | Group::AgentOrAdmin | Group::LocalOnly => Expected::Allowed,
        Group::Agent | Group::Downstream => Expected::Denied(None),
    };
    check("local", &world.local().await, expected).await;
}

#[tokio::test]
async fn an_agent_may_call_what_agents_may() {
    let world = World::new().await;
    let agent = world.agent().await;
    let expected = |group| match group {
        Group::Any | Group::Agent | Group::AgentOrAdmin => Expected::Allowed,
        Group::Downstream | Group::Admin => Expected::Denied(None),
        Group::LocalOnly => Expected::Unimplemented,
    };
    check("agent", &agent.channel, expected).await;
}

#[tokio::test]
async fn the_holder_of_an_admin_entry_may_do_what_an_administrator_may() {
    let world = World::new().await;
    let entry = Entry {
        admin: true,
        ..entry("/ops", &id("/spire/agent/x/y"))
    };
    create(&world.local().await, vec![entry]).await;
    let channel = world.remote(Some(&world.minted("/ops").await)).await;
    check("admin by entry", &channel, admin).await;
}

#[tokio::test]
async fn an_expired_admin_entry_gives_no_rights() {
    let world = World::new().await;
    let lapsing = Entry {
        admin: true,
        expires_at: world.now() + 60,
        ..entry("/ops", &id("/spire/agent/x/y"))
    };
    create(&world.local().await, vec![lapsing]).await;
    let channel = world.remote(Some(&world.minted("/ops").await)).await;
    call(&channel, COUNT_ENTRIES).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(60));
    let status = call(&channel, COUNT_ENTRIES).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(&status), None);
}

/// Disables an entry, or enables it again.
async fn disable(world: &World, entry_id: &str, disabled: bool) {
    let request = SetEntryExtrasRequest {
        extras: Some(EntryExtras {
            entry_id: entry_id.to_owned(),
            disabled,
            ..EntryExtras::default()
        }),
        input_mask: Some(EntryExtrasMask {
            disabled: true,
            ..EntryExtrasMask::default()
        }),
    };
    let mut client = AdminClient::new(world.local().await);
    client.set_entry_extras(request).await.unwrap();
}

#[tokio::test]
async fn a_disabled_admin_entry_gives_no_rights_until_it_is_enabled() {
    let world = World::new().await;
    let entry = Entry {
        admin: true,
        ..entry("/ops", &id("/spire/agent/x/y"))
    };
    let made = create(&world.local().await, vec![entry]).await.remove(0);
    let channel = world.remote(Some(&world.minted("/ops").await)).await;
    call(&channel, COUNT_ENTRIES).await.unwrap();
    disable(&world, &made.id, true).await;
    let workload = stranger(Some(Reason::AgentNotAttested));
    check("disabled admin", &channel, workload).await;
    disable(&world, &made.id, false).await;
    check("enabled admin", &channel, admin).await;
}

#[tokio::test]
async fn a_disabled_admin_entry_leaves_the_rights_of_another() {
    let world = World::new().await;
    let local = world.local().await;
    let admins = ["/spire/agent/x/one", "/spire/agent/x/two"].map(|parent| Entry {
        admin: true,
        ..entry("/ops", &id(parent))
    });
    let made = create(&local, admins.to_vec()).await;
    let channel = world.remote(Some(&world.minted("/ops").await)).await;
    disable(&world, &made[0].id, true).await;
    call(&channel, COUNT_ENTRIES).await.unwrap();
    disable(&world, &made[1].id, true).await;
    let status = call(&channel, COUNT_ENTRIES).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_disabled_downstream_entry_gives_no_rights_until_it_is_enabled() {
    let world = World::new().await;
    let entry = Entry {
        downstream: true,
        ..entry("/below", &id("/spire/agent/x/y"))
    };
    let made = create(&world.local().await, vec![entry]).await.remove(0);
    let channel = world.remote(Some(&world.minted("/below").await)).await;
    disable(&world, &made.id, true).await;
    let workload = stranger(Some(Reason::AgentNotAttested));
    check("disabled downstream", &channel, workload).await;
    disable(&world, &made.id, false).await;
    let ca = "/spire.api.server.svid.v1.SVID/NewDownstreamX509CA";
    let status = call(&channel, ca).await.unwrap_err();
    assert_ne!(status.code(), Code::PermissionDenied, "{status}");
}

#[tokio::test]
async fn the_admin_ids_of_the_configuration_are_administrators() {
    let admin_id = SpiffeId::new(&td(), "/root").unwrap();
    let world = World::with(|parts| {
        parts.settings.admin_ids.insert(admin_id);
    })
    .await;
    let channel = world.remote(Some(&world.minted("/root").await)).await;
    check("admin by configuration", &channel, admin).await;
}

#[tokio::test]
async fn the_holder_of_a_downstream_entry_may_do_what_a_downstream_server_may() {
    let world = World::new().await;
    let entry = Entry {
        downstream: true,
        ..entry("/below", &id("/spire/agent/x/y"))
    };
    create(&world.local().await, vec![entry]).await;
    let channel = world.remote(Some(&world.minted("/below").await)).await;
    let expected = |group| match group {
        Group::Downstream => Expected::Allowed,
        other => stranger(Some(Reason::AgentNotAttested))(other),
    };
    check("downstream", &channel, expected).await;
}

#[tokio::test]
async fn a_workload_is_told_that_it_is_no_attested_agent() {
    let world = World::new().await;
    let channel = world.remote(Some(&world.minted("/web").await)).await;
    let expected = stranger(Some(Reason::AgentNotAttested));
    check("workload", &channel, expected).await;
}

async fn federate(world: &World, ca: &ForeignCa) {
    let bundle = Bundle {
        trust_domain: "other.org".to_owned(),
        x509_authorities: vec![X509Certificate {
            asn1: ca.der.clone().into(),
            tainted: false,
        }],
        ..Bundle::default()
    };
    let mut client = BundleClient::new(world.local().await);
    let trust = &world.server.issuer().trust;
    let before = trust.generation();
    let request = BatchSetFederatedBundleRequest {
        bundle: vec![bundle],
        output_mask: None,
    };
    let set = client.batch_set_federated_bundle(request).await.unwrap();
    let status = set.into_inner().results.remove(0).status.unwrap();
    assert_eq!(status.message, "OK");
    // The handshake's trust follows the state in a task.
    while trust.generation() == before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_foreign_administrator_named_in_the_configuration_is_one() {
    let world = World::with(|parts| {
        let admin = SpiffeId::parse("spiffe://other.org/root").unwrap();
        parts.settings.admin_ids.insert(admin);
    })
    .await;
    let ca = ForeignCa::new();
    federate(&world, &ca).await;
    let channel = world.remote(Some(&ca.svid("/root"))).await;
    check("foreign admin", &channel, admin).await;
}

#[tokio::test]
async fn a_foreign_certificate_that_is_not_named_fails_the_handshake() {
    let world = World::new().await;
    let ca = ForeignCa::new();
    federate(&world, &ca).await;
    let refused = match world.try_remote(Some(&ca.svid("/web"))).await {
        Err(_) => true,
        // TLS 1.3: the client learns of it at the first use.
        Ok(channel) => {
            let path = "/spire.api.server.bundle.v1.Bundle/GetBundle";
            call(&channel, path).await.is_err()
        }
    };
    assert!(refused);
}

async fn denied_as_agent(node: &Node, expected: Reason) {
    let watch = |group| match group {
        Group::Any => Expected::Allowed,
        Group::Agent | Group::AgentOrAdmin => Expected::Denied(Some(expected)),
        Group::Downstream | Group::Admin => Expected::Denied(None),
        Group::LocalOnly => Expected::Unimplemented,
    };
    check(&format!("{expected:?}"), &node.channel, watch).await;
}

#[tokio::test]
async fn a_banned_agent_is_told_so_on_its_open_connection() {
    let world = World::new().await;
    let agent = world.agent().await;
    let mut client = AgentClient::new(world.local().await);
    let id = Some(agent.id.clone());
    client.ban_agent(BanAgentRequest { id }).await.unwrap();
    denied_as_agent(&agent, Reason::AgentBanned).await;
}

#[tokio::test]
async fn an_evicted_agent_is_told_that_it_is_not_attested() {
    let world = World::new().await;
    let agent = world.agent().await;
    let mut client = AgentClient::new(world.local().await);
    let id = Some(agent.id.clone());
    client
        .delete_agent(DeleteAgentRequest { id })
        .await
        .unwrap();
    denied_as_agent(&agent, Reason::AgentNotAttested).await;
}

#[tokio::test]
async fn an_expired_agent_is_told_so_on_its_open_connection() {
    let world = World::new().await;
    let agent = world.agent().await;
    world.clock.advance(2 * HOUR);
    denied_as_agent(&agent, Reason::AgentExpired).await;
}

#[tokio::test]
async fn an_agent_whose_token_was_attested_anew_is_told_that_its_svid_is_not_active() {
    let world = World::new().await;
    let agent = world.agent().await;
    // Before its first use, the same key may attest again; the first SVID is then replaced.
    world.attest(&agent.token, &agent.shown.key).await.unwrap();
    denied_as_agent(&agent, Reason::AgentNotActive).await;
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_for_everybody() {
    let world = World::new().await;
    for channel in [world.remote(None).await, world.local().await] {
        let outcome = call(&channel, "/spire.api.server.other.v1.Other/Get").await;
        assert_eq!(outcome.unwrap_err().code(), Code::Unimplemented);
    }
}

/// The authority of another trust domain.
pub(crate) struct ForeignCa {
    pub(crate) der: Vec<u8>,
    params: CertificateParams,
    key: KeyPair,
}

impl ForeignCa {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = valid("spiffe://other.org");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, params, key }
    }

    pub(crate) fn svid(&self, path: &str) -> Shown {
        let key = key();
        let mut params = valid(&format!("spiffe://other.org{path}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let issuer = Issuer::from_params(&self.params, &self.key);
        let leaf = params.signed_by(&pair(&key), &issuer).unwrap();
        Shown {
            chain: vec![leaf.der().to_vec()],
            key: Arc::new(key),
        }
    }
}

fn pair(key: &PrivateKey) -> KeyPair {
    KeyPair::try_from(key.pkcs8_der().expose()).unwrap()
}

pub(crate) fn valid(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    let start = OffsetDateTime::from(crate::harness::start());
    params.not_before = start - time::Duration::HOUR;
    params.not_after = start + time::Duration::HOUR * 12;
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params
}
