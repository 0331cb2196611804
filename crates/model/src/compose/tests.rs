//! Composers that behave, and composers that reach for what is not theirs.

use serde_json::json;

use super::*;
use crate::approve::{
    Approved, Attribute, Policy, X509Grant, agent_x509, mint_jwt, mint_x509, server_x509,
};
use crate::fixtures::{agent_id, id, key, moment, policy};

type OnCertificate = fn(&mut CertificateParts) -> Result<(), BoxError>;
type OnClaims = fn(&mut Map<String, Value>) -> Result<(), BoxError>;

/// Does the same to every certificate, and something to every token.
struct Scripted {
    name: &'static str,
    certificate: OnCertificate,
    claims: OnClaims,
}

impl Composer for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn server_ca(&self, parts: &mut AuthorityParts) -> Result<(), BoxError> {
        let mut all = CertificateParts {
            subject: parts.subject.clone(),
            dns_names: Vec::new(),
            extensions: parts.extensions.clone(),
        };
        (self.certificate)(&mut all)?;
        (parts.subject, parts.extensions) = (all.subject, all.extensions);
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
        (self.claims)(claims)
    }
}

fn composers(scripts: Vec<Scripted>) -> Composers {
    let each = scripts
        .into_iter()
        .map(|one| Arc::new(one) as Arc<dyn Composer>);
    Composers::new(each.collect())
}

fn on_certificates(name: &'static str, certificate: OnCertificate) -> Scripted {
    Scripted {
        name,
        certificate,
        claims: |_| Ok(()),
    }
}

fn on_claims(claims: OnClaims) -> Scripted {
    Scripted {
        name: "claims",
        certificate: |_| Ok(()),
        claims,
    }
}

fn workload(dns_names: &[&str]) -> Approved<X509Grant> {
    let csr = signet_spiffe::csr::Csr {
        spiffe_ids: vec![id("/web")],
        uri_count: 1,
        subject: Vec::new(),
        dns_names: dns_names.iter().map(ToString::to_string).collect(),
        public_key: key(),
    };
    mint_x509(&policy(), moment(), csr, None).unwrap()
}

fn token() -> Approved<crate::JwtGrant> {
    let policy = Policy {
        jwt_issuer: Some("https://issuer".to_owned()),
        ..policy()
    };
    mint_jwt(&policy, moment(), id("/web"), vec!["db".to_owned()], None).unwrap()
}

fn extension(last: u64) -> Extension {
    Extension::new(vec![1, 3, 6, 1, 4, 1, 99, last], false, vec![5, 0]).unwrap()
}

#[test]
fn without_composers_everything_stays_as_approved() {
    let none = Composers::default();
    assert_eq!(workload(&["a"]).composed(&none).unwrap(), workload(&["a"]));
    assert_eq!(token().composed(&none).unwrap(), token());
}

#[test]
fn each_composer_sees_what_the_one_before_made_of_it() {
    let both = composers(vec![
        on_certificates("first", |parts| {
            parts.subject = Subject::default().with(Attribute::CommonName, "first".to_owned());
            parts.dns_names.push("first.example".to_owned());
            Ok(())
        }),
        on_certificates("second", |parts| {
            let seen = parts.dns_names.join(" ");
            parts.subject = parts.subject.clone().with(Attribute::Locality, seen);
            parts.extensions.push(extension(1));
            Ok(())
        }),
    ]);
    let composed = workload(&["web.example"]).composed(&both).unwrap();
    let before = workload(&["web.example"]);
    assert_eq!(
        composed.subject.attributes().collect::<Vec<_>>(),
        [
            (Attribute::CommonName, "first"),
            (Attribute::Locality, "web.example first.example")
        ]
    );
    assert_eq!(composed.dns_names, ["web.example", "first.example"]);
    assert_eq!(composed.extensions, [extension(1)]);
    assert_eq!(format!("{both:?}"), r#"["first", "second"]"#);
    let fixed = |grant: &X509Grant| {
        let id = grant.spiffe_id.clone();
        (id, grant.public_key.clone(), grant.lifetime, grant.purpose)
    };
    assert_eq!(fixed(&composed), fixed(&before));
}

#[test]
fn a_composer_is_asked_about_what_it_is_for() {
    let only_workloads = composers(vec![on_certificates("w", |parts| {
        parts.dns_names.push("composed.example".to_owned());
        Ok(())
    })]);
    let agent = agent_x509(&policy(), moment(), &agent_id("a"), None, key()).unwrap();
    let server = server_x509(&policy(), moment(), key()).unwrap();
    for grant in [agent, server] {
        let composed = grant.clone().composed(&only_workloads).unwrap();
        assert_eq!(composed, grant);
    }
}

#[test]
fn a_composer_that_gives_up_or_goes_too_far_is_named_and_nothing_is_approved() {
    let bad: [(OnCertificate, &str); 6] = [
        (|_| Err("no".into()), "could not compose the credential"),
        (
            |parts| {
                parts.subject = Subject::default();
                Ok(())
            },
            "left the subject empty",
        ),
        (
            |parts| {
                parts.dns_names = vec!["a b".to_owned()];
                Ok(())
            },
            "set a DNS name that cannot be",
        ),
        (
            |parts| {
                parts.dns_names = vec!["*.a.b".to_owned(), "x.a.b".to_owned()];
                Ok(())
            },
            "set a DNS name that cannot be",
        ),
        (
            |parts| {
                parts.extensions = vec![extension(1), extension(1)];
                Ok(())
            },
            "set an extension twice",
        ),
        (
            |parts| {
                parts.extensions = (0..17).map(extension).collect();
                Ok(())
            },
            "set 17 extensions; the limit is 16",
        ),
    ];
    for (certificate, why) in bad {
        let good = on_certificates("good", |_| Ok(()));
        let both = composers(vec![good, on_certificates("bad", certificate)]);
        let error = workload(&[]).composed(&both).unwrap_err();
        assert_eq!(error.composer, "bad");
        assert_eq!(error.fault.to_string(), why);
    }
}

#[test]
fn claims_may_be_added_and_the_optional_ones_changed_or_removed() {
    let adding = composers(vec![on_claims(|claims| {
        claims.insert("https://example.org/team".to_owned(), json!({"name": "x"}));
        claims.insert("nbf".to_owned(), json!(1000));
        claims.remove("iss");
        Ok(())
    })]);
    let composed = token().composed(&adding).unwrap();
    assert_eq!(
        Value::Object(composed.claims.clone()),
        json!({
            "sub": "spiffe://example.org/web", "aud": ["db"], "exp": 1300, "iat": 1000,
            "nbf": 1000, "https://example.org/team": {"name": "x"},
        })
    );
    let before = token();
    assert_eq!(
        (&composed.spiffe_id, &composed.audience, composed.lifetime),
        (&before.spiffe_id, &before.audience, before.lifetime)
    );
}

#[test]
fn a_claim_that_was_approved_can_be_neither_removed_nor_changed() {
    for claim in ["sub", "aud", "exp", "iat"] {
        let attempts: [(&str, Reach); 3] = [
            ("removed", |claims, claim| {
                claims.remove(claim);
            }),
            ("null", |claims, claim| {
                claims.insert(claim.to_owned(), Value::Null);
            }),
            ("changed", |claims, claim| {
                claims.insert(claim.to_owned(), json!("spiffe://example.org/admin"));
            }),
        ];
        for (how, attempt) in attempts {
            let reaching = Composers::new(vec![Arc::new(Reaching { claim, attempt })]);
            let error = token().composed(&reaching).unwrap_err();
            assert!(
                matches!(error.fault, Fault::Claim(found) if found == claim),
                "{how} {claim}"
            );
        }
    }
}

type Reach = fn(&mut Map<String, Value>, &str);

struct Reaching {
    claim: &'static str,
    attempt: Reach,
}

impl Composer for Reaching {
    fn name(&self) -> &'static str {
        "reaching"
    }

    fn workload_jwt(&self, _: &SpiffeId, claims: &mut Map<String, Value>) -> Result<(), BoxError> {
        (self.attempt)(claims, self.claim);
        Ok(())
    }
}

#[test]
fn a_token_that_would_not_be_valid_yet_is_refused() {
    let bad: [OnClaims; 2] = [
        |claims| {
            claims.insert("nbf".to_owned(), json!(1001));
            Ok(())
        },
        |claims| {
            claims.insert("nbf".to_owned(), json!("now"));
            Ok(())
        },
    ];
    for claims in bad {
        let error = token().composed(&composers(vec![on_claims(claims)]));
        assert!(matches!(error.unwrap_err().fault, Fault::NotBefore));
    }
}

#[test]
fn an_authority_gets_subject_and_extensions_and_stays_named() {
    let parts = || AuthorityParts {
        subject: Subject::svid(),
        extensions: Vec::new(),
    };
    let naming = composers(vec![on_certificates("n", |parts| {
        parts.subject = parts
            .subject
            .clone()
            .with(Attribute::CommonName, "CA".to_owned());
        parts.extensions.push(extension(7));
        Ok(())
    })]);
    let composed = naming.authority(parts()).unwrap();
    assert_eq!(composed.extensions, [extension(7)]);
    assert_eq!(composed.subject.attributes().count(), 3);
    let emptying = composers(vec![on_certificates("e", |parts| {
        parts.subject = Subject::default();
        Ok(())
    })]);
    let error = emptying.authority(parts()).unwrap_err();
    assert!(matches!(error.fault, Fault::NoSubject));
}
