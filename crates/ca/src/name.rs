//! Distinguished names on their way into rcgen, which keeps one value of each attribute.

use rcgen::string::PrintableString;
use rcgen::{DistinguishedName, DnType, DnValue};
use signet_model::approve::{Attribute, Subject};
use x509_parser::x509::X509Name;

/// Why a name cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has two values of one attribute.
    #[error("the name has two values of one attribute; only one of each is possible")]
    Repeated,
    /// The name has several attributes in one of its parts.
    #[error("the name has a part of several attributes, which is not possible")]
    MultiValued,
    /// A value is of a text type that cannot be written again as it was.
    #[error("the name has a value that is neither printable nor UTF-8 text")]
    TextType,
}

/// `subject` as rcgen writes it.
pub(crate) fn encode(subject: &Subject) -> Result<DistinguishedName, NameError> {
    let mut name = DistinguishedName::new();
    for (attribute, value) in subject.attributes() {
        push(&mut name, dn_type(attribute), text(value))?;
    }
    Ok(name)
}

/// The name of an existing authority, so that it can stand as an issuer exactly as it is.
pub(crate) fn reencode(parsed: &X509Name<'_>) -> Result<DistinguishedName, NameError> {
    let mut name = DistinguishedName::new();
    for part in parsed.iter() {
        let mut attributes = part.iter();
        let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
            return Err(NameError::MultiValued);
        };
        let oid = attribute
            .attr_type()
            .iter()
            .ok_or(NameError::TextType)?
            .collect::<Vec<u64>>();
        let value = attribute.as_str().map_err(|_| NameError::TextType)?;
        push(
            &mut name,
            DnType::from_oid(&oid),
            typed(attribute.attr_value().tag().0, value)?,
        )?;
    }
    Ok(name)
}

fn push(name: &mut DistinguishedName, attribute: DnType, value: DnValue) -> Result<(), NameError> {
    if name.get(&attribute).is_some() {
        return Err(NameError::Repeated);
    }
    name.push(attribute, value);
    Ok(())
}

/// Printable if it can be, as Go and hence SPIRE writes it, else UTF-8.
pub(crate) fn text(value: &str) -> DnValue {
    PrintableString::try_from(value).map_or_else(
        |_| DnValue::Utf8String(value.to_owned()),
        DnValue::PrintableString,
    )
}

/// The text types of RFC 5280 section 4.1.2.4 that an authority of today uses.
fn typed(tag: u32, value: &str) -> Result<DnValue, NameError> {
    const UTF8_STRING: u32 = 12;
    const PRINTABLE_STRING: u32 = 19;
    const IA5_STRING: u32 = 22;
    match tag {
        UTF8_STRING => Ok(DnValue::Utf8String(value.to_owned())),
        PRINTABLE_STRING => value
            .try_into()
            .map(DnValue::PrintableString)
            .map_err(|_| NameError::TextType),
        IA5_STRING => value
            .try_into()
            .map(DnValue::Ia5String)
            .map_err(|_| NameError::TextType),
        _ => Err(NameError::TextType),
    }
}

fn dn_type(attribute: Attribute) -> DnType {
    match attribute {
        Attribute::Country => DnType::CountryName,
        Attribute::Organization => DnType::OrganizationName,
        Attribute::OrganizationalUnit => DnType::OrganizationalUnitName,
        Attribute::Locality => DnType::LocalityName,
        Attribute::Province => DnType::StateOrProvinceName,
        Attribute::StreetAddress => DnType::CustomDnType(vec![2, 5, 4, 9]),
        Attribute::PostalCode => DnType::CustomDnType(vec![2, 5, 4, 17]),
        Attribute::SerialNumber => DnType::CustomDnType(vec![2, 5, 4, 5]),
        Attribute::CommonName => DnType::CommonName,
        Attribute::UniqueIdentifier => DnType::CustomDnType(vec![2, 5, 4, 45]),
    }
}
