//! What is written into certificates: SPIRE's templates, on which relying parties may count.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};
use signet_crypto::Random;
use signet_model::approve::{Attribute, CaGrant, Subject, X509Grant};
use signet_model::compose::Extension;
use signet_spiffe::{PublicKey, Serial, SpiffeId};

use crate::name::{self, NameError};

/// Bytes of a serial number: 128 bits, as RFC 5280 section 4.1.2.2 leaves room for and SPIRE takes.
const SERIAL_LEN: usize = 16;

/// Why a certificate cannot be written as approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The subject or issuer cannot be written.
    #[error("the distinguished name cannot be written")]
    Name(#[from] NameError),
    /// A SPIFFE ID or DNS name is not ASCII.
    #[error("an alternative name is not ASCII")]
    AltName,
}

/// A serial number: random, and not zero.
pub(crate) fn serial(random: &dyn Random) -> Serial {
    let mut bytes = [0; SERIAL_LEN];
    while bytes == [0; SERIAL_LEN] {
        random.fill(&mut bytes);
    }
    Serial::from_bytes(&bytes)
}

/// The certificate of a server, agent or workload.
pub(crate) fn svid(grant: &X509Grant, serial: &Serial) -> Result<CertificateParams, TemplateError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = grant.lifetime.not_before.into();
    params.not_after = grant.lifetime.not_after.into();
    params.distinguished_name = name::encode(&grant.subject)?;
    params.is_ca = IsCa::ExplicitNoCa;
    // keyEncipherment and keyAgreement mean nothing for most keys, but SPIRE sets them on all.
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyAgreement,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.subject_alt_names.push(uri(&grant.spiffe_id)?);
    for dns_name in &grant.dns_names {
        let name = dns_name
            .as_str()
            .try_into()
            .map_err(|_| TemplateError::AltName)?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.key_identifier_method = key_id(&grant.public_key);
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = grant.extensions.iter().map(further).collect();
    Ok(params)
}

/// The certificate of an authority that signs itself.
pub(crate) fn self_signed(
    id: &SpiffeId,
    subject: &Subject,
    serial: &Serial,
    public_key: &PublicKey,
    extensions: &[Extension],
    (not_before, not_after): (SystemTime, SystemTime),
) -> Result<CertificateParams, TemplateError> {
    let mut params = authority(id, serial, public_key, (not_before, not_after))?;
    params.distinguished_name = name::encode(subject)?;
    params.custom_extensions = extensions.iter().map(further).collect();
    Ok(params)
}

/// The certificate of a downstream server's authority.
pub(crate) fn downstream_ca(
    grant: &CaGrant,
    subject: DistinguishedName,
    serial: &Serial,
) -> Result<CertificateParams, TemplateError> {
    let validity = (grant.lifetime.not_before, grant.lifetime.not_after);
    let id = grant.trust_domain.id();
    let mut params = authority(&id, serial, &grant.public_key, validity)?;
    params.distinguished_name = subject;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What all authorities have; without a path length, so that they may stand above each other.
fn authority(
    id: &SpiffeId,
    serial: &Serial,
    public_key: &PublicKey,
    (not_before, not_after): (SystemTime, SystemTime),
) -> Result<CertificateParams, TemplateError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names.push(uri(id)?);
    params.key_identifier_method = key_id(public_key);
    Ok(params)
}

/// The subject of an authority: as configured, or `C=US, O=SPIFFE`. The certificate's serial number
/// makes it unique, so that the authorities of several servers are told apart by name.
pub(crate) fn authority_subject(configured: Option<Subject>, serial: &Serial) -> Subject {
    let configured = configured_subject(configured);
    let named = configured
        .attributes()
        .any(|(kind, _)| kind == Attribute::SerialNumber);
    let number = (!named).then(|| (Attribute::SerialNumber, serial.to_string()));
    Subject::new(
        configured
            .attributes()
            .map(|(kind, value)| (kind, value.to_owned()))
            .chain(number),
    )
}

/// An extension that a composer added.
fn further(extension: &Extension) -> CustomExtension {
    let mut written =
        CustomExtension::from_oid_content(extension.oid(), extension.value().to_vec());
    written.set_criticality(extension.critical());
    written
}

/// As configured, or `C=US, O=SPIFFE`.
pub(crate) fn configured_subject(configured: Option<Subject>) -> Subject {
    configured
        .filter(|subject| !subject.is_empty())
        .unwrap_or_else(Subject::authority)
}

/// The subject key identifier: RFC 5280 section 4.2.1.2 method 1.
fn key_id(public_key: &PublicKey) -> KeyIdMethod {
    KeyIdMethod::PreSpecified(public_key.subject_key_id().to_vec())
}

pub(crate) fn uri(id: &SpiffeId) -> Result<SanType, TemplateError> {
    id.to_string()
        .try_into()
        .map(SanType::URI)
        .map_err(|_| TemplateError::AltName)
}
