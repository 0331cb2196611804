//! The last look at a certificate before it leaves: it says what was approved, and nothing else.

use std::time::SystemTime;

use rcgen::DistinguishedName;
use signet_crypto::PublicKey;
use signet_model::approve::{CaGrant, Subject, X509Grant};
use signet_model::compose::Extension;
use signet_spiffe::certificate::CertificateError;
use signet_spiffe::{Certificate, Serial, SpiffeId};
use x509_parser::prelude::{FromDer, X509Certificate, X509Extension};
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
    must(has_extensions(der, &grant.extensions), "further extensions")?;
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

/// What a self-signed authority was to be.
pub(crate) struct SelfSigned<'a> {
    pub(crate) id: &'a SpiffeId,
    pub(crate) subject: &'a Subject,
    pub(crate) serial: &'a Serial,
    pub(crate) public_key: &'a PublicKey,
    pub(crate) extensions: &'a [Extension],
    pub(crate) validity: (SystemTime, SystemTime),
}

/// Compares the self-signed authority `der` with what was wanted.
pub(crate) fn check_self_signed(
    der: &[u8],
    wanted: &SelfSigned<'_>,
    now: SystemTime,
) -> Result<(), Mismatch> {
    let made = Certificate::parse(der)?;
    check_common(
        &made,
        wanted.serial,
        wanted.public_key,
        wanted.validity,
        now,
    )?;
    must(made.issuer_der() == made.subject_der(), "issuer")?;
    must(has_subject(&made, wanted.subject), "subject")?;
    must(has_extensions(der, wanted.extensions), "further extensions")?;
    check_authority(&made, wanted.id)?;
    check_signature(der, &made)
}

/// Compares the downstream authority `der` with what was approved.
pub(crate) fn check_downstream_ca(
    der: &[u8],
    grant: &CaGrant,
    subject: &DistinguishedName,
    serial: &Serial,
    authority: &X509Authority,
    now: SystemTime,
) -> Result<(), Mismatch> {
    let made = Certificate::parse(der)?;
    let validity = (grant.lifetime.not_before, grant.lifetime.not_after);
    check_common(&made, serial, &grant.public_key, validity, now)?;
    must(
        made.issuer_der() == authority.certificate().subject_der(),
        "issuer",
    )?;
    must(has_name(&made, subject), "subject")?;
    must(has_extensions(der, &[]), "further extensions")?;
    check_authority(&made, &grant.trust_domain.id())?;
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

fn check_authority(made: &Certificate, id: &SpiffeId) -> Result<(), Mismatch> {
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
    must(has_names(made, id, &[]), "alternative names")
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
    name::encode(subject).is_ok_and(|wanted| has_name(made, &wanted))
}

fn has_name(made: &Certificate, wanted: &DistinguishedName) -> bool {
    let Ok(([], written)) = X509Name::from_der(made.subject_der()) else {
        return false;
    };
    name::reencode(&written).is_ok_and(|found| found == *wanted)
}

/// Whether these, and only these, stand beside the issuer's own.
fn has_extensions(der: &[u8], extensions: &[Extension]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(der) else {
        return false;
    };
    let oid = |found: &X509Extension<'_>| -> Vec<u64> {
        found.oid.iter().map_or_else(Vec::new, Iterator::collect)
    };
    let found = parsed
        .extensions()
        .iter()
        .map(|found| (oid(found), found.critical, found.value))
        .filter(|(oid, ..)| !Extension::is_reserved(oid));
    let wanted = extensions
        .iter()
        .map(|wanted| (wanted.oid().to_vec(), wanted.critical(), wanted.value()));
    found.eq(wanted)
}

fn check_signature(der: &[u8], issuer: &Certificate) -> Result<(), Mismatch> {
    let unreadable = |_| Mismatch::Unreadable(CertificateError::Malformed);
    let (_, parsed) = X509Certificate::from_der(der).map_err(unreadable)?;
    // RFC 5280 section 4.1.1.2: the algorithm outside, which is not signed, repeats the one inside.
    must(
        parsed.signature_algorithm == parsed.tbs_certificate.signature,
        "signature algorithm",
    )?;
    issuer
        .public_key
        .verify(
            issuer.public_key.default_algorithm(),
            parsed.tbs_certificate.as_ref(),
            &parsed.signature_value.data,
        )
        .map_err(|_| Mismatch::Signature)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use signet_crypto::{KeyType, PrivateKey, SeededRandom};
    use signet_keys::{LocalSigner, Signer};
    use signet_model::approve::{Attribute, Moment, Policy, server_x509};
    use signet_spiffe::TrustDomain;

    use super::*;
    use crate::{NewAuthority, new_self_signed, sign_x509};

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn signer() -> Arc<dyn Signer> {
        Arc::new(LocalSigner::new(
            PrivateKey::generate(KeyType::EcP256).unwrap(),
        ))
    }

    async fn authority() -> X509Authority {
        let trust_domain = TrustDomain::parse("example.org").unwrap();
        let wanted = NewAuthority {
            trust_domain,
            subject: None,
            extensions: Vec::new(),
            ttl: Duration::from_secs(86400),
        };
        new_self_signed(wanted, signer(), &SeededRandom::new(1), now())
            .await
            .unwrap()
    }

    /// A good certificate, and what was approved for it.
    async fn made(authority: &X509Authority) -> (Vec<u8>, X509Grant, Serial) {
        let policy = Policy {
            trust_domain: TrustDomain::parse("example.org").unwrap(),
            default_x509_svid_ttl: Duration::from_secs(3600),
            default_jwt_svid_ttl: Duration::from_secs(300),
            agent_ttl: None,
            jwt_issuer: None,
            wit_issuer: None,
        };
        let moment = Moment {
            now: now(),
            authority_not_after: authority.not_after(),
        };
        let key = signer().public_key().clone();
        let approved = server_x509(&policy, moment, key).unwrap();
        let grant = (*approved).clone();
        let random = SeededRandom::new(2);
        let issued = sign_x509(authority, approved, &random, now())
            .await
            .unwrap();
        (issued.chain[0].clone(), grant, issued.serial)
    }

    #[tokio::test]
    async fn a_certificate_as_approved_passes() {
        let authority = authority().await;
        let (der, grant, serial) = made(&authority).await;
        check_svid(&der, &grant, &serial, &authority, now()).unwrap();
    }

    #[tokio::test]
    async fn a_certificate_that_differs_in_anything_is_caught() {
        type Change = fn(&mut X509Grant);
        let changes: [(&str, Change); 7] = [
            ("alternative names", |grant| {
                grant.spiffe_id = SpiffeId::parse("spiffe://example.org/other").unwrap();
            }),
            ("alternative names", |grant| {
                grant.dns_names.push("extra".to_owned())
            }),
            ("further extensions", |grant| {
                let extension = Extension::new(vec![1, 2, 3], false, vec![5, 0]).unwrap();
                grant.extensions.push(extension);
            }),
            ("subject", |grant| {
                grant.subject = Subject::new([(Attribute::Country, "DE".to_owned())]);
            }),
            ("public key", |grant| {
                grant.public_key = signer().public_key().clone()
            }),
            ("validity", |grant| {
                grant.lifetime.not_after += Duration::from_secs(1)
            }),
            ("validity", |grant| {
                grant.lifetime.not_before -= Duration::from_secs(1)
            }),
        ];
        let authority = authority().await;
        let (der, good, serial) = made(&authority).await;
        for (part, change) in changes {
            let mut grant = good.clone();
            change(&mut grant);
            let caught = check_svid(&der, &grant, &serial, &authority, now());
            assert_eq!(caught, Err(Mismatch::Part(part)));
        }
    }

    #[tokio::test]
    async fn another_serial_or_another_authority_is_caught() {
        let authority = authority().await;
        let (der, grant, serial) = made(&authority).await;
        let caught = check_svid(&der, &grant, &Serial::from_bytes(&[1]), &authority, now());
        assert_eq!(caught, Err(Mismatch::Part("serial number")));
        let other = self::authority().await;
        let caught = check_svid(&der, &grant, &serial, &other, now());
        assert_eq!(caught, Err(Mismatch::Part("authority key id")));
    }

    #[tokio::test]
    async fn an_authority_in_place_of_a_leaf_is_caught() {
        let authority = authority().await;
        let (_, mut grant, _) = made(&authority).await;
        let certificate = authority.certificate();
        grant.public_key = certificate.public_key.clone();
        grant.lifetime.not_after = certificate.not_after;
        let mut like = grant.clone();
        like.lifetime.not_before = certificate.not_before;
        let serial = certificate.serial.clone();
        let caught = check_svid(
            authority.certificate_der(),
            &like,
            &serial,
            &authority,
            now(),
        );
        assert_eq!(caught, Err(Mismatch::Part("subject")));
    }

    #[tokio::test]
    async fn a_flipped_bit_in_what_is_signed_is_caught() {
        let authority = authority().await;
        let (der, _, _) = made(&authority).await;
        check_signature(&der, authority.certificate()).unwrap();
        let signed = X509Certificate::from_der(&der)
            .unwrap()
            .1
            .tbs_certificate
            .as_ref()
            .len();
        for at in 4..4 + signed {
            let mut bent = der.clone();
            bent[at] ^= 1;
            assert!(
                check_signature(&bent, authority.certificate()).is_err(),
                "byte {at}"
            );
        }
    }
}
