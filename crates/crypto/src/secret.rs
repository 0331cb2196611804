//! Secrets that wipe themselves when dropped and do not print, compare or clone by accident.

use std::fmt;

use zeroize::Zeroizing;

const HIDDEN: &str = "[secret]";

/// Secret bytes: a private key's encoding, a shared secret.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership; the bytes are wiped when this is dropped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves. Every call site is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Secret text: a join token, a password, a private key in PEM.
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes ownership; the text is wiped when this is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Every call site is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A secret of a configuration, held by several at once. Two are equal if they are one: the text is
/// never compared.
#[derive(Clone)]
pub struct SharedSecret(std::sync::Arc<SecretString>);

impl SharedSecret {
    /// Takes ownership; the text is wiped when the last copy is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(std::sync::Arc::new(SecretString::new(text)))
    }

    /// The text itself. Every call site is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl PartialEq for SharedSecret {
    fn eq(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedSecret {}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let bytes = format!("{:?}", SecretBytes::new(b"hunter2".to_vec()));
        let text = format!("{:?}", SecretString::new("hunter2".to_owned()));
        assert_eq!((bytes.as_str(), text.as_str()), ("[secret]", "[secret]"));
    }
}
