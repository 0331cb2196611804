//! Keys are replaced by hand while workloads hold what the old ones signed.

use signet_proto::spire::server::localauthority::v1 as api;
use signet_proto::spire::server::localauthority::v1::local_authority_client::LocalAuthorityClient;
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_proto::workload::{X509svidRequest, X509svidResponse};
use signet_tests::openssl::openssl;
use signet_tests::{AgentSettings, Maker, Scene, Server, ServerSettings, wait, wire};
use spiffe::{X509Source, X509SourceBuilder};
use std::path::Path;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

#[tokio::test]
async fn an_x509_authority_is_replaced_and_no_workload_is_without_identity_at_any_time() {
    let scene = started().await;
    scene.server.entry("/workload", &[]).await;
    let source = x509_source(&scene).await;
    let witness = Witness::of(&scene).await;
    let mut authorities = authorities(&scene.server).await;

    let old = signer(&source);
    let prepared = authorities
        .prepare_x509_authority(api::PrepareX509AuthorityRequest {})
        .await
        .unwrap()
        .into_inner();
    let new = prepared.prepared_authority.unwrap().authority_id;
    assert_ne!(new, old);
    let activate = api::ActivateX509AuthorityRequest {
        authority_id: new.clone(),
    };
    authorities.activate_x509_authority(activate).await.unwrap();
    assert_eq!(signer(&source), old, "what it signed stays in use");

    let serial = async || scene.server.agents().await[0]["x509svid_serial_number"].clone();
    let before = serial().await;
    let taint = api::TaintX509AuthorityRequest {
        authority_id: old.clone(),
    };
    authorities.taint_x509_authority(taint).await.unwrap();
    wait::until(
        "the new authority's SVIDs, of workload and agent",
        async || (signer(&source) == new && serial().await != before).then_some(()),
    )
    .await;

    let revoke = api::RevokeX509AuthorityRequest { authority_id: old };
    authorities.revoke_x509_authority(revoke).await.unwrap();
    let svids = scene.path().join("svids");
    wait::until("a bundle without the old authority", async || {
        scene.agent.fetch_x509_to(&svids).await;
        let bundle = std::fs::read_to_string(svids.join("bundle.0.pem")).unwrap();
        (bundle.matches("BEGIN").count() == 1).then_some(())
    })
    .await;
    verifies(&svids).await;
    assert_eq!(signer(&source), new);
    assert!(source.is_healthy());
    let shown = witness.ends().await;
    assert!((3..=6).contains(&shown), "{shown} messages");

    // With an SVID of the old authority the server would not let the agent in any more.
    scene.server.entry("/later", &[]).await;
    wait::until("an entry made afterwards", async || {
        let answer = scene.agent.cli(&["api", "fetch", "x509"]).await;
        answer.stdout.contains("/later").then_some(())
    })
    .await;
}

#[tokio::test]
async fn tokens_of_a_tainted_key_are_given_to_nobody_and_refused_once_it_is_revoked() {
    let scene = started().await;
    scene.server.entry("/workload", &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    let token = scene.agent.fetch_jwt("payments").await;
    assert_eq!(scene.agent.fetch_jwt("payments").await, token, "cached");
    let mut authorities = authorities(&scene.server).await;
    let state = authorities
        .get_jwt_authority_state(api::GetJwtAuthorityStateRequest {})
        .await
        .unwrap()
        .into_inner();
    let authority_id = state.active.unwrap().authority_id;
    let prepared = authorities
        .prepare_jwt_authority(api::PrepareJwtAuthorityRequest {})
        .await
        .unwrap()
        .into_inner();
    let new = prepared.prepared_authority.unwrap().authority_id;
    let activate = api::ActivateJwtAuthorityRequest { authority_id: new };
    authorities.activate_jwt_authority(activate).await.unwrap();
    let taint = api::TaintJwtAuthorityRequest {
        authority_id: authority_id.clone(),
    };
    authorities.taint_jwt_authority(taint).await.unwrap();
    wait::until("a token of the new key", async || {
        (scene.agent.fetch_jwt("payments").await != token).then_some(())
    })
    .await;
    let revoke = api::RevokeJwtAuthorityRequest { authority_id };
    authorities.revoke_jwt_authority(revoke).await.unwrap();
    let line = ["api", "validate", "jwt", "-audience", "payments", "-svid"];
    wait::until("the old token to be refused", async || {
        let line: Vec<_> = line.iter().copied().chain([token.as_str()]).collect();
        let answer = scene.agent.cli(&line).await;
        (!answer.status.success()).then_some(())
    })
    .await;
    let token = scene.agent.fetch_jwt("payments").await;
    let line: Vec<_> = line.iter().copied().chain([token.as_str()]).collect();
    scene.agent.cli(&line).await.ok();
}

/// Both programs, with an agent that does not take its time.
async fn started() -> Scene {
    let quick = |settings: AgentSettings| settings.line("experimental { taint_window = \"2s\" }");
    Scene::tuned(&ServerSettings::new(Maker::Signet), quick).await
}

async fn authorities(server: &Server) -> LocalAuthorityClient<Channel> {
    LocalAuthorityClient::new(wire::channel(&server.socket).await.unwrap())
}

async fn x509_source(scene: &Scene) -> X509Source {
    let builder = X509SourceBuilder::new().endpoint(scene.agent.endpoint());
    tokio::time::timeout(wait::PATIENCE, builder.build())
        .await
        .unwrap()
        .unwrap()
}

/// The authority that signed the SVID which the source holds now; it must hold one.
fn signer(source: &X509Source) -> String {
    let svid = source.svid().expect("an SVID at any time");
    let (_, leaf) = X509Certificate::from_der(svid.leaf().as_bytes()).unwrap();
    let found = leaf.get_extension_unique(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
    let ParsedExtension::AuthorityKeyIdentifier(id) = found.unwrap().unwrap().parsed_extension()
    else {
        panic!("no authority key id");
    };
    let bytes = id.key_identifier.as_ref().unwrap().0;
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn verifies(svids: &Path) {
    let (bundle, svid) = (svids.join("bundle.0.pem"), svids.join("svid.0.pem"));
    let (bundle, svid) = (bundle.to_str().unwrap(), svid.to_str().unwrap());
    let line = ["verify", "-x509_strict", "-CAfile", bundle, svid];
    assert!(openssl(&line).await.ok().contains(": OK"));
}

/// A bare stream: each message must show the identity, and there is no end.
struct Witness(JoinSet<usize>, oneshot::Sender<()>);

impl Witness {
    async fn of(scene: &Scene) -> Self {
        let channel = wire::channel(&scene.agent.socket).await.unwrap();
        let mut client = SpiffeWorkloadApiClient::new(channel);
        let request = wire::workload_request(X509svidRequest {});
        let mut stream = client.fetch_x509svid(request).await.unwrap().into_inner();
        let (end, mut ended) = oneshot::channel();
        let follow = async move {
            let mut shown = 0;
            loop {
                let message: X509svidResponse = tokio::select! {
                    _ = &mut ended => return shown,
                    message = stream.message() => message.unwrap().expect("no end"),
                };
                assert!(!message.svids.is_empty(), "a moment without identity");
                shown += 1;
            }
        };
        let mut task = JoinSet::new();
        task.spawn(follow);
        Self(task, end)
    }

    /// How many messages there were.
    async fn ends(mut self) -> usize {
        self.1.send(()).expect("it follows the stream still");
        let shown = self.0.join_next().await.expect("one task");
        shown.expect("no defect was seen")
    }
}
