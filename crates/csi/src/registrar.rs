//! How the kubelet learns of the driver.

use std::path::{Path, PathBuf};

use signet_proto::pluginregistration::registration_server::Registration;
use signet_proto::pluginregistration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use tonic::{Request, Response, Status};

use crate::DRIVER;

/// What the kubelet calls a storage driver.
const TYPE: &str = "CSIPlugin";

/// The versions of CSI that the driver speaks.
const VERSIONS: [&str; 1] = ["1.0.0"];

/// Where the kubelet looks, below its own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// The driver's own.
    pub driver: PathBuf,
    /// The one that the kubelet finds by itself.
    pub registrar: PathBuf,
    /// A folder beside the driver's, for its own use.
    pub view: PathBuf,
    /// The folders of pods.
    pub pods: PathBuf,
}

impl Sockets {
    /// Those below the kubelet's folder, which is `/var/lib/kubelet` nearly everywhere.
    #[must_use]
    pub fn below(kubelet: &Path) -> Self {
        let own = kubelet.join("plugins").join(DRIVER);
        Self {
            driver: own.join("csi.sock"),
            view: own.join("folder"),
            registrar: kubelet
                .join("plugins_registry")
                .join(format!("{DRIVER}-reg.sock")),
            pods: kubelet.join("pods"),
        }
    }
}

/// Tells the kubelet of the driver.
#[derive(Clone, Debug)]
pub struct Registrar {
    endpoint: String,
}

impl Registrar {
    /// The driver listens on `socket`, which the kubelet must find under the same path.
    pub fn new(socket: &Path) -> Self {
        Self {
            endpoint: socket.display().to_string(),
        }
    }
}

#[tonic::async_trait]
impl Registration for Registrar {
    async fn get_info(
        &self,
        _request: Request<InfoRequest>,
    ) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: TYPE.to_owned(),
            name: DRIVER.to_owned(),
            endpoint: self.endpoint.clone(),
            supported_versions: VERSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let RegistrationStatus {
            plugin_registered,
            error,
        } = request.into_inner();
        match plugin_registered {
            true => tracing::info!(driver = DRIVER, "the kubelet knows the driver"),
            // It asks again by itself.
            false => tracing::error!(driver = DRIVER, error, "the kubelet refuses the driver"),
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
