//! Bundles: our own and those of federated trust domains.

use crate::callers::ForeignCa;
use crate::harness::{World, call, create, entry, id, key, operator, refusal};
use signet_proto::spire::server::bundle::v1 as api;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::types::{Bundle, BundleMask, Entry, JwtKey, Status, X509Certificate};
use tonic::Code;
use tonic::transport::Channel;

const NAME: &str = "other.org";

/// A bundle of `other.org` with one authority.
pub(crate) fn foreign_bundle() -> Bundle {
    Bundle {
        trust_domain: NAME.to_owned(),
        x509_authorities: vec![authority(&ForeignCa::new().der)],
        ..Bundle::default()
    }
}

fn authority(der: &[u8]) -> X509Certificate {
    X509Certificate {
        asn1: der.to_vec().into(),
        tainted: false,
    }
}

fn jwt_key(kid: &str) -> JwtKey {
    JwtKey {
        public_key: key().public_key().spki_der().to_vec().into(),
        key_id: kid.to_owned(),
        ..JwtKey::default()
    }
}

/// Sets a federated bundle, which is accepted.
pub(crate) async fn set(channel: &Channel, bundle: Bundle) -> Bundle {
    let (status, bundle) = try_set(channel, bundle).await;
    assert_eq!(status.message, "OK");
    bundle.unwrap()
}

async fn try_set(channel: &Channel, bundle: Bundle) -> (Status, Option<Bundle>) {
    let request = api::BatchSetFederatedBundleRequest {
        bundle: vec![bundle],
        output_mask: None,
    };
    let mut client = BundleClient::new(channel.clone());
    let answer = client.batch_set_federated_bundle(request).await.unwrap();
    let result = answer.into_inner().results.remove(0);
    (result.status.unwrap(), result.bundle)
}

async fn delete(channel: &Channel, name: &str, mode: i32) -> Status {
    let request = api::BatchDeleteFederatedBundleRequest {
        trust_domains: vec![name.to_owned()],
        mode,
    };
    let mut client = BundleClient::new(channel.clone());
    let answer = client.batch_delete_federated_bundle(request).await;
    let result = answer.unwrap().into_inner().results.remove(0);
    assert_eq!(result.trust_domain, name);
    result.status.unwrap()
}

fn code(status: &Status) -> Code {
    Code::from(status.code)
}

#[tokio::test]
async fn our_bundle_has_both_kinds_of_authorities_and_can_be_masked() {
    let world = World::new().await;
    let mut client = BundleClient::new(world.remote(None).await);
    let request = api::GetBundleRequest::default();
    let own = client.get_bundle(request).await.unwrap().into_inner();
    assert_eq!(own.trust_domain, "example.org");
    assert_eq!(
        (own.x509_authorities.len(), own.jwt_authorities.len()),
        (1, 1)
    );
    let request = api::GetBundleRequest {
        output_mask: Some(BundleMask {
            sequence_number: true,
            ..BundleMask::default()
        }),
    };
    let masked = client.get_bundle(request).await.unwrap().into_inner();
    let expected = Bundle {
        trust_domain: own.trust_domain,
        sequence_number: own.sequence_number,
        ..Bundle::default()
    };
    assert_eq!(masked, expected);
}

#[tokio::test]
async fn appending_adds_what_is_new_and_raises_the_sequence_only_then() {
    let world = World::new().await;
    let mut client = BundleClient::new(world.local().await);
    let before = world.server.issuer().own_bundle().unwrap().sequence;
    let request = api::AppendBundleRequest {
        x509_authorities: vec![X509Certificate {
            tainted: true,
            ..authority(&ForeignCa::new().der)
        }],
        jwt_authorities: vec![jwt_key("k")],
        ..api::AppendBundleRequest::default()
    };
    for _ in 0..2 {
        let own = client
            .append_bundle(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(own.sequence_number, before + 1);
        assert_eq!(
            (own.x509_authorities.len(), own.jwt_authorities.len()),
            (2, 2)
        );
        assert!(own.x509_authorities.iter().all(|one| !one.tainted));
    }
    let leaf = ForeignCa::new().svid("/web").chain.remove(0);
    let odd = [
        api::AppendBundleRequest::default(),
        api::AppendBundleRequest {
            x509_authorities: vec![authority(b"")],
            ..Default::default()
        },
        api::AppendBundleRequest {
            x509_authorities: vec![authority(&leaf)],
            ..Default::default()
        },
        api::AppendBundleRequest {
            jwt_authorities: vec![jwt_key("")],
            ..Default::default()
        },
        api::AppendBundleRequest {
            jwt_authorities: vec![JwtKey {
                public_key: "x".into(),
                ..jwt_key("j")
            }],
            ..Default::default()
        },
    ];
    for request in odd {
        let what = format!("{request:?}");
        let refused = client.append_bundle(request).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{what}");
    }
}

#[tokio::test]
async fn a_federated_bundle_is_created_once_updated_where_it_is_and_set_either_way() {
    let world = World::new().await;
    let local = world.local().await;
    let mut client = BundleClient::new(local.clone());
    let update = |bundle, mask| api::BatchUpdateFederatedBundleRequest {
        bundle: vec![bundle],
        input_mask: mask,
        output_mask: None,
    };
    let missing = client
        .batch_update_federated_bundle(update(foreign_bundle(), None))
        .await;
    let missing = missing.unwrap().into_inner().results.remove(0);
    assert_eq!(code(&missing.status.unwrap()), Code::NotFound);
    let given = Bundle {
        refresh_hint: 60,
        sequence_number: 42,
        jwt_authorities: vec![jwt_key("k")],
        ..foreign_bundle()
    };
    for expected in [Code::Ok, Code::AlreadyExists] {
        let request = api::BatchCreateFederatedBundleRequest {
            bundle: vec![given.clone()],
            output_mask: None,
        };
        let created = client.batch_create_federated_bundle(request).await;
        let created = created.unwrap().into_inner().results.remove(0);
        assert_eq!(code(&created.status.unwrap()), expected);
    }
    let mask = BundleMask {
        refresh_hint: true,
        ..BundleMask::default()
    };
    let other = Bundle {
        refresh_hint: 90,
        ..foreign_bundle()
    };
    let updated = client
        .batch_update_federated_bundle(update(other, Some(mask)))
        .await;
    let updated = updated
        .unwrap()
        .into_inner()
        .results
        .remove(0)
        .bundle
        .unwrap();
    let expected = Bundle {
        refresh_hint: 90,
        ..given
    };
    assert_eq!(updated, expected);
    let whole = set(&local, foreign_bundle()).await;
    assert_eq!((whole.refresh_hint, whole.sequence_number), (0, 0));
    let request = api::GetFederatedBundleRequest {
        trust_domain: format!("spiffe://{NAME}"),
        output_mask: None,
    };
    let stored = client.get_federated_bundle(request).await.unwrap();
    assert_eq!(stored.into_inner(), whole);
}

#[tokio::test]
async fn bundles_that_cannot_be_are_refused_item_by_item() {
    let world = World::new().await;
    let local = world.local().await;
    let leaf = ForeignCa::new().svid("/web").chain.remove(0);
    let named = |name: &str| Bundle {
        trust_domain: name.to_owned(),
        ..foreign_bundle()
    };
    let holding = |authority| Bundle {
        x509_authorities: vec![authority],
        ..foreign_bundle()
    };
    let odd = [
        named(""),
        named("A B"),
        named("example.org"),
        holding(authority(b"")),
        holding(authority(b"x")),
        holding(authority(&leaf)),
        Bundle {
            jwt_authorities: vec![jwt_key("")],
            ..foreign_bundle()
        },
    ];
    for bundle in odd {
        let what = format!("{bundle:?}");
        let (status, written) = try_set(&local, bundle).await;
        assert_eq!(code(&status), Code::InvalidArgument, "{what}");
        assert_eq!(written, None);
    }
}

#[tokio::test]
async fn our_own_trust_domain_is_not_federated() {
    let world = World::new().await;
    let local = world.local().await;
    let mut client = BundleClient::new(local.clone());
    let request = api::GetFederatedBundleRequest {
        trust_domain: "example.org".to_owned(),
        output_mask: None,
    };
    assert_eq!(
        refusal(client.get_federated_bundle(request).await).0,
        Code::InvalidArgument
    );
    let status = delete(&local, "example.org", 0).await;
    assert_eq!(code(&status), Code::InvalidArgument);
}

#[tokio::test]
async fn lists_leave_our_own_out_and_counts_do_not() {
    let world = World::new().await;
    let local = world.local().await;
    for n in 0..5 {
        let bundle = Bundle {
            trust_domain: format!("td{n}.org"),
            ..foreign_bundle()
        };
        set(&local, bundle).await;
    }
    let mut client = BundleClient::new(local.clone());
    let counted = client.count_bundles(api::CountBundlesRequest {}).await;
    assert_eq!(counted.unwrap().into_inner().count, 6);
    let mut request = api::ListFederatedBundlesRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = client.list_federated_bundles(request.clone()).await;
        let page = page.unwrap().into_inner();
        seen.extend(page.bundles.into_iter().map(|bundle| bundle.trust_domain));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(
        seen,
        ["td0.org", "td1.org", "td2.org", "td3.org", "td4.org"]
    );
    request.page_token = "x".to_owned();
    let refused = client.list_federated_bundles(request).await;
    assert_eq!(refusal(refused).0, Code::InvalidArgument);
}

#[tokio::test]
async fn a_bundle_in_use_is_kept_or_leaves_or_takes_its_entries_along() {
    let world = World::new().await;
    let local = world.local().await;
    let federated = |path: &str| Entry {
        federates_with: vec![NAME.to_owned()],
        ..entry(path, &id("/spire/agent/x/y"))
    };
    set(&local, foreign_bundle()).await;
    let made = create(&local, vec![federated("/a")]).await.remove(0);
    let status = delete(&local, NAME, 0).await;
    assert_eq!(code(&status), Code::FailedPrecondition);

    assert_eq!(delete(&local, NAME, 2).await.message, "OK");
    let entries = || world.server.issuer().find_entries(&Default::default());
    let left = entries().remove(0);
    assert_eq!(left.id.to_string(), made.id);
    assert!(left.federates_with.is_empty());
    assert_eq!(
        left.revision_number, 1,
        "agents that compare revisions notice"
    );

    set(&local, foreign_bundle()).await;
    create(&local, vec![federated("/b")]).await;
    assert_eq!(delete(&local, NAME, 1).await.message, "OK");
    let left: Vec<_> = entries()
        .iter()
        .map(|e| e.spiffe_id.path().to_owned())
        .collect();
    assert_eq!(left, ["/a"]);
    create(&local, vec![entry("/b", &id("/spire/agent/x/y"))]).await;
    assert_eq!(code(&delete(&local, NAME, 0).await), Code::NotFound);
}

#[tokio::test]
async fn an_unknown_mode_of_deletion_is_refused_as_a_whole() {
    let world = World::new().await;
    let mut client = BundleClient::new(world.local().await);
    let request = api::BatchDeleteFederatedBundleRequest {
        trust_domains: vec![NAME.to_owned()],
        mode: 3,
    };
    let refused = client.batch_delete_federated_bundle(request).await;
    assert_eq!(refusal(refused).0, Code::InvalidArgument);
}

#[tokio::test]
async fn an_agent_may_read_a_federated_bundle() {
    let world = World::new().await;
    set(&world.local().await, foreign_bundle()).await;
    let node = world.agent().await;
    let request = |name: &str| api::GetFederatedBundleRequest {
        trust_domain: name.to_owned(),
        output_mask: None,
    };
    let mut client = node.bundles();
    let read = client.get_federated_bundle(request(NAME)).await.unwrap();
    assert_eq!(read.into_inner().trust_domain, NAME);
    let unknown = client.get_federated_bundle(request("nowhere.org")).await;
    let expected = (Code::NotFound, "bundle not found".to_owned());
    assert_eq!(refusal(unknown), expected);
    let path = "/spire.api.server.bundle.v1.Bundle/ListFederatedBundles";
    call(&node.channel, path).await.unwrap_err();
}

#[tokio::test]
async fn an_agent_that_fetches_the_bundle_is_known_to_have_it_and_nobody_else_is() {
    let world = World::new().await;
    let node = world.agent().await;
    let issuer = world.server.issuer();
    let agent = signet_spiffe::SpiffeId::parse(&format!("spiffe://example.org{}", node.id.path));
    let agent = agent.unwrap();
    let next = issuer
        .prepare_authority(&operator(), signet_server::authority::Kind::Jwt)
        .await;
    let published = issuer.state.revision();
    assert!(next.is_ok() && !issuer.online.has(&agent, published));
    let fetched = node
        .bundles()
        .get_bundle(api::GetBundleRequest::default())
        .await;
    fetched.unwrap();
    assert!(issuer.online.has(&agent, published));
    assert_eq!(issuer.online.count(), 0, "it has no stream");

    let minted = world.minted("/web").await;
    let mut client = BundleClient::new(world.remote(Some(&minted)).await);
    let fetched = client.get_bundle(api::GetBundleRequest::default()).await;
    fetched.unwrap();
    let web = signet_spiffe::SpiffeId::parse("spiffe://example.org/web").unwrap();
    assert!(!issuer.online.has(&web, published));
}
