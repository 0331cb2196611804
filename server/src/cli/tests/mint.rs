//! `x509 mint`, `jwt mint` and `wit mint`.

use std::os::unix::fs::PermissionsExt;

use signet_cli::testing::Fake;
use signet_crypto::{HAS_AWS_LC, PrivateKey, PublicKey};
use signet_proto::spire::server::bundle::v1::GetBundleRequest;
use signet_proto::spire::server::svid::v1::{
    MintJwtsvidRequest, MintJwtsvidResponse, MintWitsvidRequest, MintWitsvidResponse,
    MintX509svidRequest, MintX509svidResponse,
};
use signet_proto::spire::types::{Bundle, Jwtsvid, Witsvid, X509Certificate, X509svid};
use signet_spiffe::csr;

use super::asked;

const MINT_X509: &str = "/spire.api.server.svid.v1.SVID/MintX509SVID";
const MINT_JWT: &str = "/spire.api.server.svid.v1.SVID/MintJWTSVID";
const MINT_WIT: &str = "/spire.api.server.svid.v1.SVID/MintWITSVID";
const BUNDLE: &str = "/spire.api.server.bundle.v1.Bundle/GetBundle";

/// Far after any test's end.
const LATE: i64 = 4_102_444_800;

/// Signs nothing: the bytes of the certificate do not matter to the command.
fn minting(ttl: i32, expires_at: i64) -> Fake {
    Fake::new()
        .on(MINT_X509, move |request: MintX509svidRequest| {
            let csr = csr::verify(&request.csr).unwrap();
            assert_eq!(csr.spiffe_ids[0].as_str(), "spiffe://td/web");
            assert_eq!(request.ttl, ttl);
            let svid = X509svid {
                cert_chain: vec![b"leaf".to_vec().into(), b"between".to_vec().into()],
                expires_at,
                ..X509svid::default()
            };
            Ok(MintX509svidResponse { svid: Some(svid) })
        })
        .on(BUNDLE, |_: GetBundleRequest| {
            Ok(Bundle {
                x509_authorities: vec![X509Certificate {
                    asn1: b"root".to_vec().into(),
                    tainted: false,
                }],
                ..Bundle::default()
            })
        })
}

const LEAF: &str = "-----BEGIN CERTIFICATE-----\nbGVhZg==\n-----END CERTIFICATE-----\n";
const BETWEEN: &str = "-----BEGIN CERTIFICATE-----\nYmV0d2Vlbg==\n-----END CERTIFICATE-----\n";
const ROOT: &str = "-----BEGIN CERTIFICATE-----\ncm9vdA==\n-----END CERTIFICATE-----\n";

#[tokio::test]
async fn a_minted_svid_is_printed_with_key_and_roots() {
    let line = "x509 mint -spiffeID spiffe://td/web -ttl 1m30s -dns web.td";
    let answer = asked(&minting(90, LATE), line).await.unwrap();
    assert!(answer.text.starts_with(&format!(
        "X509-SVID:\n{LEAF}{BETWEEN}\nPrivate key:\n-----BEGIN PRIVATE KEY-----\n"
    )));
    assert!(answer.text.ends_with(&format!("\nRoot CAs:\n{ROOT}\n")));
    assert_eq!(answer.problems, "");
    let json = answer.json.unwrap();
    assert_eq!(json["x509_svid"][0], "bGVhZg==");
    assert_eq!(json["root_cas"][0], "cm9vdA==");
    assert!(json["private_key"].is_string());
}

#[tokio::test]
async fn a_minted_svid_is_written_with_the_right_modes() {
    let folder = tempfile::tempdir().unwrap();
    let write = folder.path().display();
    let line = format!("x509 mint -spiffeID spiffe://td/web -write {write}");
    let answer = asked(&minting(0, LATE), &line).await.unwrap();
    assert_eq!(
        answer.text,
        format!(
            "X509-SVID written to {write}/svid.pem\nPrivate key written to {write}/key.pem\n\
             Root CAs written to {write}/bundle.pem\n"
        )
    );
    let mode = |name| {
        let file = std::fs::metadata(folder.path().join(name)).unwrap();
        file.permissions().mode() & 0o777
    };
    assert_eq!(
        (mode("svid.pem"), mode("key.pem"), mode("bundle.pem")),
        (0o644, 0o600, 0o644)
    );
    let key = std::fs::read_to_string(folder.path().join("key.pem")).unwrap();
    assert!(PrivateKey::from_pem(&key).is_ok());
    let svid = std::fs::read_to_string(folder.path().join("svid.pem")).unwrap();
    assert_eq!(svid, format!("{LEAF}{BETWEEN}"));
}

#[tokio::test]
async fn a_shortened_life_is_told() {
    let line = "x509 mint -spiffeID spiffe://td/web -ttl 90s";
    let answer = asked(&minting(90, 1_769_860_800), line).await.unwrap();
    assert!(answer.problems.contains("2026-01-31 12:00:00 +0000 UTC"));
    assert!(!answer.failed);
}

#[test]
fn a_mint_without_identity_or_with_a_bad_one_is_refused() {
    for line in [
        "x509 mint",
        "x509 mint -spiffeID spiffe://td/../web",
        "x509 mint -spiffeID spiffe://td/web -ttl soon",
        "jwt mint -spiffeID spiffe://td/web",
        "jwt mint -audience a",
        "wit mint",
        "wit mint -spiffeID spiffe://td/web -keyType ed25519",
        "wit mint -spiffeID spiffe://td/web -signingAlgorithm HS256",
    ] {
        assert_eq!(super::parsed(line).unwrap_err().code, 1, "{line}");
    }
}

fn minting_jwt() -> Fake {
    Fake::new().on(MINT_JWT, |request: MintJwtsvidRequest| {
        assert_eq!(request.audience, ["a", "b"]);
        assert_eq!(request.id.unwrap().path, "/web");
        let svid = Jwtsvid {
            token: "x.y.z".into(),
            expires_at: LATE,
            ..Jwtsvid::default()
        };
        Ok(MintJwtsvidResponse { svid: Some(svid) })
    })
}

#[tokio::test]
async fn a_token_is_printed_alone() {
    let line = "jwt mint -spiffeID spiffe://td/web -audience a -audience b";
    let answer = asked(&minting_jwt(), line).await.unwrap();
    assert_eq!(answer.text, "x.y.z\n");
    let json = answer.json.unwrap();
    assert_eq!(json["svid"]["token"], "x.y.z");
    assert_eq!(json["svid"]["expires_at"], "4102444800");
}

#[tokio::test]
async fn a_written_token_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let line = format!(
        "jwt mint -spiffeID spiffe://td/web -audience a -audience b -write {}",
        path.display()
    );
    asked(&minting_jwt(), &line).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "x.y.z");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Signs nothing, but only for a key of the kind that was asked for.
fn minting_wit(key_type: &'static str, algorithm: &'static str, expires_at: i64) -> Fake {
    Fake::new().on(MINT_WIT, move |request: MintWitsvidRequest| {
        assert_eq!(request.id.unwrap().path, "/web");
        assert_eq!(request.signing_algorithm, algorithm);
        let key = PublicKey::from_spki_der(&request.public_key).unwrap();
        assert_eq!(key.key_type().unwrap().name(), key_type);
        let svid = Witsvid {
            token: "x.y.z".into(),
            expires_at,
            ..Witsvid::default()
        };
        Ok(MintWitsvidResponse { svid: Some(svid) })
    })
}

#[tokio::test]
async fn a_wit_is_printed_with_its_key() {
    let line = "wit mint -spiffeID spiffe://td/web";
    let fake = minting_wit("ec-p256", "ES256", LATE);
    let answer = asked(&fake, line).await.unwrap();
    let begin = "WIT-SVID:\nx.y.z\n\nPrivate key:\n-----BEGIN PRIVATE KEY-----\n";
    assert!(answer.text.starts_with(begin), "{}", answer.text);
    let json = answer.json.unwrap();
    assert_eq!(json["svid"]["token"], "x.y.z");
    assert_eq!(json["svid"]["expires_at"], "4102444800");
    assert!(json["private_key"].is_string());
}

#[tokio::test]
async fn a_wits_key_and_algorithm_are_those_asked_for() {
    let p384 = minting_wit("ec-p384", "ES384", LATE);
    let line = "wit mint -spiffeID spiffe://td/web -keyType ec-p384";
    asked(&p384, line).await.unwrap();
    let line = format!("{line} -signingAlgorithm ES256");
    let failure = asked(&p384, &line).await.unwrap_err();
    assert!(
        failure.to_string().contains("the usual one is ES384"),
        "{failure}"
    );
    if HAS_AWS_LC {
        let rsa = minting_wit("rsa-2048", "PS256", LATE);
        let line = "wit mint -spiffeID spiffe://td/web -keyType rsa-2048 -signingAlgorithm PS256";
        asked(&rsa, line).await.unwrap();
    }
}

#[tokio::test]
async fn a_written_wit_and_its_key_are_their_owners_and_a_shortened_life_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = folder.path().display();
    let line = format!("wit mint -spiffeID spiffe://td/web -ttl 90s -write {write}");
    let fake = minting_wit("ec-p256", "ES256", 1_769_860_800);
    let answer = asked(&fake, &line).await.unwrap();
    assert_eq!(
        answer.text,
        format!("WIT-SVID written to {write}/svid.token\nPrivate key written to {write}/key.pem\n")
    );
    assert!(answer.problems.contains("2026-01-31 12:00:00 +0000 UTC"));
    for name in ["svid.token", "key.pem"] {
        let file = std::fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
    }
}
