//! How times are written into JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serializer;

/// Writes a time as whole seconds since 1970; what lies before becomes 0.
pub(crate) fn seconds<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(
        time.duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}
