//! An authority in both forms of output.

use serde_json::{Value, json as object};
use signet_cli::{json, text};
use signet_proto::spire::server::localauthority::v1::AuthorityState;

use super::kind::Kind;

/// One authority under its heading; `word` is what it is or what became of it.
pub(super) fn section<K: Kind>(word: &str, state: Option<&AuthorityState>) -> String {
    let heading = format!("{word} {} authority:\n", K::NAME);
    match state {
        Some(state) => heading + &lines::<K>(state),
        None => format!(
            "{heading}  No {} {} authority found\n",
            word.to_lowercase(),
            K::NAME
        ),
    }
}

fn lines<K: Kind>(state: &AuthorityState) -> String {
    let mut lines = format!(
        "  Authority ID: {}\n  Expires at: {}\n",
        state.authority_id,
        text::timestamp(state.expires_at)
    );
    if K::HAS_UPSTREAM {
        let upstream = match state.upstream_authority_subject_key_id.as_str() {
            "" => "  Upstream authority ID: No upstream authority\n".to_owned(),
            id => format!("  Upstream authority Subject Key ID: {id}\n"),
        };
        lines.push_str(&upstream);
    }
    lines
}

/// The authority as protobuf JSON.
pub(super) fn value(state: Option<&AuthorityState>) -> Value {
    state.map_or(Value::Null, |state| {
        object!({
            "authority_id": state.authority_id,
            "expires_at": json::long(state.expires_at),
            "upstream_authority_subject_key_id": state.upstream_authority_subject_key_id,
        })
    })
}
