//! This server's authorities, administered by hand.

use crate::harness::{HOUR, World, csr, key, mint, operator, refusal};
use signet_crypto::KeyType;
use signet_proto::spire::server::bundle::v1::GetBundleRequest;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::localauthority::v1 as api;
use signet_proto::spire::server::localauthority::v1::AuthorityState;
use signet_proto::spire::types::Bundle;
use signet_server::authority::{Audiences, JwtAlternative, Kind};
use signet_spiffe::jwt_svid;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// The three kinds of SPIRE's API, whose messages are the same but for their names.
const KINDS: [&str; 3] = ["X509", "JWT", "WIT"];
const NOBODY: &str = "00000000000000000000000000000000000000ff";

async fn world() -> World {
    World::with(|parts| parts.authority.wit_key_type = Some(KeyType::EcP256)).await
}

/// The method of this verb for this kind, about this authority.
pub(crate) async fn act(
    channel: &Channel,
    verb: &str,
    kind: &str,
    id: &str,
) -> Result<AuthorityState, Status> {
    let request = api::TaintX509AuthorityRequest {
        authority_id: id.to_owned(),
    };
    let path = path(&format!("{verb}{kind}Authority"));
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<_, api::TaintX509AuthorityResponse>::default();
    let done = grpc.unary(Request::new(request), path.parse().unwrap(), codec);
    Ok(done.await?.into_inner().tainted_authority.unwrap())
}

fn path(method: &str) -> String {
    format!("/spire.api.server.localauthority.v1.LocalAuthority/{method}")
}

/// Active, prepared and old authority of a kind.
async fn state(
    channel: &Channel,
    kind: &str,
) -> Result<api::GetX509AuthorityStateResponse, Status> {
    let path = path(&format!("Get{kind}AuthorityState"));
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), _>::default();
    let state = grpc.unary(Request::new(()), path.parse().unwrap(), codec);
    Ok(state.await?.into_inner())
}

async fn active(channel: &Channel, kind: &str) -> String {
    state(channel, kind)
        .await
        .unwrap()
        .active
        .unwrap()
        .authority_id
}

async fn bundle(channel: &Channel) -> Bundle {
    let mut client = BundleClient::new(channel.clone());
    let bundle = client.get_bundle(GetBundleRequest::default()).await;
    bundle.unwrap().into_inner()
}

/// Whether the authority stands in the bundle, and whether tainted.
async fn published(channel: &Channel, kind: &str, id: &str) -> Option<bool> {
    let bundle = bundle(channel).await;
    let root = |asn1: &[u8]| {
        let root = signet_spiffe::X509Authority::from_der(asn1).unwrap();
        signet_crypto::hex(&root.subject_key_id())
    };
    match kind {
        "X509" => {
            let mut roots = bundle.x509_authorities.iter();
            roots
                .find(|one| root(&one.asn1) == id)
                .map(|one| one.tainted)
        }
        "JWT" => {
            let mut keys = bundle.jwt_authorities.iter();
            keys.find(|key| key.key_id == id).map(|key| key.tainted)
        }
        _ => {
            let mut keys = bundle.wit_authorities.iter();
            keys.find(|key| key.key_id == id).map(|key| key.tainted)
        }
    }
}

#[tokio::test]
async fn an_authority_is_replaced_step_by_step() {
    let world = world().await;
    let channel = world.local().await;
    for kind in KINDS {
        let stolen = active(&channel, kind).await;
        let next = act(&channel, "Prepare", kind, "").await.unwrap();
        assert_eq!(next.expires_at, world.now() + 24 * 3600);
        let shown = state(&channel, kind).await.unwrap();
        assert_eq!(shown.prepared.as_ref(), Some(&next));
        assert_eq!(shown.active.unwrap().authority_id, stolen);
        assert_eq!(
            published(&channel, kind, &next.authority_id).await,
            Some(false)
        );

        let activated = act(&channel, "Activate", kind, &next.authority_id).await;
        assert_eq!(activated.unwrap(), next);
        let shown = state(&channel, kind).await.unwrap();
        assert_eq!((shown.active, shown.prepared), (Some(next.clone()), None));
        assert_eq!(shown.old.unwrap().authority_id, stolen);

        let before = bundle(&channel).await.sequence_number;
        let tainted = act(&channel, "Taint", kind, &stolen).await.unwrap();
        assert_eq!(tainted.authority_id, stolen);
        assert_eq!(tainted.expires_at, next.expires_at);
        assert_eq!(published(&channel, kind, &stolen).await, Some(true));
        assert_eq!(bundle(&channel).await.sequence_number, before + 1);

        let revoked = act(&channel, "Revoke", kind, &stolen).await.unwrap();
        assert_eq!(revoked.authority_id, stolen);
        assert_eq!(published(&channel, kind, &stolen).await, None);
        assert_eq!(bundle(&channel).await.sequence_number, before + 2);
        let shown = state(&channel, kind).await.unwrap();
        assert_eq!((shown.active, shown.old), (Some(next), None));
    }
}

#[tokio::test]
async fn each_rule_has_its_refusal() {
    let world = world().await;
    let channel = world.local().await;
    for kind in KINDS {
        let old = active(&channel, kind).await;
        let first = act(&channel, "Prepare", kind, "")
            .await
            .unwrap()
            .authority_id;
        let prepared = [
            ("Activate", "", Code::InvalidArgument),
            ("Activate", NOBODY, Code::InvalidArgument),
            ("Activate", &old, Code::InvalidArgument),
            ("Taint", "", Code::InvalidArgument),
            ("Taint", NOBODY, Code::InvalidArgument),
            ("Taint", &old, Code::InvalidArgument),
            ("Taint", &first, Code::InvalidArgument),
            ("Revoke", "", Code::InvalidArgument),
            ("Revoke", NOBODY, Code::InvalidArgument),
            ("Revoke", &old, Code::InvalidArgument),
            ("Revoke", &first, Code::InvalidArgument),
        ];
        refused(&channel, kind, &prepared).await;
        act(&channel, "Activate", kind, &first).await.unwrap();
        let activated = [
            ("Activate", old.as_str(), Code::Internal),
            ("Activate", &first, Code::InvalidArgument),
            ("Revoke", &old, Code::Internal),
            ("Taint", &first, Code::InvalidArgument),
        ];
        refused(&channel, kind, &activated).await;
        act(&channel, "Taint", kind, &old).await.unwrap();
        refused(&channel, kind, &[("Taint", &old, Code::Internal)]).await;
        act(&channel, "Revoke", kind, &old).await.unwrap();
        let gone = [
            ("Taint", old.as_str(), Code::InvalidArgument),
            ("Revoke", &old, Code::InvalidArgument),
            ("Activate", &old, Code::InvalidArgument),
        ];
        refused(&channel, kind, &gone).await;
    }
}

async fn refused(channel: &Channel, kind: &str, cases: &[(&str, &str, Code)]) {
    for (verb, id, code) in cases {
        let outcome = act(channel, verb, kind, id).await;
        assert_eq!(refusal(outcome).0, *code, "{verb} {kind} {id:?}");
    }
}

#[tokio::test]
async fn an_id_with_another_case_is_another_id() {
    let world = world().await;
    let channel = world.local().await;
    let old = active(&channel, "X509").await;
    let next = act(&channel, "Prepare", "X509", "")
        .await
        .unwrap()
        .authority_id;
    let upper = next.to_uppercase();
    assert_ne!(upper, next);
    refused(
        &channel,
        "X509",
        &[("Activate", &upper, Code::InvalidArgument)],
    )
    .await;
    act(&channel, "Activate", "X509", &next).await.unwrap();
    let cases = [("Taint", old.to_uppercase(), Code::InvalidArgument)];
    for (verb, id, code) in &cases {
        refused(&channel, "X509", &[(verb, id, *code)]).await;
    }
}

#[tokio::test]
async fn a_prepared_authority_that_is_replaced_leaves_the_bundle_having_signed_nothing() {
    let world = world().await;
    let channel = world.local().await;
    for kind in KINDS {
        let first = act(&channel, "Prepare", kind, "")
            .await
            .unwrap()
            .authority_id;
        let second = act(&channel, "Prepare", kind, "")
            .await
            .unwrap()
            .authority_id;
        assert_ne!(first, second);
        assert_eq!(published(&channel, kind, &first).await, None);
        assert_eq!(published(&channel, kind, &second).await, Some(false));
        let prepared = state(&channel, kind).await.unwrap().prepared.unwrap();
        assert_eq!(prepared.authority_id, second);
    }
}

#[tokio::test]
async fn an_authority_that_made_room_can_still_be_tainted_and_revoked() {
    let world = world().await;
    let channel = world.local().await;
    for kind in KINDS {
        let oldest = active(&channel, kind).await;
        for _ in 0..2 {
            let next = act(&channel, "Prepare", kind, "").await.unwrap();
            act(&channel, "Activate", kind, &next.authority_id)
                .await
                .unwrap();
        }
        assert_eq!(published(&channel, kind, &oldest).await, Some(false));
        act(&channel, "Taint", kind, &oldest).await.unwrap();
        assert_eq!(published(&channel, kind, &oldest).await, Some(true));
        act(&channel, "Revoke", kind, &oldest).await.unwrap();
        assert_eq!(published(&channel, kind, &oldest).await, None);
    }
}

#[tokio::test]
async fn what_is_off_is_unimplemented() {
    let world = World::with(|parts| parts.settings.disable_jwt_svids = true).await;
    let channel = world.local().await;
    for kind in ["JWT", "WIT"] {
        assert_eq!(refusal(state(&channel, kind).await).0, Code::Unimplemented);
        for verb in ["Prepare", "Activate", "Taint", "Revoke"] {
            refused(&channel, kind, &[(verb, "x", Code::Unimplemented)]).await;
        }
    }
    let bundle = bundle(&channel).await;
    assert!(bundle.jwt_authorities.is_empty() && bundle.wit_authorities.is_empty());
}

#[tokio::test]
async fn without_an_upstream_authority_none_can_be_tainted_or_revoked() {
    let world = World::new().await;
    let channel = world.local().await;
    let mut client = api::local_authority_client::LocalAuthorityClient::new(channel.clone());
    let subject_key_id = active(&channel, "X509").await;
    let taint = api::TaintX509UpstreamAuthorityRequest {
        subject_key_id: subject_key_id.clone(),
    };
    let tainted = client.taint_x509_upstream_authority(taint).await;
    assert_eq!(refusal(tainted).0, Code::FailedPrecondition);
    let revoke = api::RevokeX509UpstreamAuthorityRequest { subject_key_id };
    let revoked = client.revoke_x509_upstream_authority(revoke).await;
    assert_eq!(refusal(revoked).0, Code::FailedPrecondition);
}

#[tokio::test]
async fn what_signs_is_what_is_active_and_the_server_itself_follows() {
    let world = World::new().await;
    let channel = world.local().await;
    let stolen = active(&channel, "X509").await;
    let next = act(&channel, "Prepare", "X509", "")
        .await
        .unwrap()
        .authority_id;
    assert_eq!(signer(&channel).await, stolen);
    act(&channel, "Activate", "X509", &next).await.unwrap();
    assert_eq!(signer(&channel).await, next);
    act(&channel, "Taint", "X509", &stolen).await.unwrap();
    act(&channel, "Revoke", "X509", &stolen).await.unwrap();
    // Whoever trusts what is left in the bundle must find the server under it.
    let path = "/spire.api.server.bundle.v1.Bundle/GetBundle";
    let reached = async {
        loop {
            if let Ok(remote) = world.try_remote(None).await
                && crate::harness::call(&remote, path).await.is_ok()
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HOUR / 60, reached).await.unwrap();
}

/// The authority that signs X.509-SVIDs, read from one.
async fn signer(channel: &Channel) -> String {
    let request = csr(&key(), &["spiffe://example.org/web"]);
    let der = mint(channel, request, 0).await.unwrap();
    let certificate = signet_spiffe::Certificate::parse(&der).unwrap();
    signet_crypto::hex(certificate.authority_key_id.as_deref().unwrap())
}

async fn with_second_key() -> World {
    World::with(|parts| {
        let pattern = "https://legacy.example/*".parse().unwrap();
        parts.authority.jwt_alternative = Some(JwtAlternative {
            key_type: KeyType::EcP384,
            audiences: Audiences::new([pattern]),
        });
    })
    .await
}

/// Algorithm and key of a token minted for these, which must verify.
async fn minted(world: &World, audience: &[&str]) -> (String, String) {
    use base64::Engine;
    let issuer = world.server.issuer();
    let id = signet_spiffe::SpiffeId::parse("spiffe://example.org/web").unwrap();
    let named = audience.iter().map(|one| (*one).to_owned()).collect();
    let jwt = issuer.mint_jwt(&operator(), id, named, None).await.unwrap();
    let token = jwt.token.expose();
    let own = issuer.own_bundle().unwrap();
    let now = jwt.issued_at;
    jwt_svid::verify(token, |_| Some(&own), audience, now, HOUR / 60).unwrap();
    let header = token.split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header);
    let header: serde_json::Value = serde_json::from_slice(&header.unwrap()).unwrap();
    let text = |key: &str| header[key].as_str().unwrap().to_owned();
    (text("alg"), text("kid"))
}

#[tokio::test]
async fn the_second_jwt_key_signs_for_its_audiences_and_for_nobody_else() {
    let world = with_second_key().await;
    let (legacy, other) = ("https://legacy.example/api", "https://new.example");
    assert_eq!(minted(&world, &[legacy]).await.0, "ES384");
    assert_eq!(minted(&world, &[legacy, legacy]).await.0, "ES384");
    assert_eq!(minted(&world, &[other]).await.0, "ES256");
    assert_eq!(minted(&world, &[legacy, other]).await.0, "ES256");
}

#[tokio::test]
async fn the_second_jwt_key_is_replaced_by_its_id() {
    let world = with_second_key().await;
    let channel = world.local().await;
    let legacy = "https://legacy.example/api";
    let (_, stolen) = minted(&world, &[legacy]).await;
    let main = active(&channel, "JWT").await;
    assert_ne!(main, stolen);
    let issuer = world.server.issuer();
    let next = issuer
        .prepare_authority(&operator(), Kind::JwtAlternative)
        .await;
    let next = next.unwrap().authority_id;
    act(&channel, "Activate", "JWT", &next).await.unwrap();
    assert_eq!(minted(&world, &[legacy]).await.1, next);
    act(&channel, "Taint", "JWT", &stolen).await.unwrap();
    act(&channel, "Revoke", "JWT", &stolen).await.unwrap();
    assert_eq!(published(&channel, "JWT", &stolen).await, None);
    assert_eq!(active(&channel, "JWT").await, main);
}
