//! The `experimental` block of `agent`. SPIRE is silent about unknown keys here, so they only warn.

use std::time::Duration;

use signet_config::sections::check_feature_flags;
use signet_config::{Key, Section, Unknown};

const NO_WINDOWS: &str = "it is for Windows; the sockets are at socket_path and admin_socket_path";

const KEYS: [Key; 9] = [
    Key::implemented("sync_interval"),
    Key::implemented("feature_flags"),
    Key::ignored(
        "use_sync_authorized_entries",
        "it is always used where there is no stream",
    ),
    Key::ignored(
        "jwt_svid_cache_hit_timeout",
        "a valid cached JWT-SVID is answered at once",
    ),
    Key::ignored("named_pipe_name", NO_WINDOWS),
    Key::ignored("admin_named_pipe_name", NO_WINDOWS),
    Key::ignored(
        "ratelimit",
        "requests of one process are not limited by method yet",
    ),
    Key::refused(
        "require_pq_kem",
        "set it to false; key exchange prefers X25519MLKEM768 anyway",
    ),
    Key::refused("broker", "the Broker API is not served; remove the block"),
];

const DEFAULT_SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// Checks the block and answers `sync_interval`.
pub(super) fn read(agent: &Section<'_>) -> Duration {
    let block = agent.block("experimental");
    block.check(&[&KEYS], Unknown::Warned);
    check_feature_flags(&block);
    block.ttl("sync_interval").unwrap_or(DEFAULT_SYNC_INTERVAL)
}
