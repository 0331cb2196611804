//! A virtual machine, and the names in resource IDs.

use std::collections::BTreeMap;

/// A virtual machine, as far as attestors tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The subscription it is in.
    pub subscription: String,
    /// The resource group it is in.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// The region it is in.
    pub location: String,
    /// The scale set it belongs to.
    pub scale_set: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Resource group and name of its security group.
    pub security_group: Option<(String, String)>,
    /// The subnets of its addresses.
    pub subnets: Vec<Subnet>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The resource group of its network.
    pub resource_group: String,
    /// Its network.
    pub network: String,
    /// Its name.
    pub name: String,
}

/// The ID of a resource:
/// `/subscriptions/<id>/resourceGroups/<name>/providers/<provider>/<type>/<name>[/<type>/<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceId<'i> {
    text: &'i str,
}

/// Longest ID read: resource groups have 90, other names 80 characters.
const MAX_LEN: usize = 1024;

impl<'i> ResourceId<'i> {
    /// Reads an ID. It may stand in the path of a URL.
    #[must_use]
    pub fn parse(text: &'i str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._()/".contains(&byte);
        let segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let path = text.strip_prefix('/')?;
        let fits = text.len() <= MAX_LEN && text.bytes().all(plain) && path.split('/').all(segment);
        let id = Self { text };
        (fits && id.part("subscriptions").is_some()).then_some(id)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &'i str {
        self.text
    }

    /// What stands behind a type, whose case does not matter.
    #[must_use]
    pub fn part(&self, kind: &str) -> Option<&'i str> {
        let mut segments = self.text.split('/').skip(1);
        while let Some(found) = segments.next() {
            if found.eq_ignore_ascii_case("providers") {
                // The provider's name has no name behind it.
                segments.next();
                continue;
            }
            let name = segments.next()?;
            if found.eq_ignore_ascii_case(kind) {
                return Some(name);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBNET: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n";

    #[test]
    fn parts_are_found_by_their_type_whatever_its_case() {
        let id = ResourceId::parse(SUBNET).unwrap();
        assert_eq!(id.part("resourcegroups"), Some("g"));
        assert_eq!(id.part("virtualNetworks"), Some("v"));
        assert_eq!(id.part("SUBNETS"), Some("n"));
        assert_eq!(id.part("Microsoft.Network"), None);
    }

    #[test]
    fn what_would_be_another_url_is_no_id() {
        for bad in [
            "",
            "subscriptions/s",
            "/subscriptions",
            "/subscriptions/s/../../x",
            "/subscriptions//x",
            "/subscriptions/s?x",
            "/subscriptions/s%2fx",
            "/resourceGroups/g",
        ] {
            assert_eq!(ResourceId::parse(bad), None, "{bad}");
        }
    }
}
