//! How the claims of a token are written.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// A JSON object of these members.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Dates are whole numbers, as SPIRE writes them.
pub(crate) fn numeric_date(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
