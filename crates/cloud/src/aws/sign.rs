//! Signature Version 4: a request's signature with the secret key of an account.
//!
//! Everything of a request that matters goes into a canonical text; a key made of secret, day, region
//! and service signs its hash. Held against AWS's own published examples.

use std::fmt::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use signet_crypto::{hex, hmac_sha256, sha256};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::credentials::Credentials;

const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// Where and when a signature is good.
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    pub(crate) now: SystemTime,
}

/// Adds the headers of the signature. `host` must be a header already.
pub(crate) fn sign(request: &mut Request<Bytes>, credentials: &Credentials, scope: &Scope<'_>) {
    let moment = OffsetDateTime::from(scope.now)
        .format(MOMENT)
        .expect("every part of the format exists");
    put(request, "x-amz-date", &moment, false);
    if let Some(token) = &credentials.token {
        put(request, "x-amz-security-token", token.expose(), true);
    }
    let day = &moment[..8];
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let (names, canonical) = canonical(request);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{moment}\n{place}\n{}",
        hex(&sha256(canonical.as_bytes()))
    );
    let secret = format!("AWS4{}", credentials.secret.expose());
    let key = [day, scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| {
            hmac_sha256(&key, part.as_bytes()).to_vec()
        });
    let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id
    );
    put(request, "authorization", &authorization, true);
}

/// Names of the signed headers, and the canonical request.
fn canonical(request: &Request<Bytes>) -> (String, String) {
    let mut headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default().trim()))
        .collect();
    headers.sort_unstable();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let uri = request.uri();
    let mut query: Vec<_> = uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method(),
        encode_path(uri.path()),
        query.join("&")
    );
    for (name, value) in headers {
        writeln!(text, "{name}:{value}").expect("a String takes all");
    }
    let body = hex(&sha256(request.body()));
    write!(text, "\n{names}\n{body}").expect("a String takes all");
    (names, text)
}

/// Each segment of a path, already encoded for the URL, is encoded once more.
fn encode_path(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

/// Percent-encoding of all but the unreserved characters (RFC 3986 section 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes all");
        }
    }
    out
}

/// A header that cannot be one is left out, and AWS refuses the request.
fn put(request: &mut Request<Bytes>, name: &'static str, value: &str, secret: bool) {
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(secret);
        let name = HeaderName::from_static(name);
        request.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_crypto::SharedSecret;
    use std::time::{Duration, UNIX_EPOCH};

    fn example(method: &str, uri: &str) -> Request<Bytes> {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("host", "example.amazonaws.com");
        request.body(Bytes::new()).unwrap()
    }

    fn signature(mut request: Request<Bytes>) -> String {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret: SharedSecret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            token: None,
            expires_at: None,
        };
        let scope = Scope {
            region: "us-east-1",
            service: "service",
            // 30 August 2015, 12:36:00.
            now: UNIX_EPOCH + Duration::from_secs(1_440_938_160),
        };
        sign(&mut request, &credentials, &scope);
        let header = request.headers()["authorization"].to_str().unwrap();
        header.rsplit_once('=').unwrap().1.to_owned()
    }

    /// The cases `get-vanilla` and `get-vanilla-query-order-key-case` of AWS's test suite.
    #[test]
    fn signatures_agree_with_the_published_ones() {
        assert_eq!(
            signature(example("GET", "https://example.amazonaws.com/")),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert_eq!(
            signature(example(
                "GET",
                "https://example.amazonaws.com/?Param2=value2&Param1=value1"
            )),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
        assert_eq!(
            signature(example("POST", "https://example.amazonaws.com/")),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }

    #[test]
    fn all_but_unreserved_characters_are_encoded() {
        assert_eq!(encode("a-b._~/ü"), "a-b._~%2F%C3%BC");
    }
}
