//! Where a Vault is, and what is told to it.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::PathAndQuery;
pub use signet_crypto::SharedSecret as Secret;
use signet_http::Roots;

use crate::Auth;

/// How to speak to a Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// The namespace that all paths are in.
    pub namespace: Option<Mount>,
    /// What verifies its certificate.
    pub roots: Roots,
    /// How a token is had.
    pub auth: Auth,
}

/// The URL of a Vault, as `VAULT_ADDR` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Without a slash at the end.
    base: String,
    plain: bool,
}

/// The text is no address of a Vault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No URL at all.
    #[error("is no URL such as https://vault.example.org:8200")]
    NotUrl,
    /// Neither `https` nor `http`.
    #[error("must start with https:// or http://")]
    Scheme,
    /// User and password have no meaning here, and would end up in logs.
    #[error("must not carry a user name")]
    UserInfo,
    /// A query has no meaning here.
    #[error("must not carry a query")]
    Query,
}

impl Address {
    /// Whether the URL is `http`: whoever is on the way sees the token.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The URL of a path below `/v1/`. Paths are made here, of checked parts.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::NotUrl)?;
        let plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            _ => return Err(AddressError::Scheme),
        };
        let authority = uri.authority().ok_or(AddressError::NotUrl)?;
        if authority.host().is_empty() {
            return Err(AddressError::NotUrl);
        }
        if authority.as_str().contains('@') {
            return Err(AddressError::UserInfo);
        }
        if uri.path_and_query().and_then(PathAndQuery::query).is_some() {
            return Err(AddressError::Query);
        }
        let scheme = if plain { "http" } else { "https" };
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            base: format!("{scheme}://{authority}{path}"),
            plain,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// Where an engine or auth method is mounted, or a namespace: words with slashes between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount(String);

/// The text is no path of a mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a path of letters, digits, \"-\", \"_\" and \".\", with \"/\" between")]
pub struct MountError;

/// Longest path taken: it stands in every URL.
const MAX_MOUNT: usize = 256;

impl FromStr for Mount {
    type Err = MountError;

    fn from_str(text: &str) -> Result<Self, MountError> {
        let path = text.trim_matches('/');
        let usable = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let word = |word: &str| !matches!(word, "" | "." | "..") && word.chars().all(usable);
        let fits = path.len() <= MAX_MOUNT && path.split('/').all(word);
        fits.then(|| Self(path.to_owned())).ok_or(MountError)
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_with_or_without_a_path() {
        for (text, url) in [
            ("https://v.example:8200", "https://v.example:8200/v1/sys"),
            ("https://v.example/", "https://v.example/v1/sys"),
            ("https://[::1]:1/proxy/", "https://[::1]:1/proxy/v1/sys"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.url("sys"), url);
            assert!(!address.is_plain());
        }
        assert!(
            "http://127.0.0.1:8200"
                .parse::<Address>()
                .unwrap()
                .is_plain()
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        use AddressError as E;
        for (text, error) in [
            ("", E::NotUrl),
            ("vault.example", E::Scheme),
            ("ftp://vault.example", E::Scheme),
            ("https://", E::NotUrl),
            ("https://me:secret@vault.example", E::UserInfo),
            ("https://vault.example/?a=b", E::Query),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_mount_is_words_between_slashes() {
        let mount = |text: &str| text.parse::<Mount>().map(|mount| mount.to_string());
        assert_eq!(
            mount("/team-a/transit_2/").as_deref(),
            Ok("team-a/transit_2")
        );
        for text in ["", "/", "a//b", "a/../b", ".", "a?b", "a b", "ä", "a%2fb"] {
            assert_eq!(mount(text), Err(MountError), "{text}");
        }
        assert_eq!(mount(&"a".repeat(257)), Err(MountError));
    }

    #[test]
    fn a_secret_neither_prints_nor_compares() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, Secret::new("hunter2".to_owned()));
    }
}
