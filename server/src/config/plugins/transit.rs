//! `KeyManager "hashicorp_vault"`.

use std::path::PathBuf;

use signet_config::{Key, Lookup, Section, Unknown};
use signet_vault::{Identifier, Mount, Settings};

use super::keys::one_of;
use super::vault::{self, Source};

const KEYS: [Key; 3] = [
    Key::implemented("transit_engine_path"),
    Key::implemented("key_identifier_file"),
    Key::implemented("key_identifier_value"),
];

/// The `hashicorp_vault` key manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitSettings {
    /// How the Vault is reached.
    pub vault: Settings,
    /// `transit_engine_path`.
    pub engine: Mount,
    /// Which keys of the engine are this server's.
    pub identifier: KeyIdentifier,
}

/// What tells this server's keys from those of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyIdentifier {
    /// `key_identifier_value`.
    Value(Identifier),
    /// `key_identifier_file`; made if it is not there.
    File(PathBuf),
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>, environment: Lookup<'_>) -> Option<TransitSettings> {
    data.check(&[&vault::KEYS, &KEYS], Unknown::Warned);
    let vault = vault::read(data, environment);
    let engine = engine(&Source { data, environment });
    let identifier = identifier(data);
    Some(TransitSettings {
        vault: vault?,
        engine: engine?,
        identifier: identifier?,
    })
}

fn engine(from: &Source<'_, '_>) -> Option<Mount> {
    let (key, variable) = ("transit_engine_path", "VAULT_TRANSIT_ENGINE_PATH");
    match from.text(key, variable) {
        Some(_) => from.parsed(key, variable),
        None => vault::mount(from.data, key, "transit"),
    }
}

fn identifier(data: &Section<'_>) -> Option<KeyIdentifier> {
    match one_of(data, "key_identifier_file", "key_identifier_value")? {
        "key_identifier_value" => data
            .parsed("key_identifier_value", str::parse)
            .map(KeyIdentifier::Value),
        file => data.path(file).map(KeyIdentifier::File),
    }
}
