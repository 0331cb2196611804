//! `KeyManager`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use signet_config::sections::Plugin;
use signet_config::{Key, Lookup, Section, Unknown};
use signet_crypto::SecretString;
use signet_keys_pkcs11::{Identifier, Pin, TokenName};

use super::transit::{self, TransitSettings};

const USE_OTHERS: &str = "use \"disk\", \"hashicorp_vault\" or \"pkcs11\"";

pub(super) const NAMES: [Key; 7] = [
    Key::implemented("disk"),
    Key::implemented("memory"),
    Key::implemented("pkcs11"),
    Key::refused("aws_kms", USE_OTHERS),
    Key::refused("gcp_kms", USE_OTHERS),
    Key::refused("azure_key_vault", USE_OTHERS),
    Key::implemented("hashicorp_vault"),
];

const DISK_KEYS: [Key; 1] = [Key::implemented("keys_path")];

/// Ours: SPIRE has no such key manager.
const PKCS11_KEYS: [Key; 6] = [
    Key::implemented("module_path"),
    Key::implemented("token_label"),
    Key::implemented("slot_id"),
    Key::implemented("pin"),
    Key::implemented("pin_path"),
    Key::implemented("key_identifier_value"),
];

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
    /// On a token.
    Pkcs11(Pkcs11Settings),
    /// In a transit engine of Vault or OpenBao.
    HashicorpVault(Box<TransitSettings>),
}

/// The `pkcs11` key manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Settings {
    /// `module_path`.
    pub module_path: PathBuf,
    /// `token_label` or `slot_id`.
    pub token: TokenName,
    /// `pin` or `pin_path`.
    pub pin: Pin,
    /// `key_identifier_value`; without it the server's id.
    pub identifier: Option<Identifier>,
}

/// Without a plugin: a file in the data directory. `None` where a problem was found.
pub(super) fn read(
    plugin: Option<&Plugin<'_>>,
    data_dir: &Path,
    environment: Lookup<'_>,
) -> Option<KeySettings> {
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
        Some(Plugin {
            name: "pkcs11",
            data,
            ..
        }) => pkcs11(data).map(KeySettings::Pkcs11),
        Some(Plugin {
            name: "hashicorp_vault",
            data,
            ..
        }) => transit::read(data, environment)
            .map(|settings| KeySettings::HashicorpVault(Box::new(settings))),
        Some(Plugin { data, .. }) => {
            data.check(&[&DISK_KEYS], Unknown::Warned);
            let path = data.required_string("keys_path")?.into();
            Some(KeySettings::Disk { path })
        }
    }
}

fn pkcs11(data: &Section<'_>) -> Option<Pkcs11Settings> {
    data.check(&[&PKCS11_KEYS], Unknown::Refused);
    let module_path = data.required_string("module_path");
    let token = one_of(data, "token_label", "slot_id").and_then(|key| match key {
        "slot_id" => slot(data),
        label => data.string(label).map(str::to_owned).map(TokenName::Label),
    });
    let pin = one_of(data, "pin_path", "pin").and_then(|key| match key {
        "pin" => {
            let pin = data.string(key)?.to_owned();
            Some(Pin::Given(Arc::new(SecretString::new(pin))))
        }
        path => data.path(path).map(Pin::File),
    });
    let identifier = data.parsed("key_identifier_value", str::parse);
    Some(Pkcs11Settings {
        module_path: module_path?.into(),
        token: token?,
        pin: pin?,
        identifier,
    })
}

fn slot(data: &Section<'_>) -> Option<TokenName> {
    let id = data.integer("slot_id", 0..=i64::MAX)?;
    u64::try_from(id).ok().map(TokenName::Slot)
}

/// Which of two keys is given, if exactly one is.
pub(super) fn one_of<'k>(data: &Section<'_>, first: &'k str, second: &'k str) -> Option<&'k str> {
    match (data.is_set(first), data.is_set(second)) {
        (true, false) => Some(first),
        (false, true) => Some(second),
        (true, true) => {
            data.problem(second, format!("stands beside {first}; give one of them"));
            None
        }
        (false, false) => {
            data.problem(first, format!("is required, or {second}"));
            None
        }
    }
}
