//! What composers do to what is issued, and what they cannot do.

use crate::harness::{World, create, csr, entry, id, key, mint, refusal};
use serde_json::{Map, Value, json};
use signet_model::approve::{Attribute, Subject};
use signet_model::compose::{AuthorityParts, BoxError, CertificateParts, Composer};
use signet_model::{Composers, Decision};
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::server::svid::v1::{
    BatchNewX509svidRequest, MintJwtsvidRequest, NewX509svidParams,
};
use signet_server::uniqueid::UniqueId;
use signet_spiffe::{PublicKey, SpiffeId, jwt_svid, pem};
use std::process::Command;
use std::sync::Arc;
use tonic::{Code, Status};

async fn world(composers: Vec<Arc<dyn Composer>>) -> World {
    World::with(|parts| parts.settings.composers = Composers::new(composers)).await
}

/// What openssl calls the subject, or `None` if there is none.
#[allow(clippy::print_stdout, reason = "a test that skips something says so")]
fn subject(der: &[u8]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("svid.pem");
    std::fs::write(&path, pem::encode_pem_certs([der])).unwrap();
    let show = Command::new("openssl")
        .args(["x509", "-noout", "-subject", "-in"])
        .arg(&path)
        .output();
    match show {
        Ok(shown) => Some(String::from_utf8(shown.stdout).unwrap().trim().to_owned()),
        Err(_) => {
            println!("skipped: openssl is not installed");
            None
        }
    }
}

async fn issued(world: &World, path: &str, dns_names: &[&str]) -> Vec<u8> {
    let node = world.agent().await;
    let mut given = entry(path, &node.id);
    given.dns_names = dns_names.iter().map(ToString::to_string).collect();
    let made = create(&world.local().await, vec![given]).await.remove(0);
    let params = vec![NewX509svidParams {
        entry_id: made.id,
        csr: csr(&key(), &[]).into(),
    }];
    let request = BatchNewX509svidRequest { params };
    let answer = node.svids().batch_new_x509svid(request).await.unwrap();
    let svid = answer.into_inner().results.remove(0).svid.unwrap();
    svid.cert_chain[0].to_vec()
}

async fn mint_jwt(world: &World) -> Result<String, Status> {
    let request = MintJwtsvidRequest {
        id: Some(id("/web")),
        audience: vec!["db".to_owned()],
        ttl: 0,
    };
    let mut client = SvidClient::new(world.local().await);
    let minted = client.mint_jwtsvid(request).await?;
    Ok(minted.into_inner().svid.unwrap().token)
}

#[tokio::test]
async fn uniqueid_gives_workloads_the_identifier_that_spire_gives_them() {
    let world = world(vec![Arc::new(UniqueId)]).await;
    // The first half of: printf spiffe://example.org/web | sha256sum
    let unique = "x500UniqueIdentifier = 5435ad736577b1c6010684ba059e1171";
    let plain = issued(&world, "/web", &[]).await;
    let named = issued(&world, "/web", &["web.example"]).await;
    let Some(shown) = subject(&plain) else {
        return;
    };
    assert_eq!(shown, format!("subject=C = US, O = SPIRE, {unique}"));
    let expected = format!("subject=C = US, O = SPIRE, CN = web.example, {unique}");
    assert_eq!(subject(&named).unwrap(), expected);
}

#[tokio::test]
async fn uniqueid_leaves_agents_and_the_server_alone() {
    let world = world(vec![Arc::new(UniqueId)]).await;
    let node = world.agent().await;
    if let Some(shown) = subject(&node.shown.chain[0]) {
        assert_eq!(shown, "subject=C = US, O = SPIRE");
    }
}

/// Does the same to every certificate and to every token.
struct Scripted {
    certificate: fn(&mut CertificateParts) -> Result<(), BoxError>,
    claims: fn(&mut Map<String, Value>),
}

const NOTHING: Scripted = Scripted {
    certificate: |_| Ok(()),
    claims: |_| {},
};

impl Composer for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn server_ca(&self, parts: &mut AuthorityParts) -> Result<(), BoxError> {
        parts.subject = parts
            .subject
            .clone()
            .with(Attribute::CommonName, "ours".to_owned());
        Ok(())
    }

    fn server_x509(&self, parts: &mut CertificateParts) -> Result<(), BoxError> {
        parts.subject = Subject::new([(Attribute::CommonName, "the server".to_owned())]);
        Ok(())
    }

    fn agent_x509(
        &self,
        id: &SpiffeId,
        _: &PublicKey,
        parts: &mut CertificateParts,
    ) -> Result<(), BoxError> {
        let name = id.path().rsplit('/').next().unwrap_or_default();
        parts.subject = Subject::svid().with(Attribute::OrganizationalUnit, name.to_owned());
        Ok(())
    }

    fn workload_x509(
        &self,
        _: &SpiffeId,
        _: &PublicKey,
        parts: &mut CertificateParts,
    ) -> Result<(), BoxError> {
        (self.certificate)(parts)
    }

    fn workload_jwt(&self, _: &SpiffeId, claims: &mut Map<String, Value>) -> Result<(), BoxError> {
        (self.claims)(claims);
        Ok(())
    }
}

#[tokio::test]
async fn composers_run_in_their_order_for_agents_too() {
    let naming = Scripted {
        certificate: |parts| {
            parts.subject = Subject::new([(Attribute::Organization, "Acme".to_owned())]);
            Ok(())
        },
        ..NOTHING
    };
    let world = world(vec![Arc::new(naming), Arc::new(UniqueId)]).await;
    let node = world.agent().await;
    let by_entry = issued(&world, "/web", &[]).await;
    let Some(shown) = subject(&by_entry) else {
        return;
    };
    let unique = "x500UniqueIdentifier = 5435ad736577b1c6010684ba059e1171";
    assert_eq!(shown, format!("subject=O = Acme, {unique}"));
    let name = node.id.path.rsplit('/').next().unwrap();
    let expected = format!("subject=C = US, O = SPIRE, OU = {name}");
    assert_eq!(subject(&node.shown.chain[0]).unwrap(), expected);
    let authority = world.server.issuer().authorities.x509().unwrap();
    let shown = subject(authority.certificate_der()).unwrap();
    let expected = "subject=C = US, O = SPIFFE, CN = ours, serialNumber = ";
    assert!(shown.starts_with(expected), "{shown}");
}

#[tokio::test]
async fn a_composer_that_gives_up_stops_the_issue_and_the_record_names_it() {
    let failing = Scripted {
        certificate: |_| Err("the directory is down".into()),
        ..NOTHING
    };
    let world = world(vec![Arc::new(failing)]).await;
    let local = world.local().await;
    world.records();
    let asked = csr(&key(), &["spiffe://example.org/web"]);
    let (code, message) = refusal(mint(&local, asked, 0).await);
    assert_eq!(code, Code::Internal);
    assert!(
        message.contains("credential composer \"scripted\""),
        "{message}"
    );
    let records = world.records();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].action, records[0].decision),
        ("x509.mint", Decision::Refused)
    );
    assert!(records[0].reason.contains("the directory is down"));
}

#[tokio::test]
async fn a_composed_claim_is_in_the_token_and_its_approved_ones_cannot_be_dropped() {
    let adding = Scripted {
        claims: |claims| {
            claims.insert("team".to_owned(), json!("platform"));
        },
        ..NOTHING
    };
    let world = world(vec![Arc::new(adding)]).await;
    let token = mint_jwt(&world).await.unwrap();
    let read = jwt_svid::parse_unverified(&token).unwrap();
    assert_eq!(read.claims["team"], "platform");
    assert_eq!(read.audience, ["db"]);

    let dropping: [fn(&mut Map<String, Value>); 3] = [
        |claims| drop(claims.remove("sub")),
        |claims| drop(claims.remove("exp")),
        |claims| drop(claims.remove("aud")),
    ];
    for claims in dropping {
        let world = self::world(vec![Arc::new(Scripted { claims, ..NOTHING })]).await;
        world.records();
        assert_eq!(refusal(mint_jwt(&world).await).0, Code::Internal);
        let records = world.records();
        assert_eq!(
            (records[0].action, records[0].decision),
            ("jwt.mint", Decision::Refused)
        );
    }
}
