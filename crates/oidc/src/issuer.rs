//! An issuer's name, which is a URL (OpenID Connect Discovery 1.0 section 3).

use std::fmt;

use http::Uri;

/// Longest URL read: those of real issuers and their keys are below 200 bytes.
const MAX_URL_LEN: usize = 1024;

/// The name of an issuer: compared byte for byte with what documents and tokens say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerUrl(String);

/// Why a text cannot be the URL of an issuer or of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Over the limit.
    #[error("the URL is longer than {MAX_URL_LEN} bytes")]
    TooLong,
    /// No URL with a host.
    #[error("it is not a URL")]
    Malformed,
    /// Another scheme.
    #[error("the URL must begin with https://")]
    NotHttps,
    /// It holds a user, a query or a fragment.
    #[error("the URL must hold no user, query or fragment")]
    Extra,
}

impl IssuerUrl {
    /// Reads an issuer's URL: `https`, without user, query and fragment.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        https(text)?;
        match text.contains('?') {
            true => Err(UrlError::Extra),
            false => Ok(Self(text.to_owned())),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, without the port.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// Where its discovery document is (section 4: a slash at the end is left out).
    #[must_use]
    pub fn discovery_url(&self) -> String {
        let base = self.0.strip_suffix('/').unwrap_or(&self.0);
        format!("{base}/.well-known/openid-configuration")
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL that keys may be fetched from.
pub(crate) fn https(text: &str) -> Result<Uri, UrlError> {
    if text.len() > MAX_URL_LEN {
        return Err(UrlError::TooLong);
    }
    let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
    // The parser takes a scheme in any case; issuers are compared byte for byte.
    if !text.starts_with("https://") {
        return Err(UrlError::NotHttps);
    }
    let authority = uri.authority().ok_or(UrlError::Malformed)?;
    if authority.host().is_empty() {
        return Err(UrlError::Malformed);
    }
    // The parser drops a fragment without a word.
    match authority.as_str().contains('@') || text.contains('#') {
        true => Err(UrlError::Extra),
        false => Ok(uri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_under_the_path_whether_or_not_it_ends_with_a_slash() {
        for (issuer, document) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example:8443/b/c/",
                "https://a.example:8443/b/c/.well-known/openid-configuration",
            ),
        ] {
            let issuer = IssuerUrl::parse(issuer).unwrap();
            assert_eq!(issuer.discovery_url(), document);
            assert_eq!(issuer.host(), "a.example");
        }
    }

    #[test]
    fn what_is_no_plain_https_url_is_refused() {
        for (text, why) in [
            ("", UrlError::Malformed),
            ("a.example", UrlError::NotHttps),
            ("http://a.example", UrlError::NotHttps),
            ("HTTP://a.example", UrlError::NotHttps),
            ("HTTPS://a.example", UrlError::NotHttps),
            ("htTps://a.example", UrlError::NotHttps),
            ("file:///etc/passwd", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https:///path", UrlError::Malformed),
            ("https://a@b.example", UrlError::Extra),
            ("https://a.example?x", UrlError::Extra),
            ("https://a.example/#x", UrlError::Extra),
            ("https://a.example/ x", UrlError::Malformed),
        ] {
            assert_eq!(IssuerUrl::parse(text), Err(why), "{text:?}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MAX_URL_LEN));
        assert_eq!(IssuerUrl::parse(&long), Err(UrlError::TooLong));
    }
}
