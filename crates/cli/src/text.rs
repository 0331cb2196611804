//! Pieces of the pretty output.

use std::error::Error;

use time::UtcDateTime;
use time::macros::format_description;
use tonic::Code;

use signet_proto::spire::types;

/// `1 agent`, `2 agents`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Unix seconds as `2026-01-31 12:00:00 +0000 UTC`.
pub fn timestamp(unix_seconds: i64) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +0000 UTC");
    UtcDateTime::from_unix_timestamp(unix_seconds)
        .ok()
        .and_then(|moment| moment.format(&form).ok())
        .unwrap_or_else(|| format!("{unix_seconds} s after 1970"))
}

/// The SPIFFE ID in one piece.
pub fn spiffe_id(id: Option<&types::Spiffeid>) -> String {
    let Some(id) = id else { return "(none)".into() };
    format!("spiffe://{}{}", id.trust_domain, id.path)
}

/// The error and what caused it, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// `code: NotFound, msg: "…"`, as for one failed item of a batch.
pub fn status(status: &types::Status) -> String {
    let code = Code::from(status.code);
    format!("code: {code:?}, msg: {:?}", status.message)
}

/// Whether an item of a batch failed. A missing status means success.
pub fn failed(status: Option<&types::Status>) -> bool {
    status.is_some_and(|status| status.code != Code::Ok as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_none_is_plural() {
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
        assert_eq!(counted(0, "entry", "entries"), "0 entries");
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(timestamp(1_769_860_800), "2026-01-31 12:00:00 +0000 UTC");
    }

    #[test]
    fn an_impossible_time_is_still_shown() {
        assert_eq!(timestamp(i64::MAX), "9223372036854775807 s after 1970");
    }

    #[test]
    fn a_missing_status_is_success() {
        assert!(!failed(None));
        let status = types::Status {
            code: 5,
            message: "gone".into(),
        };
        assert!(failed(Some(&status)));
        assert_eq!(super::status(&status), "code: NotFound, msg: \"gone\"");
    }
}
