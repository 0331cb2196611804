//! Workload API messages as protobuf JSON.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use serde_json::{Map, Number, Value, json};
use signet_cli::json::{bytes, list};
use signet_proto::workload::{
    JwtBundlesResponse, Jwtsvid, JwtsvidResponse, X509svid, X509svidResponse,
};

pub(super) fn x509_response(response: &X509svidResponse) -> Value {
    json!({
        "svids": list(&response.svids, x509_svid),
        "crl": list(&response.crl, |crl| bytes(crl)),
        "federated_bundles": byte_map(&response.federated_bundles),
    })
}

fn x509_svid(svid: &X509svid) -> Value {
    json!({
        "spiffe_id": svid.spiffe_id,
        "x509_svid": bytes(&svid.x509_svid),
        "x509_svid_key": bytes(&svid.x509_svid_key),
        "bundle": bytes(&svid.bundle),
        "hint": svid.hint,
    })
}

pub(super) fn jwt_response(response: &JwtsvidResponse) -> Value {
    json!({ "svids": list(&response.svids, jwt_svid) })
}

fn jwt_svid(svid: &Jwtsvid) -> Value {
    json!({ "spiffe_id": svid.spiffe_id, "svid": svid.svid, "hint": svid.hint })
}

pub(super) fn jwt_bundles(response: &JwtBundlesResponse) -> Value {
    json!({ "bundles": byte_map(&response.bundles) })
}

fn byte_map(map: &BTreeMap<String, prost::bytes::Bytes>) -> Value {
    let fields = map.iter().map(|(key, value)| (key.clone(), bytes(value)));
    Value::Object(fields.collect())
}

/// `google.protobuf.Struct` is plain JSON.
pub(super) fn object(fields: &prost_types::Struct) -> Value {
    let fields = fields.fields.iter();
    Value::Object(
        fields
            .map(|(key, value)| (key.clone(), any(value)))
            .collect::<Map<_, _>>(),
    )
}

fn any(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => whole_or_not(*number),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::BoolValue(bool)) => (*bool).into(),
        Some(Kind::StructValue(fields)) => object(fields),
        Some(Kind::ListValue(items)) => items.values.iter().map(any).collect(),
    }
}

/// Times are whole numbers and should look like it, though the wire knows only floats.
fn whole_or_not(number: f64) -> Value {
    // Beyond this, a float no longer tells one whole number from the next.
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(whole_or_not(1_769_860_800.0).to_string(), "1769860800");
        assert_eq!(whole_or_not(0.5).to_string(), "0.5");
        assert_eq!(whole_or_not(f64::NAN), Value::Null);
    }
}
