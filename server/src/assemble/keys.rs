//! The key manager as configured.

use super::{StartError, vault};
use crate::config::{KeyIdentifier, KeySettings, Pkcs11Settings, TransitSettings};
use signet_keys::KeyManager;
use signet_keys::disk::{DiskError, DiskKeys};
use signet_keys::memory::MemoryKeys;
use signet_keys_pkcs11::Pkcs11Keys;
use signet_runtime::Tasks;
use signet_vault::{Identifier, TransitKeys};
use std::path::Path;
use std::sync::Arc;

const HASHICORP_VAULT: &str = "key manager hashicorp_vault";

/// Opens it. What it needs to run beside it runs in `tasks`.
pub(super) async fn open(
    settings: &KeySettings,
    server_id: &str,
    tasks: &Tasks,
) -> Result<Arc<dyn KeyManager>, StartError> {
    match settings {
        KeySettings::Disk { path } => Ok(Arc::new(disk(path)?)),
        KeySettings::Memory => Ok(Arc::new(MemoryKeys::new())),
        KeySettings::Pkcs11(settings) => {
            let settings = token(settings, server_id)?;
            Ok(Arc::new(Pkcs11Keys::open(settings).await?))
        }
        KeySettings::HashicorpVault(settings) => Ok(Arc::new(transit(settings, tasks).await?)),
    }
}

fn disk(path: &Path) -> Result<DiskKeys, DiskError> {
    let keys = DiskKeys::open(path)?;
    for warning in keys.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(keys)
}

fn token(
    settings: &Pkcs11Settings,
    server_id: &str,
) -> Result<signet_keys_pkcs11::Settings, StartError> {
    let unfit = |source| StartError::KeyIdentifier(server_id.to_owned(), source);
    let identifier = match &settings.identifier {
        Some(identifier) => identifier.clone(),
        None => server_id.parse().map_err(unfit)?,
    };
    Ok(signet_keys_pkcs11::Settings {
        module_path: settings.module_path.clone(),
        token: settings.token.clone(),
        pin: settings.pin.clone(),
        identifier,
    })
}

async fn transit(settings: &TransitSettings, tasks: &Tasks) -> Result<TransitKeys, StartError> {
    let identifier = match &settings.identifier {
        KeyIdentifier::Value(identifier) => identifier.clone(),
        KeyIdentifier::File(path) => Identifier::from_file(path)?,
    };
    let vault = vault::connect(&settings.vault, HASHICORP_VAULT, tasks).await?;
    TransitKeys::open(vault, settings.engine.clone(), &identifier)
        .await
        .map_err(vault::failed(HASHICORP_VAULT))
}
