//! DNS names of entries and of minted certificates.
//!
//! The rules are SPIRE's (lenient: any case, digits, `_`, addresses), without its holes: a space, a
//! `/`, a port or any other character that no host name has is refused.

use std::collections::HashSet;

/// The most DNS names one certificate may carry: each is a SAN in every handshake.
pub const MAX_NAMES: usize = 256;

/// The longest name, RFC 1035 section 2.3.4 (without the root's dot).
pub const MAX_NAME_BYTES: usize = 253;

/// The longest label, RFC 1035 section 2.3.4.
pub const MAX_LABEL_BYTES: usize = 63;

/// Why a DNS name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// More names than a certificate should carry.
    #[error("{count} DNS names given; the limit is {MAX_NAMES}")]
    TooMany {
        /// Names given.
        count: usize,
    },
    /// The name is empty.
    #[error("DNS name is empty")]
    Empty,
    /// The name is too long.
    #[error("DNS name has {length} bytes; the limit is {MAX_NAME_BYTES}")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
    /// The name ends with a dot.
    #[error("DNS name \"{name}\" ends with a dot")]
    TrailingDot {
        /// The name given.
        name: String,
    },
    /// Two dots in a row, or one in front.
    #[error("DNS name \"{name}\" has an empty label")]
    EmptyLabel {
        /// The name given.
        name: String,
    },
    /// A label is too long.
    #[error("DNS name \"{name}\" has a label of {length} bytes; the limit is {MAX_LABEL_BYTES}")]
    LabelTooLong {
        /// The name given.
        name: String,
        /// Bytes of the label.
        length: usize,
    },
    /// A label begins or ends with a hyphen, or has two as its third and fourth character without
    /// being an `xn--` label.
    #[error("DNS name \"{name}\" has a misplaced hyphen")]
    BadHyphen {
        /// The name given.
        name: String,
    },
    /// A `*` that is not the whole first label, or is all there is.
    #[error("DNS name \"{name}\": a wildcard must be the whole first label of a longer name")]
    BadWildcard {
        /// The name given.
        name: String,
    },
    /// A character that host names do not have.
    #[error("DNS name {name:?} contains {character:?}")]
    BadCharacter {
        /// The name given.
        name: String,
        /// The first such character.
        character: char,
    },
    /// A wildcard covers another name of the same certificate.
    #[error("DNS name \"{name}\" overlaps with \"{wildcard}\"")]
    Overlap {
        /// The name.
        name: String,
        /// The wildcard that covers it.
        wildcard: String,
    },
}

/// Checks all names and merges equal ones. Order is kept: the first becomes the common name.
pub fn check_all(names: Vec<String>) -> Result<Vec<String>, DnsError> {
    if names.len() > MAX_NAMES {
        return Err(DnsError::TooMany { count: names.len() });
    }
    names.iter().try_for_each(|name| check(name))?;
    let mut seen = HashSet::new();
    Ok(names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect())
}

/// Checks one name.
pub fn check(name: &str) -> Result<(), DnsError> {
    if name.is_empty() {
        return Err(DnsError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(DnsError::TooLong { length: name.len() });
    }
    if name.ends_with('.') {
        return Err(DnsError::TrailingDot { name: name.into() });
    }
    let rest = match name.strip_prefix("*.") {
        Some(rest) => rest,
        None => name,
    };
    rest.split('.')
        .try_for_each(|label| check_label(name, label))
}

fn check_label(name: &str, label: &str) -> Result<(), DnsError> {
    if label.is_empty() {
        return Err(DnsError::EmptyLabel { name: name.into() });
    }
    if label.contains('*') {
        return Err(DnsError::BadWildcard { name: name.into() });
    }
    if let Some(character) = label.chars().find(|c| !is_host_character(*c)) {
        return Err(DnsError::BadCharacter {
            name: name.into(),
            character,
        });
    }
    if label.len() > MAX_LABEL_BYTES {
        return Err(DnsError::LabelTooLong {
            name: name.into(),
            length: label.len(),
        });
    }
    if has_bad_hyphen(label) {
        return Err(DnsError::BadHyphen { name: name.into() });
    }
    Ok(())
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// RFC 5891 section 4.2.3.1; `xn--` with something behind it is the one exception.
fn has_bad_hyphen(label: &str) -> bool {
    let bytes = label.as_bytes();
    let encoded = bytes.len() > 4 && bytes[..4].eq_ignore_ascii_case(b"xn--");
    bytes.first() == Some(&b'-')
        || bytes.last() == Some(&b'-')
        || (bytes.get(2..4) == Some(b"--") && !encoded)
}

/// Refuses a wildcard beside a name it covers (`*.a.b` with `x.a.b`), as SPIRE does for minted
/// certificates.
pub fn check_overlap(names: &[String]) -> Result<(), DnsError> {
    let wildcards: HashSet<&str> = names.iter().filter_map(|n| n.strip_prefix("*.")).collect();
    for name in names.iter().filter(|name| !name.starts_with("*.")) {
        if let Some((_, domain)) = name.split_once('.')
            && wildcards.contains(domain)
        {
            return Err(DnsError::Overlap {
                name: name.clone(),
                wildcard: format!("*.{domain}"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_spire_takes_are_taken() {
        for name in [
            "web",
            "web.example.org",
            "WEB.Example.ORG",
            "_service._tcp.example.org",
            "10.0.0.1",
            "123",
            "*.example.org",
            "a-b.example.org",
            "xn--bcher-kva.example",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn an_empty_name_or_label_is_refused() {
        assert_eq!(check(""), Err(DnsError::Empty));
        for name in ["a..b", ".a", "*..a"] {
            assert!(
                matches!(check(name), Err(DnsError::EmptyLabel { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn a_trailing_dot_is_refused() {
        for name in ["example.org.", ".", "*."] {
            assert!(
                matches!(check(name), Err(DnsError::TrailingDot { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn misplaced_hyphens_are_refused() {
        for name in ["-a.org", "a-.org", "ab--c.org", "xn--.org", "a.-"] {
            assert!(
                matches!(check(name), Err(DnsError::BadHyphen { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn a_wildcard_that_is_not_the_whole_first_label_is_refused() {
        for name in ["*", "a.*.org", "w*.org", "*w.org", "*.*.org", "**.org"] {
            assert!(
                matches!(check(name), Err(DnsError::BadWildcard { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn characters_no_host_name_has_are_refused() {
        for name in [
            "a b",
            "a/b",
            "a:80",
            "bücher.org",
            "a@b",
            "a\0b",
            "[::1]",
            "a\nb",
            "1.2.3.4:80",
        ] {
            assert!(
                matches!(check(name), Err(DnsError::BadCharacter { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn lengths_are_accepted_up_to_the_limit_and_refused_above() {
        let label = "a".repeat(MAX_LABEL_BYTES);
        assert_eq!(check(&label), Ok(()));
        assert!(matches!(
            check(&format!("{label}a.org")),
            Err(DnsError::LabelTooLong { length: 64, .. })
        ));
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), MAX_NAME_BYTES);
        assert_eq!(check(&longest), Ok(()));
        assert_eq!(
            check(&format!("{longest}a")),
            Err(DnsError::TooLong { length: 254 })
        );
    }

    #[test]
    fn a_name_given_twice_is_merged_and_order_is_kept() {
        let names = ["b", "a", "b"].map(String::from).to_vec();
        assert_eq!(check_all(names).unwrap(), ["b", "a"]);
    }

    #[test]
    fn one_bad_name_or_one_too_many_refuses_all() {
        assert!(check_all(vec!["a".into(), "b.".into()]).is_err());
        let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
        assert!(check_all(names(MAX_NAMES)).is_ok());
        assert_eq!(
            check_all(names(MAX_NAMES + 1)),
            Err(DnsError::TooMany {
                count: MAX_NAMES + 1
            })
        );
    }

    #[test]
    fn a_wildcard_beside_a_name_it_covers_is_refused() {
        let names = |n: &[&str]| n.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        assert!(check_overlap(&names(&["*.a.b", "x.a.b"])).is_err());
        assert!(check_overlap(&names(&["x.a.b", "*.a.b"])).is_err());
        for fine in [
            &["*.a.b", "a.b"][..],
            &["*.a.b", "y.x.a.b"],
            &["*.a.b", "x.c.b"],
            &["*.a.b"],
            &[],
        ] {
            assert_eq!(check_overlap(&names(fine)), Ok(()), "{fine:?}");
        }
    }
}
