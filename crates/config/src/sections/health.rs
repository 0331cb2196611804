//! The `health_checks` block.

use crate::{Key, Section, Unknown};

const KEYS: [Key; 5] = [
    Key::implemented("listener_enabled"),
    Key::implemented("bind_address"),
    Key::implemented("bind_port"),
    Key::implemented("live_path"),
    Key::implemented("ready_path"),
];

/// Where the HTTP health listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// `bind_address`: a host name or IP address.
    pub bind_address: String,
    /// `bind_port`; 0 lets the system choose.
    pub bind_port: u16,
    /// `live_path`, starting with `/`.
    pub live_path: String,
    /// `ready_path`, starting with `/`.
    pub ready_path: String,
}

impl HealthSettings {
    /// Reads the block; `None` unless the listener is switched on. Its values are checked anyway.
    pub fn read(root: &Section<'_>) -> Option<Self> {
        let block = root.block("health_checks");
        block.check(&[&KEYS], Unknown::Refused);
        let settings = Self {
            bind_address: block
                .string("bind_address")
                .unwrap_or("localhost")
                .to_owned(),
            bind_port: block.port("bind_port").unwrap_or(80),
            live_path: path(&block, "live_path", "/live"),
            ready_path: path(&block, "ready_path", "/ready"),
        };
        block
            .bool("listener_enabled")
            .unwrap_or(false)
            .then_some(settings)
    }
}

fn path(block: &Section<'_>, key: &str, default: &str) -> String {
    let path = block.string(key).unwrap_or(default);
    if !path.starts_with('/') {
        block.problem(key, "must start with \"/\"");
    }
    path.to_owned()
}
