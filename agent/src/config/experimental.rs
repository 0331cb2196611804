//! The `experimental` block of `agent`. SPIRE is silent about unknown keys here, so they only warn.

use std::time::Duration;

use signet_config::sections::wit_svids_are_on;
use signet_config::{Key, Section, Unknown};

use crate::rotate::DEFAULT_TAINT_WINDOW;

const NO_WINDOWS: &str = "it is for Windows; the sockets are at socket_path and admin_socket_path";

const KEYS: [Key; 10] = [
    Key::implemented("sync_interval"),
    Key::implemented("taint_window"),
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

/// A key that was stolen must not stay in use for longer, and SVIDs of an hour come up for renewal
/// by themselves after half of it.
const MAX_TAINT_WINDOW: Duration = Duration::from_secs(30 * 60);

/// What the block says.
pub(super) struct Experimental {
    pub(super) sync_interval: Duration,
    pub(super) taint_window: Duration,
}

/// Checks the block and reads it.
pub(super) fn read(agent: &Section<'_>) -> Experimental {
    let block = agent.block("experimental");
    block.check(&[&KEYS], Unknown::Warned);
    if wit_svids_are_on(&block) {
        block.problem(
            "feature_flags",
            "\"wit-svid\" is not supported yet: the agent does not serve WIT-SVIDs; remove it",
        );
    }
    let taint_window = block.duration("taint_window");
    if taint_window.is_some_and(|window| window > MAX_TAINT_WINDOW) {
        block.problem("taint_window", "must be at most 30m");
    }
    Experimental {
        sync_interval: block.ttl("sync_interval").unwrap_or(DEFAULT_SYNC_INTERVAL),
        taint_window: taint_window.unwrap_or(DEFAULT_TAINT_WINDOW),
    }
}
