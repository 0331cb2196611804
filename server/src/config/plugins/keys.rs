//! `KeyManager`.

use std::path::{Path, PathBuf};

use signet_config::sections::Plugin;
use signet_config::{Key, Unknown};

const USE_DISK: &str = "use \"disk\" or \"memory\"";

pub(super) const NAMES: [Key; 6] = [
    Key::implemented("disk"),
    Key::implemented("memory"),
    Key::refused("aws_kms", USE_DISK),
    Key::refused("gcp_kms", USE_DISK),
    Key::refused("azure_key_vault", USE_DISK),
    Key::refused("hashicorp_vault", USE_DISK),
];

const DISK_KEYS: [Key; 1] = [Key::implemented("keys_path")];

const KEYS_FILE: &str = "keys.json";

/// Where the server's private keys are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySettings {
    /// In a file of SPIRE's form.
    Disk {
        /// `keys_path`; made if it is not there.
        path: PathBuf,
    },
    /// In memory: a restart makes new authorities.
    Memory,
}

/// Without a plugin: a file in the data directory. `None` where a problem was found.
pub(super) fn read(plugin: Option<&Plugin<'_>>, data_dir: &Path) -> Option<KeySettings> {
    match plugin {
        None => Some(KeySettings::Disk {
            path: data_dir.join(KEYS_FILE),
        }),
        Some(Plugin {
            name: "memory",
            data,
            ..
        }) => {
            data.check(&[], Unknown::Warned);
            Some(KeySettings::Memory)
        }
        Some(Plugin { data, .. }) => {
            data.check(&[&DISK_KEYS], Unknown::Warned);
            let path = data.required_string("keys_path")?.into();
            Some(KeySettings::Disk { path })
        }
    }
}
