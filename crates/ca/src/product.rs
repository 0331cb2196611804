//! The last look at a certificate before it leaves: it says what was approved, and nothing else.

use std::time::SystemTime;

use signet_crypto::PublicKey;
use signet_model::approve::{Subject, X509Grant};
use signet_spiffe::certificate::CertificateError;
use signet_spiffe::{Certificate, Serial, SpiffeId};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::authority::X509Authority;
use crate::name;

/// Where a certificate that was made differs from what was approved. This is a defect, or a key
/// that lies; nothing an operator or a caller did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It cannot be read.
    #[error("the certificate made cannot be read")]
    Unreadable(#[from] CertificateError),
    /// A part differs.
    #[error("the certificate made differs from what was approved in its {0}")]
    Part(&'static str),
    /// It is not valid now.
    #[error("the certificate made is not valid now")]
    NotValidNow,
    /// The signature is not the authority's.
    #[error("the signature on the certificate made does not verify")]
    Signature,
}

/// Compares the leaf `der` with what was approved.
pub(crate) fn check_svid(
    der: &[u8],
    grant: &X509Grant,
    serial: &Serial,
    authority: &X509Authority,
    now: SystemTime,
) -> Result<(), Mismatch> {
    let made = Certificate::parse(der)?;
    let lifetime = grant.lifetime;
    check_common(
        &made,
        serial,
        &grant.public_key,
        (lifetime.not_before, lifetime.not_after),
        now,
    )?;
    must(
        made.issuer_der() == authority.certificate().subject_der(),
        "issuer",
    )?;
    must(has_subject(&made, &grant.subject), "subject")?;
    must(
        made.basic_constraints
            .is_some_and(|found| !found.ca && found.critical),
        "constraints",
    )?;
    must(has_leaf_usage(&made), "key usage")?;
    must(has_both_purposes(&made), "extended key usage")?;
    must(
        has_names(&made, &grant.spiffe_id, &grant.dns_names),
        "alternative names",
    )?;
    let issuer = authority.subject_key_id();
    must(
        made.authority_key_id.as_deref() == Some(issuer.as_slice()),
        "authority key id",
    )?;
    if authority.signer().local().is_none() {
        check_signature(der, authority.certificate())?;
    }
    Ok(())
}

/// Compares the self-signed authority `der` with what was wanted.
pub(crate) fn check_self_signed(
    der: &[u8],
    id: &SpiffeId,
    subject: &Subject,
    serial: &Serial,
    public_key: &PublicKey,
    validity: (SystemTime, SystemTime),
    now: SystemTime,
) -> Result<(), Mismatch> {
    let made = Certificate::parse(der)?;
    check_common(&made, serial, public_key, validity, now)?;
    must(made.issuer_der() == made.subject_der(), "issuer")?;
    must(has_subject(&made, subject), "subject")?;
    let constraints = made.basic_constraints;
    must(
        constraints.is_some_and(|found| found.ca && found.critical && found.path_len.is_none()),
        "constraints",
    )?;
    must(
        made.key_usage.is_some_and(|usage| {
            usage.critical && usage.key_cert_sign() && usage.crl_sign() && usage.only_signer_bits()
        }),
        "key usage",
    )?;
    must(made.extended_key_usage.is_none(), "extended key usage")?;
    must(has_names(&made, id, &[]), "alternative names")?;
    check_signature(der, &made)
}

fn check_common(
    made: &Certificate,
    serial: &Serial,
    public_key: &PublicKey,
    (not_before, not_after): (SystemTime, SystemTime),
    now: SystemTime,
) -> Result<(), Mismatch> {
    must(made.serial == *serial, "serial number")?;
    must(made.public_key == *public_key, "public key")?;
    must(
        made.not_before == not_before && made.not_after == not_after,
        "validity",
    )?;
    let key_id = public_key.subject_key_id();
    must(
        made.subject_key_id.as_deref() == Some(key_id.as_slice()),
        "subject key id",
    )?;
    match made.is_valid_at(now) {
        true => Ok(()),
        false => Err(Mismatch::NotValidNow),
    }
}

fn must(holds: bool, part: &'static str) -> Result<(), Mismatch> {
    holds.then_some(()).ok_or(Mismatch::Part(part))
}

fn has_leaf_usage(made: &Certificate) -> bool {
    made.key_usage.is_some_and(|usage| {
        usage.critical
            && usage.only_leaf_bits()
            && usage.digital_signature()
            && usage.key_encipherment()
            && usage.key_agreement()
    })
}

fn has_both_purposes(made: &Certificate) -> bool {
    made.extended_key_usage
        .is_some_and(|found| found.server_auth && found.client_auth && !found.other)
}

fn has_names(made: &Certificate, id: &SpiffeId, dns_names: &[String]) -> bool {
    made.alt_names.as_ref().is_some_and(|names| {
        names.uris == [id.to_string()] && names.dns_names == dns_names && names.others == 0
    })
}

fn has_subject(made: &Certificate, subject: &Subject) -> bool {
    let Ok(([], written)) = X509Name::from_der(made.subject_der()) else {
        return false;
    };
    name::encode(subject)
        .is_ok_and(|wanted| name::reencode(&written).is_ok_and(|found| found == wanted))
}

fn check_signature(der: &[u8], issuer: &Certificate) -> Result<(), Mismatch> {
    let unreadable = |_| Mismatch::Unreadable(CertificateError::Malformed);
    let (_, parsed) = X509Certificate::from_der(der).map_err(unreadable)?;
    issuer
        .public_key
        .verify(
            issuer.public_key.default_algorithm(),
            parsed.tbs_certificate.as_ref(),
            &parsed.signature_value.data,
        )
        .map_err(|_| Mismatch::Signature)
}
