//! The distinguished name of a certificate.

use signet_spiffe::csr::Csr;

/// The longest common name: `ub-common-name`, RFC 5280 appendix A.1.
pub const MAX_COMMON_NAME_CHARS: usize = 64;

/// The attributes a subject may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `C`, 2.5.4.6.
    Country,
    /// `O`, 2.5.4.10.
    Organization,
    /// `OU`, 2.5.4.11.
    OrganizationalUnit,
    /// `L`, 2.5.4.7.
    Locality,
    /// `ST`, 2.5.4.8.
    Province,
    /// `STREET`, 2.5.4.9.
    StreetAddress,
    /// 2.5.4.17.
    PostalCode,
    /// 2.5.4.5: of the subject, not of the certificate.
    SerialNumber,
    /// `CN`, 2.5.4.3.
    CommonName,
    /// `x500UniqueIdentifier`, 2.5.4.45: never taken from a CSR.
    UniqueIdentifier,
}

impl Attribute {
    /// The attribute with this object identifier, if it is one that SPIRE carries over from a CSR.
    pub fn of_oid(oid: &[u64]) -> Option<Self> {
        match oid {
            [2, 5, 4, 6] => Some(Self::Country),
            [2, 5, 4, 10] => Some(Self::Organization),
            [2, 5, 4, 11] => Some(Self::OrganizationalUnit),
            [2, 5, 4, 7] => Some(Self::Locality),
            [2, 5, 4, 8] => Some(Self::Province),
            [2, 5, 4, 9] => Some(Self::StreetAddress),
            [2, 5, 4, 17] => Some(Self::PostalCode),
            [2, 5, 4, 5] => Some(Self::SerialNumber),
            [2, 5, 4, 3] => Some(Self::CommonName),
            _ => None,
        }
    }
}

/// A distinguished name: attributes in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject(Vec<(Attribute, String)>);

impl Subject {
    /// A name of these attributes.
    pub fn new(attributes: impl IntoIterator<Item = (Attribute, String)>) -> Self {
        Self(attributes.into_iter().collect())
    }

    /// The subject of SVIDs, `C=US, O=SPIRE`, on which relying parties' rules may be built.
    pub fn svid() -> Self {
        Self::new([
            (Attribute::Country, "US".to_owned()),
            (Attribute::Organization, "SPIRE".to_owned()),
        ])
    }

    /// The subject of authorities, `C=US, O=SPIFFE`, to which their serial number is added.
    pub fn authority() -> Self {
        Self::new([
            (Attribute::Country, "US".to_owned()),
            (Attribute::Organization, "SPIFFE".to_owned()),
        ])
    }

    /// The subject a CSR asks for; without one, the usual one. Attributes not known here are left
    /// out.
    pub fn of_csr(csr: &Csr) -> Self {
        let known = csr.subject.iter().filter_map(|attribute| {
            let kind = Attribute::of_oid(&attribute.oid)?;
            Some((kind, attribute.value.clone()))
        });
        let asked = Self::new(known);
        if asked.is_empty() {
            Self::svid()
        } else {
            asked
        }
    }

    /// With the first DNS name as its only common name. A DNS name too long for a common name stays
    /// a SAN, and the subject as it is.
    #[must_use]
    pub fn named_after(mut self, dns_names: &[String]) -> Self {
        let first = dns_names.first();
        if let Some(name) = first.filter(|name| name.chars().count() <= MAX_COMMON_NAME_CHARS) {
            self.0.retain(|(kind, _)| *kind != Attribute::CommonName);
            self.0.push((Attribute::CommonName, name.clone()));
        }
        self
    }

    /// With one more attribute at its end.
    #[must_use]
    pub fn with(mut self, attribute: Attribute, value: String) -> Self {
        self.0.push((attribute, value));
        self
    }

    /// Whether there is no attribute.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (Attribute, &str)> {
        self.0.iter().map(|(kind, value)| (*kind, value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common_names(subject: &Subject) -> Vec<&str> {
        let names = subject.attributes();
        names
            .filter(|(kind, _)| *kind == Attribute::CommonName)
            .map(|(_, name)| name)
            .collect()
    }

    #[test]
    fn the_first_dns_name_becomes_the_only_common_name() {
        let given = Subject::new([(Attribute::CommonName, "old".to_owned())]);
        let named = given.named_after(&["web".to_owned(), "api".to_owned()]);
        assert_eq!(common_names(&named), ["web"]);
    }

    #[test]
    fn without_dns_names_the_subject_stays() {
        assert_eq!(Subject::svid().named_after(&[]), Subject::svid());
    }

    #[test]
    fn a_dns_name_over_64_characters_is_no_common_name() {
        let fits = "a".repeat(32) + "." + &"b".repeat(31);
        let named = Subject::svid().named_after(std::slice::from_ref(&fits));
        assert_eq!(common_names(&named), [fits.as_str()]);
        assert_eq!(Subject::svid().named_after(&[fits + "c"]), Subject::svid());
    }
}
