//! The `jwt_alternative` block of `server`, which SPIRE does not have: a second JWT key, for relying
//! parties that verify only another kind of signature.

use signet_config::{Key, Section, Unknown};
use signet_crypto::KeyType;

use super::server::KEY_TYPES;
use crate::authority::{Audiences, Pattern};

const KEYS: [Key; 2] = [Key::implemented("key_type"), Key::implemented("audiences")];

/// The second JWT key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtAlternativeSettings {
    /// `key_type`.
    pub key_type: KeyType,
    /// `audiences`: tokens for these, and for nobody else, are signed with it. `*` is any text.
    pub audiences: Audiences,
}

pub(super) fn read(server: &Section<'_>) -> Option<JwtAlternativeSettings> {
    let block = server.block("jwt_alternative");
    block.check(&[&KEYS], Unknown::Refused);
    if !KEYS.iter().any(|key| block.is_set(key.name)) {
        return None;
    }
    let key_type = block.required_string("key_type");
    let key_type = key_type.and_then(|_| block.choice("key_type", &KEY_TYPES));
    let parse = |text: &str| text.parse::<Pattern>();
    let audiences = block.parsed_list("audiences", parse);
    if audiences.is_empty() && !block.is_set("audiences") {
        block.problem("audiences", "is required: for whom the second key signs");
    }
    Some(JwtAlternativeSettings {
        key_type: key_type?,
        audiences: Audiences::new(audiences),
    })
}
