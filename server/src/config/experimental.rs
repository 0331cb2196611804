//! The `experimental` block of `server`. SPIRE is silent about unknown keys here, so they only warn.

use signet_config::sections::wit_svids_are_on;
use signet_config::{Key, Section, Unknown};
use signet_crypto::KeyType;

use super::WitSettings;
use super::server::KEY_TYPES;

const PUSHED: &str = "the server does not poll its store; changes are pushed";

const KEYS: [Key; 13] = [
    Key::ignored("cache_reload_interval", PUSHED),
    Key::ignored("full_cache_reload_interval", PUSHED),
    Key::ignored("events_based_cache", PUSHED),
    Key::ignored("prune_events_older_than", PUSHED),
    Key::ignored("event_timeout", PUSHED),
    Key::ignored("sql_transaction_timeout", PUSHED),
    Key::implemented("wit_key_type"),
    Key::implemented("wit_issuer"),
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

/// Checks the block and answers how WIT-SVIDs are issued, if they are.
pub(super) fn read(server: &Section<'_>, ca_key_type: KeyType) -> Option<WitSettings> {
    let block = server.block("experimental");
    block.check(&[&KEYS], Unknown::Warned);
    let settings = WitSettings {
        key_type: block
            .choice("wit_key_type", &KEY_TYPES)
            .unwrap_or(ca_key_type),
        issuer: block.string("wit_issuer").map(str::to_owned),
    };
    let on = wit_svids_are_on(&block);
    if !on {
        warn_of_idle_keys(&block);
    }
    on.then_some(settings)
}

fn warn_of_idle_keys(block: &Section<'_>) {
    for key in ["wit_key_type", "wit_issuer"] {
        if block.is_set(key) {
            block.warn(key, "has no effect unless feature_flags has \"wit-svid\"");
        }
    }
}
