//! Names of objects, which become parts of URLs.

use std::fmt;

/// The longest name of an object: a DNS subdomain (Kubernetes, "Object Names and IDs").
const MAX_BYTES: usize = 253;

/// A name that cannot lead a request elsewhere: lower-case letters, digits, `-` and `.`, with a letter
/// or digit at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// A text that names no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a Kubernetes object")]
pub struct NameError;

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NameError`] if it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = bytes.len() <= MAX_BYTES
            && bytes.first().is_some_and(is_end)
            && bytes.last().is_some_and(is_end)
            && bytes
                .iter()
                .all(|byte| is_end(byte) || matches!(byte, b'-' | b'.'));
        fits.then(|| Self(text.to_owned())).ok_or(NameError)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_subdomain() {
        for good in ["a", "agent-x7k2p", "ip-10-0-0-1.internal", &"x".repeat(253)] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_would_lead_a_url_elsewhere_is_no_name() {
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "a?b",
            "a#",
            "a%2f",
            "A",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(254),
        ] {
            assert_eq!(Name::parse(bad), Err(NameError), "{bad:?}");
        }
    }
}
