//! The connection to a Vault, for the plugins that need one.

use super::StartError;
use signet_runtime::Tasks;
use signet_vault::{Settings, Vault, VaultError};
use std::sync::Arc;

/// Logs in, and stays logged in.
pub(super) async fn connect(
    settings: &Settings,
    plugin: &'static str,
    tasks: &Tasks,
) -> Result<Arc<Vault>, StartError> {
    let vault = Vault::connect(settings.clone())
        .await
        .map_err(failed(plugin))?;
    tasks.spawn_essential("vault token", vault.clone().keep_token(tasks.stop()));
    Ok(vault)
}

/// Names the plugin that a Vault failed.
pub(super) fn failed(plugin: &'static str) -> impl Fn(VaultError) -> StartError {
    move |source| StartError::Vault { plugin, source }
}
