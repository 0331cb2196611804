//! The `experimental` block of `server`. SPIRE is silent about unknown keys here, so they only warn.

use signet_config::sections::check_feature_flags;
use signet_config::{Key, Section, Unknown};

const PUSHED: &str = "the server does not poll its store; changes are pushed";
const NO_WIT: &str = "WIT-SVIDs are not issued yet";

const KEYS: [Key; 13] = [
    Key::ignored("cache_reload_interval", PUSHED),
    Key::ignored("full_cache_reload_interval", PUSHED),
    Key::ignored("events_based_cache", PUSHED),
    Key::ignored("prune_events_older_than", PUSHED),
    Key::ignored("event_timeout", PUSHED),
    Key::ignored("sql_transaction_timeout", PUSHED),
    Key::ignored("wit_key_type", NO_WIT),
    Key::ignored("wit_issuer", NO_WIT),
    Key::ignored(
        "named_pipe_name",
        "it is for Windows; the admin API is at socket_path",
    ),
    Key::implemented("feature_flags"),
    Key::refused(
        "require_pq_kem",
        "set it to false; key exchange prefers X25519MLKEM768 anyway",
    ),
    Key::refused(
        "agent_spiffe_id_as_selector",
        "set it to false and parent such entries directly",
    ),
    Key::refused(
        "auth_opa_policy_engine",
        "the authorization table is built in; give rights by admin_ids or admin entries",
    ),
];

pub(super) fn check(server: &Section<'_>) {
    let block = server.block("experimental");
    block.check(&[&KEYS], Unknown::Warned);
    check_feature_flags(&block);
}
