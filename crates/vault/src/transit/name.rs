//! The names of transit keys: `<identifier>.<id>.<number>`.
//!
//! Transit takes letters, digits, `_`, `-` and `.`; what else stands in an identifier or id, and these
//! two that have a meaning here, becomes `_` and two hexadecimal digits. So names of one server are
//! never another's, and an id comes back as it was.

use std::fmt::Write;

use crate::Identifier;

/// The names of one server's keys.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn of(identifier: &Identifier) -> Self {
        Self {
            prefix: format!("{}.", escape(identifier.as_str())),
        }
    }

    pub(super) fn key(&self, id: &str, number: u64) -> String {
        format!("{}{}.{number}", self.prefix, escape(id))
    }

    /// Id and number, if it is the name of one of this server's keys.
    pub(super) fn parse(&self, name: &str) -> Option<(String, u64)> {
        let (id, number) = name.strip_prefix(&self.prefix)?.rsplit_once('.')?;
        let (id, number) = (unescape(id)?, number.parse().ok()?);
        // Only what we wrote: not `+1`, `01` or `_41`.
        (self.key(&id, number) == name).then_some((id, number))
    }
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => out.push(char::from(byte)),
            _ => write!(out, "_{byte:02x}").expect("writing to a String cannot fail"),
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut pieces = text.split('_');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(identifier: &str) -> Names {
        Names::of(&identifier.parse().unwrap())
    }

    #[test]
    fn an_id_comes_back_from_its_name() {
        let names = names("a.b_c/d");
        for id in ["x509-CA-A", "", "bundle.acme_1", "ü/%", "a..b", "_", "-"] {
            for number in [1, 9, 10, u64::MAX] {
                let name = names.key(id, number);
                let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
                assert!(name.chars().all(plain), "{name}");
                assert_eq!(names.parse(&name), Some((id.to_owned(), number)));
            }
        }
        assert_eq!(names.key("x509-CA-A", 2), "a_2eb_5fc_2fd.x509-CA-A.2");
    }

    #[test]
    fn names_of_others_are_not_ours() {
        let names = names("one");
        for name in [
            "x509-CA-A",
            "two.x509-CA-A.1",
            "one-more.x509-CA-A.1",
            "one.x509-CA-A",
            "one.x509-CA-A.",
            "one.x509-CA-A.01",
            "one.x509-CA-A.+1",
            "one.x509-CA-A.-1",
            "one.x509-CA-A.18446744073709551616",
            "one._41.1",
            "one._zz.1",
            "one._4.1",
            "one._ff.1",
            "one.a.b.1",
        ] {
            assert_eq!(names.parse(name), None, "{name}");
        }
    }
}
