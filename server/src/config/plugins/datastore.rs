//! `DataStore`: our stores, and SPIRE's `sql`, which starts with ours.

use std::path::{Path, PathBuf};

use signet_config::sections::Plugin;
use signet_config::{Key, Unknown};

pub(super) const NAMES: [Key; 4] = [
    Key::implemented("redb"),
    Key::implemented("memory"),
    Key::implemented("sled"),
    Key::implemented("sql"),
];

const PATH_KEYS: [Key; 1] = [Key::implemented("path")];

/// SPIRE's keys, all moot: known so that a slip among them is still named.
const SQL_KEYS: [Key; 11] = [
    Key::implemented("database_type"),
    Key::implemented("connection_string"),
    Key::implemented("ro_connection_string"),
    Key::implemented("root_ca_path"),
    Key::implemented("client_cert_path"),
    Key::implemented("client_key_path"),
    Key::implemented("max_open_conns"),
    Key::implemented("max_idle_conns"),
    Key::implemented("conn_max_lifetime"),
    Key::implemented("disable_migration"),
    Key::implemented("log_sql"),
];

const REDB_FILE: &str = "signet.redb";
const SLED_DIRECTORY: &str = "signet.sled";

/// Where entries, agents and bundles are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// A redb file.
    Redb {
        /// The file; made if it is not there.
        path: PathBuf,
    },
    /// A sled directory.
    Sled {
        /// The directory; made if it is not there.
        path: PathBuf,
    },
    /// Nothing outlives the process.
    Memory,
}

/// Without a plugin: redb in the data directory. `None` where a problem was found.
pub(super) fn read(plugin: Option<&Plugin<'_>>, data_dir: &Path) -> Option<StoreSettings> {
    let redb = StoreSettings::Redb {
        path: data_dir.join(REDB_FILE),
    };
    let Some(plugin) = plugin else {
        return Some(redb);
    };
    match plugin.name {
        "memory" => {
            plugin.data.check(&[], Unknown::Refused);
            plugin
                .block
                .warn_here("every entry and agent is lost when the server stops");
            Some(StoreSettings::Memory)
        }
        "sled" => sled(plugin, data_dir),
        "sql" => {
            plugin.data.check(&[&SQL_KEYS], Unknown::Warned);
            plugin.block.warn_here(format!(
                "SPIRE's database is neither read nor written; the server keeps its data in {}, \
                 which starts empty",
                data_dir.join(REDB_FILE).display(),
            ));
            Some(redb)
        }
        _ => {
            plugin.data.check(&[&PATH_KEYS], Unknown::Refused);
            Some(
                plugin
                    .data
                    .path("path")
                    .map_or(redb, |path| StoreSettings::Redb { path }),
            )
        }
    }
}

fn sled(plugin: &Plugin<'_>, data_dir: &Path) -> Option<StoreSettings> {
    plugin.data.check(&[&PATH_KEYS], Unknown::Refused);
    if !cfg!(feature = "sled") {
        plugin.block.problem_here(
            "this build has no sled; use \"redb\", or build with the cargo feature \"sled\"",
        );
        return None;
    }
    plugin
        .block
        .warn_here("sled may lose acknowledged writes in a power cut; \"redb\" does not");
    let path = plugin
        .data
        .path("path")
        .unwrap_or_else(|| data_dir.join(SLED_DIRECTORY));
    Some(StoreSettings::Sled { path })
}
