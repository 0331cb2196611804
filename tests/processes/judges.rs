//! What OpenSSL and another JWT library say of what was issued.

use std::path::Path;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use signet_tests::openssl::openssl;
use signet_tests::{Server, id};

/// How an X.509-SVID is signed, and by which key.
pub(crate) struct X509Facts {
    /// As OpenSSL names the signature.
    pub(crate) signature: &'static str,
    /// As OpenSSL describes the key.
    pub(crate) key: &'static str,
}

/// What OpenSSL says of an authority's key of this type, and of what it signs.
pub(crate) fn x509_facts(key_type: &str) -> X509Facts {
    let (signature, key) = match key_type {
        "ec-p256" => ("ecdsa-with-SHA256", "ASN1 OID: prime256v1"),
        "ec-p384" => ("ecdsa-with-SHA384", "ASN1 OID: secp384r1"),
        "rsa-2048" => ("sha256WithRSAEncryption", "Public-Key: (2048 bit)"),
        "rsa-4096" => ("sha256WithRSAEncryption", "Public-Key: (4096 bit)"),
        other => panic!("{other} is no key type"),
    };
    X509Facts { signature, key }
}

/// The algorithm of JWT-SVIDs that a key of this type signs.
pub(crate) fn jwt_algorithm(key_type: &str) -> Algorithm {
    match key_type {
        "ec-p256" => Algorithm::ES256,
        "ec-p384" => Algorithm::ES384,
        "rsa-2048" | "rsa-4096" => Algorithm::RS256,
        other => panic!("{other} is no key type"),
    }
}

/// Has OpenSSL verify an X.509-SVID as strictly as it can.
pub(crate) async fn assert_verifies(bundle: &Path, svid: &Path) {
    let (bundle, svid) = (bundle.to_str().unwrap(), svid.to_str().unwrap());
    for purpose in ["sslserver", "sslclient"] {
        let line = [
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            bundle,
            svid,
        ];
        assert!(openssl(&line).await.ok().contains(": OK"));
    }
}

/// A certificate as OpenSSL reads it.
pub(crate) async fn text_of(certificate: &Path) -> String {
    let certificate = certificate.to_str().unwrap();
    let line = ["x509", "-noout", "-text", "-in", certificate];
    openssl(&line).await.ok()
}

/// The private key belongs to the certificate.
pub(crate) async fn assert_key_fits(svid: &Path, key: &Path) {
    let of_svid = ["x509", "-noout", "-pubkey", "-in", svid.to_str().unwrap()];
    let of_key = ["pkey", "-pubout", "-in", key.to_str().unwrap()];
    assert_eq!(openssl(&of_svid).await.ok(), openssl(&of_key).await.ok());
}

/// The claims of a JWT-SVID, verified with the server's bundle.
pub(crate) async fn verified_claims(server: &Server, token: &str, audience: &str) -> Value {
    let header = decode_header(token).unwrap();
    let key = jwt_key(&jwt_bundle(server).await, &header.kid.unwrap());
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    decode::<Value>(token, &key, &validation).unwrap().claims
}

/// The server's bundle as a JWK set.
pub(crate) async fn jwt_bundle(server: &Server) -> String {
    let line = ["bundle", "show", "-format", "spiffe"];
    server.cli(&line).await.ok()
}

/// The library reads no keys that are for X.509 alone.
pub(crate) fn jwt_key(bundle: &str, kid: &str) -> DecodingKey {
    let mut document: Value = serde_json::from_str(bundle).unwrap();
    let keys = document["keys"].as_array_mut().unwrap();
    keys.retain(|key| key["use"] == "jwt-svid");
    keys.iter_mut().for_each(|key| key["use"] = "sig".into());
    let keys: JwkSet = serde_json::from_value(document).unwrap();
    DecodingKey::from_jwk(keys.find(kid).unwrap()).unwrap()
}

/// Mints SVIDs of both kinds into a new folder, and has them judged: by the bundle of now, which so
/// has every key that signs.
pub(crate) async fn assert_mints(server: &Server, folder: &Path, key_types: [&str; 2]) {
    std::fs::create_dir_all(folder).unwrap();
    let identity = id("/minted");
    let line = ["x509", "mint", "-spiffeID", &identity, "-write"];
    let line = [&line[..], &[folder.to_str().unwrap()]].concat();
    server.cli(&line).await.ok();
    let (svid, bundle) = (folder.join("svid.pem"), folder.join("bundle.pem"));
    assert_verifies(&bundle, &svid).await;
    assert_key_fits(&svid, &folder.join("key.pem")).await;
    let [of_ca, of_jwt] = key_types;
    let facts = x509_facts(of_ca);
    let text = text_of(&svid).await;
    assert!(text.contains(facts.signature), "{of_ca}: {text}");

    let line = ["jwt", "mint", "-spiffeID", &identity, "-audience", "judges"];
    let token = server.cli(&line).await.ok();
    let token = token.trim();
    assert_eq!(decode_header(token).unwrap().alg, jwt_algorithm(of_jwt));
    let claims = verified_claims(server, token, "judges").await;
    assert_eq!(claims["sub"], identity);
}
