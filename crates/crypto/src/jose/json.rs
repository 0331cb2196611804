//! JSON in which no object has the same member twice.
//!
//! RFC 7515 section 4 and RFC 7519 section 4 let a parser refuse duplicates or take the last one.
//! Two programs that choose differently read two different tokens, so duplicates are refused at
//! every depth.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Not JSON, or a member appears twice. Says nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed JSON or a duplicate member at line {line}, column {column}")]
pub struct JsonError {
    /// From 1; 0 at an unexpected end.
    pub line: usize,
    /// From 1; 0 at an unexpected end.
    pub column: usize,
}

/// Parses `bytes`, refusing duplicate members. Depth is bounded by serde_json (128); the caller
/// bounds the length.
pub fn parse_unique(bytes: &[u8]) -> Result<Value, JsonError> {
    serde_json::from_slice::<Unique>(bytes)
        .map(|unique| unique.0)
        .map_err(|error| JsonError {
            line: error.line(),
            column: error.column(),
        })
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_serde_json_reads_it() {
        let text = br#"{"a":[1,-2,3.5,"x",null,true],"b":{"a":18446744073709551615}}"#;
        let plain: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(parse_unique(text).unwrap(), plain);
    }

    #[test]
    fn a_duplicate_member_is_refused_at_any_depth() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            assert!(parse_unique(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn broken_or_trailing_or_deep_json_is_refused() {
        let deep = "[".repeat(100_000);
        for bad in ["", "{", "{} {}", "nul", deep.as_str()] {
            assert!(parse_unique(bad.as_bytes()).is_err());
        }
    }
}
