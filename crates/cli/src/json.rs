//! Messages as protobuf JSON in the form SPIRE prints: snake_case, zero values kept, 64-bit numbers
//! as strings, bytes as base64, an absent message as `null`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use signet_proto::spire::types;

/// Bytes in standard base64.
pub fn bytes(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

/// A 64-bit number, which JSON readers may round when it is no string.
pub fn long(number: impl ToString) -> Value {
    number.to_string().into()
}

/// A message that may be absent.
pub fn optional<T>(message: Option<&T>, encode: impl Fn(&T) -> Value) -> Value {
    message.map_or(Value::Null, encode)
}

/// A repeated field.
pub fn list<T>(items: &[T], encode: impl Fn(&T) -> Value) -> Value {
    items.iter().map(encode).collect()
}

/// A response with `results`, each a status and what the item is about.
pub fn results<T>(
    items: &[T],
    status_of: impl Fn(&T) -> Option<&types::Status>,
    name: &str,
    encode: impl Fn(&T) -> Value,
) -> Value {
    let result = |item: &T| {
        let mut fields = Map::new();
        fields.insert("status".into(), optional(status_of(item), status));
        fields.insert(name.into(), encode(item));
        Value::Object(fields)
    };
    json!({ "results": list(items, result) })
}

/// `spire.api.types.SPIFFEID`.
pub fn spiffe_id(id: &types::Spiffeid) -> Value {
    json!({ "trust_domain": id.trust_domain, "path": id.path })
}

/// `spire.api.types.Status`.
pub fn status(status: &types::Status) -> Value {
    json!({ "code": status.code, "message": status.message })
}

/// `spire.api.types.Selector`.
pub fn selector(selector: &types::Selector) -> Value {
    json!({ "type": selector.r#type, "value": selector.value })
}

/// `spire.api.types.Entry`.
pub fn entry(entry: &types::Entry) -> Value {
    let mut object = json!({
        "id": entry.id,
        "spiffe_id": optional(entry.spiffe_id.as_ref(), spiffe_id),
        "parent_id": optional(entry.parent_id.as_ref(), spiffe_id),
        "selectors": list(&entry.selectors, selector),
        "x509_svid_ttl": entry.x509_svid_ttl,
        "federates_with": entry.federates_with,
        "admin": entry.admin,
        "downstream": entry.downstream,
        "expires_at": long(entry.expires_at),
        "dns_names": entry.dns_names,
        "revision_number": long(entry.revision_number),
        "store_svid": entry.store_svid,
        "jwt_svid_ttl": entry.jwt_svid_ttl,
        "hint": entry.hint,
        "created_at": long(entry.created_at),
    });
    // An `optional` field is left out, where a plain message field would be null.
    if let Some(attributes) = &entry.additional_attributes {
        object["additional_attributes"] = json!({
            "disable_x509_svid_prefetch": attributes.disable_x509_svid_prefetch,
            "jwt_svid_include_jti": attributes.jwt_svid_include_jti,
        });
    }
    object
}

/// `spire.api.types.Agent`.
pub fn agent(agent: &types::Agent) -> Value {
    json!({
        "id": optional(agent.id.as_ref(), spiffe_id),
        "attestation_type": agent.attestation_type,
        "x509svid_serial_number": agent.x509svid_serial_number,
        "x509svid_expires_at": long(agent.x509svid_expires_at),
        "selectors": list(&agent.selectors, selector),
        "banned": agent.banned,
        "can_reattest": agent.can_reattest,
        "agent_version": agent.agent_version,
    })
}

/// `spire.api.types.Bundle`.
pub fn bundle(bundle: &types::Bundle) -> Value {
    let certificate = |certificate: &types::X509Certificate| json!({ "asn1": bytes(&certificate.asn1), "tainted": certificate.tainted });
    json!({
        "trust_domain": bundle.trust_domain,
        "x509_authorities": list(&bundle.x509_authorities, certificate),
        "jwt_authorities": list(&bundle.jwt_authorities, |key| {
            key_authority(&key.public_key, &key.key_id, key.expires_at, key.tainted)
        }),
        "refresh_hint": long(bundle.refresh_hint),
        "sequence_number": long(bundle.sequence_number),
        "wit_authorities": list(&bundle.wit_authorities, |key| {
            key_authority(&key.public_key, &key.key_id, key.expires_at, key.tainted)
        }),
    })
}

fn key_authority(public_key: &[u8], key_id: &str, expires_at: i64, tainted: bool) -> Value {
    json!({
        "public_key": bytes(public_key),
        "key_id": key_id,
        "expires_at": long(expires_at),
        "tainted": tainted,
    })
}

/// `spire.api.types.JoinToken`.
pub fn join_token(token: &types::JoinToken) -> Value {
    json!({ "value": token.value, "expires_at": long(token.expires_at) })
}

/// `spire.api.types.JWTSVID`.
pub fn jwt_svid(svid: &types::Jwtsvid) -> Value {
    json!({
        "token": svid.token,
        "id": optional(svid.id.as_ref(), spiffe_id),
        "expires_at": long(svid.expires_at),
        "issued_at": long(svid.issued_at),
        "hint": svid.hint,
    })
}

/// `spire.api.types.WITSVID`.
pub fn wit_svid(svid: &types::Witsvid) -> Value {
    json!({
        "token": svid.token,
        "id": optional(svid.id.as_ref(), spiffe_id),
        "expires_at": long(svid.expires_at),
        "issued_at": long(svid.issued_at),
        "hint": svid.hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_entry_has_every_field_but_the_optional_one() {
        let expected = json!({
            "id": "", "spiffe_id": null, "parent_id": null, "selectors": [], "x509_svid_ttl": 0,
            "federates_with": [], "admin": false, "downstream": false, "expires_at": "0",
            "dns_names": [], "revision_number": "0", "store_svid": false, "jwt_svid_ttl": 0,
            "hint": "", "created_at": "0",
        });
        assert_eq!(entry(&types::Entry::default()), expected);
    }

    #[test]
    fn attributes_are_shown_when_set() {
        let message = types::Entry {
            additional_attributes: Some(Default::default()),
            ..Default::default()
        };
        assert_eq!(
            entry(&message)["additional_attributes"],
            json!({ "disable_x509_svid_prefetch": false, "jwt_svid_include_jti": false })
        );
    }

    #[test]
    fn a_bundle_has_base64_bytes_and_string_numbers() {
        let message = types::Bundle {
            trust_domain: "example.org".into(),
            x509_authorities: vec![types::X509Certificate {
                asn1: vec![0xfb, 0xff].into(),
                tainted: true,
            }],
            sequence_number: u64::MAX,
            ..Default::default()
        };
        let expected = json!({
            "trust_domain": "example.org",
            "x509_authorities": [{ "asn1": "+/8=", "tainted": true }],
            "jwt_authorities": [], "refresh_hint": "0",
            "sequence_number": "18446744073709551615", "wit_authorities": [],
        });
        assert_eq!(bundle(&message), expected);
    }

    #[test]
    fn an_agent_keeps_spires_odd_names() {
        let agent = agent(&types::Agent::default());
        assert_eq!(agent["x509svid_serial_number"], "");
        assert_eq!(agent["x509svid_expires_at"], "0");
    }

    #[test]
    fn a_result_without_status_is_null() {
        let items = [(None, "a"), (Some(types::Status::default()), "b")];
        let json = results(&items, |item| item.0.as_ref(), "id", |item| item.1.into());
        let expected = json!({ "results": [
            { "status": null, "id": "a" },
            { "status": { "code": 0, "message": "" }, "id": "b" },
        ]});
        assert_eq!(json, expected);
    }
}
