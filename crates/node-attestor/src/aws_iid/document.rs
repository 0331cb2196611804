//! The identity document of an instance, read from verified bytes.

use serde::Deserialize;

use crate::json::{self, JsonError};

/// What a document says of its instance. Each value is plain: digits, letters and hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityDocument {
    /// Twelve digits.
    pub account_id: String,
    /// As `eu-west-1`.
    pub region: String,
    /// As `i-0123456789abcdef0`.
    pub instance_id: String,
    /// As `eu-west-1a`, where it is there.
    pub availability_zone: Option<String>,
    /// As `ami-0123456789abcdef0`, where it is there.
    pub image_id: Option<String>,
}

/// Why signed bytes are no identity document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Not JSON of this form.
    #[error("the identity document is not JSON of the expected form")]
    Json(#[source] JsonError),
    /// A value has another form than AWS gives it.
    #[error("{0} of the identity document has another form than AWS gives it")]
    Value(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    account_id: String,
    region: String,
    instance_id: String,
    availability_zone: Option<String>,
    image_id: Option<String>,
}

impl IdentityDocument {
    /// Reads a document. Only [`verify`](super::verify) calls it, on what was verified.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let wire: Wire = json::read(bytes).map_err(DocumentError::Json)?;
        let is_account = wire.account_id.len() == 12 && wire.account_id.bytes().all(is_digit);
        let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
        let document = Self {
            account_id: wire.account_id,
            region: wire.region,
            instance_id: wire.instance_id,
            availability_zone: filled(wire.availability_zone),
            image_id: filled(wire.image_id),
        };
        let optional = |value: &Option<String>| value.as_deref().is_none_or(is_plain);
        for (fits, name) in [
            (is_account, "accountId"),
            (is_plain(&document.region), "region"),
            (is_plain(&document.instance_id), "instanceId"),
            (optional(&document.availability_zone), "availabilityZone"),
            (optional(&document.image_id), "imageId"),
        ] {
            if !fits {
                return Err(DocumentError::Value(name));
            }
        }
        Ok(document)
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Lowercase letters, digits and hyphens, at most 64: what all of AWS's names here are made of.
fn is_plain(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || is_digit(byte) || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_allowed)
}
