//! The storage driver that carries the workload socket into pods.

use super::StartError;
use crate::config::CsiSettings;
use signet_csi::{Driver, Registrar, Sockets, Volumes, serve_driver, serve_registrar};
use signet_runtime::Tasks;
use signet_workload_attestor::peer::{Access, PeerListener};

/// The workload socket listens already, so that its folder is there.
pub(super) fn serve(settings: CsiSettings, tasks: &Tasks) -> Result<(), StartError> {
    let sockets = Sockets::below(&settings.kubelet_dir);
    let driver = Driver::new(
        Volumes::new(settings.folder, sockets.view, sockets.pods),
        settings.node,
    );
    let listener = PeerListener::bind(&sockets.driver, Access::Admin)?;
    let served = serve_driver(driver, listener.into_stream(), tasks.stop());
    tasks.spawn_essential("storage driver", served);
    // The kubelet comes as soon as it sees this one.
    let registrar = Registrar::new(&sockets.driver);
    let listener = PeerListener::bind(&sockets.registrar, Access::Admin)?;
    let served = serve_registrar(registrar, listener.into_stream(), tasks.stop());
    tasks.spawn_essential("storage driver's registration", served);
    tracing::info!(path = %sockets.driver.display(), "the storage driver listens");
    Ok(())
}
