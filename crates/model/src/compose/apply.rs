//! What a composer changed is looked at before the next one sees it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{AuthorityParts, BoxError, CertificateParts, Composer, Composers, Extension};
use crate::approve::{JwtGrant, Purpose, Subject, X509Grant};
use crate::dns::{self, DnsError};

/// The most further extensions of one certificate: it must stay fit for a handshake.
pub const MAX_EXTENSIONS: usize = 16;

/// The claims that approval decided: whose, for whom, from when, until when.
const APPROVED_CLAIMS: [&str; 4] = ["sub", "aud", "exp", "iat"];

/// Why a composed credential is not issued.
#[derive(Debug, thiserror::Error)]
#[error("credential composer {composer:?}")]
pub struct ComposeError {
    /// The composer at fault.
    pub composer: &'static str,
    /// What is wrong with what it did.
    #[source]
    pub fault: Fault,
}

/// What is wrong with what a composer did.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It gave up.
    #[error("could not compose the credential")]
    GaveUp(#[source] BoxError),
    /// RFC 5280 section 4.1.2.6: then the alternative names would have to be critical.
    #[error("left the subject empty")]
    NoSubject,
    /// A DNS name is bad.
    #[error("set a DNS name that cannot be")]
    Dns(#[source] DnsError),
    /// RFC 5280 section 4.2.
    #[error("set an extension twice")]
    RepeatedExtension,
    /// Over the limit.
    #[error("set {count} extensions; the limit is {MAX_EXTENSIONS}")]
    TooManyExtensions {
        /// Extensions set.
        count: usize,
    },
    /// A claim that was approved.
    #[error("changed or removed the claim `{0}`, which is not its to change")]
    Claim(&'static str),
    /// The token would not be valid when it is issued.
    #[error("set the claim `nbf` to something else than a time that has come")]
    NotBefore,
}

impl Composers {
    /// The certificate's parts as the composers make them, by what it is for.
    pub(crate) fn svid(&self, grant: X509Grant) -> Result<X509Grant, ComposeError> {
        let mut parts = CertificateParts {
            subject: grant.subject.clone(),
            dns_names: grant.dns_names.clone(),
            extensions: grant.extensions.clone(),
        };
        for composer in self.iter() {
            let before = parts.dns_names.clone();
            let composed = compose(composer, &grant, &mut parts).map_err(Fault::GaveUp);
            let checked = composed.and_then(|()| check_certificate(&parts, &before));
            checked.map_err(by(composer))?;
        }
        Ok(X509Grant {
            subject: parts.subject,
            dns_names: parts.dns_names,
            extensions: parts.extensions,
            ..grant
        })
    }

    /// The authority's parts as the composers make them.
    ///
    /// # Errors
    /// [`ComposeError`] names the composer and what it did.
    pub fn authority(&self, mut parts: AuthorityParts) -> Result<AuthorityParts, ComposeError> {
        for composer in self.iter() {
            let composed = composer.server_ca(&mut parts).map_err(Fault::GaveUp);
            let checked = composed
                .and_then(|()| check_subject(&parts.subject))
                .and_then(|()| check_extensions(&parts.extensions));
            checked.map_err(by(composer))?;
        }
        Ok(parts)
    }

    /// The token's claims as the composers make them.
    pub(crate) fn token(&self, grant: JwtGrant) -> Result<JwtGrant, ComposeError> {
        let mut claims = grant.claims.clone();
        for composer in self.iter() {
            let composed = composer.workload_jwt(&grant.spiffe_id, &mut claims);
            let composed = composed.map_err(Fault::GaveUp);
            let checked = composed.and_then(|()| check_claims(&claims, &grant.claims));
            checked.map_err(by(composer))?;
        }
        Ok(JwtGrant { claims, ..grant })
    }
}

fn compose(
    composer: &dyn Composer,
    grant: &X509Grant,
    parts: &mut CertificateParts,
) -> Result<(), BoxError> {
    let (id, key) = (&grant.spiffe_id, &grant.public_key);
    match grant.purpose {
        Purpose::Workload => composer.workload_x509(id, key, parts),
        Purpose::Agent => composer.agent_x509(id, key, parts),
        Purpose::Server => composer.server_x509(parts),
    }
}

fn by(composer: &dyn Composer) -> impl FnOnce(Fault) -> ComposeError {
    let composer = composer.name();
    move |fault| ComposeError { composer, fault }
}

/// DNS names that were there before are the entry's, and were looked at then.
fn check_certificate(parts: &CertificateParts, before: &[String]) -> Result<(), Fault> {
    check_subject(&parts.subject)?;
    if parts.dns_names != before {
        dns::check_all(parts.dns_names.clone()).map_err(Fault::Dns)?;
        dns::check_overlap(&parts.dns_names).map_err(Fault::Dns)?;
    }
    check_extensions(&parts.extensions)
}

fn check_subject(subject: &Subject) -> Result<(), Fault> {
    match subject.is_empty() {
        true => Err(Fault::NoSubject),
        false => Ok(()),
    }
}

fn check_extensions(extensions: &[Extension]) -> Result<(), Fault> {
    let count = extensions.len();
    if count > MAX_EXTENSIONS {
        return Err(Fault::TooManyExtensions { count });
    }
    let distinct: BTreeSet<_> = extensions.iter().map(Extension::oid).collect();
    match distinct.len() == count {
        true => Ok(()),
        false => Err(Fault::RepeatedExtension),
    }
}

fn check_claims(claims: &Map<String, Value>, approved: &Map<String, Value>) -> Result<(), Fault> {
    let changed = APPROVED_CLAIMS
        .into_iter()
        .find(|claim| claims.get(*claim) != approved.get(*claim));
    if let Some(claim) = changed {
        return Err(Fault::Claim(claim));
    }
    let issued_at = approved.get("iat").and_then(Value::as_u64);
    let not_before = claims.get("nbf").map(Value::as_u64);
    match not_before {
        Some(begin) if begin.is_none() || begin > issued_at => Err(Fault::NotBefore),
        _ => Ok(()),
    }
}
