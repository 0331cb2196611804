//! What tells the keys of one server from those of others on the same token.

use std::str::FromStr;

/// Some tokens keep 64 bytes of a label, and the key's own name needs a few of them.
const MAX_LEN: usize = 40;

/// The first part of the labels of a server's keys: `IDENTIFIER/KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier(String);

/// The text is no [`Identifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("should be 1 to {MAX_LEN} letters, digits, dots, hyphens and underscores")]
pub struct IdentifierError;

impl Identifier {
    /// The label of the key `id`.
    pub(crate) fn label(&self, id: &str) -> String {
        format!("{}/{id}", self.0)
    }
}

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let fits = (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned())).ok_or(IdentifierError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_uuids_are_identifiers() {
        for text in [
            "a",
            "Server_1.eu-west",
            "0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
        ] {
            let identifier: Identifier = text.parse().unwrap();
            assert_eq!(identifier.label("x509-CA-A"), format!("{text}/x509-CA-A"));
        }
    }

    #[test]
    fn what_would_mix_labels_up_is_refused() {
        for text in ["", "a/b", "a b", "ä", &"a".repeat(41)] {
            assert_eq!(text.parse::<Identifier>(), Err(IdentifierError), "{text:?}");
        }
    }
}
