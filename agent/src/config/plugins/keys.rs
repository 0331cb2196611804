//! `KeyManager`.

use std::path::{Path, PathBuf};

use signet_config::sections::Plugin;
use signet_config::{Key, Unknown};

pub(super) const NAMES: [Key; 2] = [Key::implemented("disk"), Key::implemented("memory")];

const DISK_KEYS: [Key; 1] = [Key::implemented("directory")];

/// Where the agent's own private keys are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySettings {
    /// In `keys.json`, in SPIRE's form.
    Disk {
        /// `directory`; made if it is not there.
        directory: PathBuf,
    },
    /// In memory: a restart attests again.
    Memory,
}

/// Without a plugin: the data directory. `None` where a problem was found.
pub(super) fn read(plugin: Option<&Plugin<'_>>, data_dir: &Path) -> Option<KeySettings> {
    match plugin {
        None => Some(KeySettings::Disk {
            directory: data_dir.to_owned(),
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
            let directory = data.required_string("directory")?.into();
            Some(KeySettings::Disk { directory })
        }
    }
}
