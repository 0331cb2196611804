//! `CredentialComposer`.

use signet_config::sections::Plugin;
use signet_config::{Key, Unknown};

pub(super) const NAMES: [Key; 1] = [Key::implemented("uniqueid")];

/// Who adds to what is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComposerSettings {
    /// A unique identifier in the subject of workloads.
    UniqueId,
}

/// There is one composer, and it has no settings.
pub(super) fn read(plugin: &Plugin<'_>) -> ComposerSettings {
    plugin.data.check(&[], Unknown::Warned);
    ComposerSettings::UniqueId
}
