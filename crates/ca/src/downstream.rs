//! Authorities below another: the request that asks for one, and the certificate that answers it.

use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer};
use signet_crypto::Random;
use signet_keys::Signer;
use signet_model::Approved;
use signet_model::approve::{CaGrant, Subject};
use signet_spiffe::TrustDomain;

use crate::authority::X509Authority;
use crate::bridge::{self, EncodedKey, IssuerKey};
use crate::x509::{IssuedX509, X509Error};
use crate::{name, product, template};

/// Signs the authority `approved` with `authority`. The chain is the new certificate and what
/// `authority` itself stands under, without the root.
///
/// # Errors
/// [`X509Error`] says which step failed; nothing that was made is kept then.
pub async fn sign_ca(
    authority: &X509Authority,
    approved: Approved<CaGrant>,
    random: &dyn Random,
    now: SystemTime,
) -> Result<IssuedX509, X509Error> {
    let lifetime = approved.lifetime;
    if lifetime.not_after > authority.not_after() {
        return Err(X509Error::Outlives);
    }
    let serial = template::serial(random);
    let subject = subject_below(authority);
    let params = template::downstream_ca(&approved, subject.clone(), &serial)?;
    let subject_key = EncodedKey::new(&approved.public_key)?;
    let made = bridge::sign(&**authority.signer(), |key: &IssuerKey<'_>| {
        let issuer = Issuer::from_params(authority.issuer(), key);
        params
            .signed_by(&subject_key, &issuer)
            .map(|certificate| certificate.der().to_vec())
    })
    .await?;
    product::check_downstream_ca(&made, &approved, &subject, &serial, authority, now)?;
    let above = authority.upstream_chain().iter();
    Ok(IssuedX509 {
        chain: std::iter::once(made)
            .chain(above.map(|certificate| certificate.to_vec()))
            .collect(),
        serial,
        not_before: lifetime.not_before,
        not_after: lifetime.not_after,
    })
}

/// The name of the signing authority with a number as the organizational unit. SPIRE numbers an
/// authority below an intermediate as one below a root; here the number is the depth, so that in no
/// chain two authorities have the same name.
fn subject_below(authority: &X509Authority) -> DistinguishedName {
    let depth = authority.upstream_chain().len() + 1;
    let mut name = authority.issuer().distinguished_name.clone();
    name.push(
        DnType::OrganizationalUnitName,
        name::text(&format!("DOWNSTREAM-{depth}")),
    );
    name
}

/// A request (PKCS#10 in DER) for an authority of `trust_domain` with the key of `signer`, as it is
/// sent to an upstream. Without a `subject` it asks to be `C=US, O=SPIFFE`.
///
/// # Errors
/// [`X509Error`] says which step failed.
pub async fn ca_request(
    trust_domain: &TrustDomain,
    subject: Option<Subject>,
    signer: &dyn Signer,
) -> Result<Vec<u8>, X509Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name::encode(&template::configured_subject(subject))
        .map_err(template::TemplateError::from)?;
    params
        .subject_alt_names
        .push(template::uri(&trust_domain.id())?);
    let made = bridge::sign(signer, |key: &IssuerKey<'_>| {
        params
            .serialize_request(&key)
            .map(|request| request.der().to_vec())
    });
    Ok(made.await?)
}
