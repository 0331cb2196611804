//! What an agent holds, in a form that two sides can hash and compare.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use signet_spiffe::TrustDomain;

use crate::EntryId;

/// The holdings as lines, whose SHA-256 the agent sends and the server compares with what it would
/// compute: for each entry `id NUL revision NUL created NL`, by entry id, then for each bundle
/// `NUL trust-domain NUL sequence NL`, by trust domain. `created` is in Unix seconds.
///
/// The iterators must be in that order already, as ordered maps are.
pub fn holdings_lines<'a>(
    entries: impl IntoIterator<Item = (&'a EntryId, i64, SystemTime)>,
    bundles: impl IntoIterator<Item = (&'a TrustDomain, u64)>,
) -> Vec<u8> {
    let mut lines = String::new();
    for (id, revision, created) in entries {
        let created = created.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = created.as_secs();
        writeln!(lines, "{id}\0{revision}\0{seconds}").expect("text takes any text");
    }
    for (name, sequence) in bundles {
        writeln!(lines, "\0{name}\0{sequence}").expect("text takes any text");
    }
    lines.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_come_as_id_revision_and_creation_then_bundles_with_their_sequence() {
        let id = EntryId::parse("web").expect("valid");
        let name = TrustDomain::parse("other.example").expect("valid");
        let at = UNIX_EPOCH + Duration::from_millis(5_900);
        let lines = holdings_lines([(&id, 3, at)], [(&name, 7)]);
        assert_eq!(lines, b"web\x003\x005\n\0other.example\x007\n");
    }

    #[test]
    fn nothing_held_is_no_line() {
        assert!(holdings_lines([], []).is_empty());
    }
}
