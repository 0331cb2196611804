//! The Rust witness: what it holds at a moment.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use signet_tests::{Scene, TRUST_DOMAIN, id};
use spiffe::{BundleSource, JwtSource, JwtSvid, TrustDomain, X509Bundle, X509Source, X509Svid};
use x509_parser::oid_registry::{
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::tally::Tally;
use super::tls;

/// What every token is for, as in the clients of other languages.
const AUDIENCE: &str = "payments";

/// A workload with both sources of the `spiffe` crate.
#[derive(Clone)]
pub(super) struct Workload {
    pub(super) tally: Arc<Tally>,
    path: &'static str,
    x509: Arc<X509Source>,
    jwt: Arc<JwtSource>,
}

/// What one message of the Workload API said.
pub(super) struct Held {
    pub(super) svid: Arc<X509Svid>,
    pub(super) bundle: Arc<X509Bundle>,
}

/// What tells one SVID from another.
pub(super) struct Shown {
    pub(super) serial: String,
    pub(super) signer: String,
    /// Since 1970.
    pub(super) not_after: Duration,
}

impl Workload {
    pub(super) async fn start(scene: &Scene, path: &'static str, tally: Tally) -> Self {
        let x509 = crate::mtls::source(scene, path).await;
        let jwt = JwtSource::builder().endpoint(scene.agent.endpoint());
        Self {
            tally: Arc::new(tally),
            path,
            x509: Arc::new(x509),
            jwt: Arc::new(jwt.build().await.unwrap()),
        }
    }

    /// What it holds now. An expired SVID is shown all the same: the peer is to judge.
    pub(super) fn held(&self) -> Option<Held> {
        let all = self.x509.x509_context();
        let held = all.map_err(|error| error.to_string()).and_then(|all| {
            let own = id(self.path);
            let mut svids = all.svids().iter();
            let svid = svids.find(|svid| svid.spiffe_id().to_string() == own);
            let svid = svid.ok_or("the identity is gone")?.clone();
            let bundle = all.bundle_set().get(&domain()).ok_or("no own bundle")?;
            Ok(Held { svid, bundle })
        });
        match held {
            Ok(held) => {
                self.tally.used(&held.shown());
                Some(held)
            }
            Err(why) => {
                self.tally.failed("identity", &why, json!({}));
                None
            }
        }
    }

    /// A token of its own.
    pub(super) async fn token(&self) -> Option<String> {
        let own = id(self.path).parse().unwrap();
        match self
            .jwt
            .fetch_jwt_svid_with_id([AUDIENCE], Some(&own))
            .await
        {
            Ok(svid) => {
                let ends = svid.expiry().unix_timestamp();
                self.tally.fetched(Duration::from_secs(ends.unsigned_abs()));
                Some(svid.token().to_owned())
            }
            Err(error) => {
                self.tally
                    .failed("token fetch", &error.to_string(), json!({}));
                None
            }
        }
    }

    /// Verifies the token of a peer.
    pub(super) fn judge_token(&self, token: &str) {
        let error = match JwtSvid::parse_and_validate(token, &*self.jwt, &[AUDIENCE]) {
            Ok(svid) => return self.tally.token(svid.key_id()),
            Err(error) => error,
        };
        let parsed = JwtSvid::parse_insecure(token).ok();
        let bundle = self.jwt.bundle_for_trust_domain(&domain()).ok().flatten();
        let keys = bundle.iter().flat_map(|bundle| bundle.jwt_authorities());
        let held = json!({
            "key": parsed.as_ref().map(JwtSvid::key_id),
            "expires": parsed.as_ref().map(|svid| svid.expiry().unix_timestamp()),
            "bundle": keys.map(|key| key.key_id()).collect::<Vec<_>>(),
        });
        self.tally.failed("token", &error.to_string(), held);
    }

    /// Verifies the chain of a peer.
    pub(super) fn judge_chain(&self, chain: &[CertificateDer<'_>]) {
        let Some(held) = self.held() else { return };
        match tls::verify(&held, chain) {
            Ok(()) => self.tally.chain(),
            Err(error) => {
                let mut told = held.told();
                told["peer"] = chain.first().map(|leaf| shown(leaf).told()).into();
                self.tally.failed("chain", &error.to_string(), told);
            }
        }
    }
}

impl Held {
    pub(super) fn shown(&self) -> Shown {
        shown(self.svid.leaf().as_bytes())
    }

    pub(super) fn told(&self) -> Value {
        let authorities = self.bundle.authorities().iter();
        let ids = authorities.map(|authority| {
            let (_, authority) = X509Certificate::from_der(authority.as_bytes()).unwrap();
            let found = authority.get_extension_unique(&OID_X509_EXT_SUBJECT_KEY_IDENTIFIER);
            match found.unwrap().unwrap().parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => hex(id.0),
                _ => panic!("no subject key id"),
            }
        });
        json!({ "own": self.shown().told(), "bundle": ids.collect::<Vec<_>>() })
    }
}

impl Shown {
    fn told(&self) -> Value {
        let not_after = self.not_after.as_secs();
        json!({ "serial": self.serial, "signer": self.signer, "not_after": not_after })
    }
}

fn shown(leaf: &[u8]) -> Shown {
    let (_, leaf) = X509Certificate::from_der(leaf).unwrap();
    let found = leaf.get_extension_unique(&OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
    let ParsedExtension::AuthorityKeyIdentifier(signer) =
        found.unwrap().unwrap().parsed_extension()
    else {
        panic!("no authority key id");
    };
    let not_after = leaf.validity().not_after.timestamp();
    Shown {
        serial: hex(leaf.raw_serial()),
        signer: hex(signer.key_identifier.as_ref().unwrap().0),
        not_after: Duration::from_secs(not_after.unsigned_abs()),
    }
}

fn domain() -> TrustDomain {
    TrustDomain::new(TRUST_DOMAIN).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Since 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "certificates of other processes have real times"
)]
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
