//! The driver's answers to the kubelet.

use std::path::Path;

use signet_proto::csi::v1::identity_server::Identity;
use signet_proto::csi::v1::node_server::Node;
use signet_proto::csi::v1::volume_capability::AccessType;
use signet_proto::csi::v1::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
    GetPluginInfoResponse, NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse,
    NodeGetInfoRequest, NodeGetInfoResponse, NodePublishVolumeRequest, NodePublishVolumeResponse,
    NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse, ProbeRequest, ProbeResponse,
};
use tonic::{Request, Response, Status};

use crate::{VolumeError, Volumes};

/// The name under which pods ask for the volume, the same as that of SPIFFE's own driver.
pub const DRIVER: &str = "csi.spiffe.io";

/// Set by the kubelet where the `CSIDriver` object has `podInfoOnMount`.
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";

/// Answers the kubelet.
#[derive(Clone, Debug)]
pub struct Driver {
    volumes: Volumes,
    node: String,
}

impl Driver {
    /// The driver of the node that Kubernetes calls `node`.
    pub fn new(volumes: Volumes, node: String) -> Self {
        Self { volumes, node }
    }
}

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _request: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: DRIVER.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _request: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Ok(Response::new(GetPluginCapabilitiesResponse {}))
    }

    async fn probe(
        &self,
        _request: Request<ProbeRequest>,
    ) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse { ready: Some(true) }))
    }
}

#[tonic::async_trait]
impl Node for Driver {
    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let request = request.into_inner();
        check(&request).map_err(Status::invalid_argument)?;
        self.act(request.target_path, Volumes::publish).await?;
        Ok(Response::new(NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        if request.volume_id.is_empty() {
            return Err(Status::invalid_argument(NO_VOLUME));
        }
        self.act(request.target_path, Volumes::unpublish).await?;
        Ok(Response::new(NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_capabilities(
        &self,
        _request: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        Ok(Response::new(NodeGetCapabilitiesResponse {}))
    }

    async fn node_get_info(
        &self,
        _request: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        let node_id = self.node.clone();
        Ok(Response::new(NodeGetInfoResponse { node_id }))
    }
}

impl Driver {
    /// The system calls wait for file systems, so they do it apart.
    async fn act(
        &self,
        target: String,
        step: fn(&Volumes, &Path) -> Result<(), VolumeError>,
    ) -> Result<(), Status> {
        let volumes = self.volumes.clone();
        let act = tokio::task::spawn_blocking(move || {
            step(&volumes, Path::new(&target)).map_err(|error| (error, target))
        });
        match act.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err((error, target))) => Err(failed(&error, &target)),
            Err(_) => Err(Status::unavailable("the agent is stopping")),
        }
    }
}

const NO_VOLUME: &str = "the request names no volume";

/// Whether it is a volume of ours that is asked for, in the one form there is.
fn check(request: &NodePublishVolumeRequest) -> Result<(), &'static str> {
    let capability = request.volume_capability.as_ref();
    let mount = match capability.and_then(|capability| capability.access_type.as_ref()) {
        Some(AccessType::Mount(mount)) => mount,
        Some(AccessType::Block(_)) => return Err("the volume is a folder, not a block device"),
        None => return Err("the request does not say how the volume is to be seen"),
    };
    let ephemeral = request.volume_context.get(EPHEMERAL);
    let rules = [
        (!request.volume_id.is_empty(), NO_VOLUME),
        (
            mount.fs_type.is_empty() && mount.mount_flags.is_empty(),
            "the volume takes no fsType and no mount options",
        ),
        (
            request.readonly,
            "the volume is read-only: set readOnly: true on it",
        ),
        (
            ephemeral.is_some_and(|value| value == "true"),
            "the volume must be an inline volume of its pod, and the CSIDriver object have \
             podInfoOnMount: true",
        ),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, broken)) => Err(broken),
        None => Ok(()),
    }
}

/// The kubelet shows the text in the pod's events, to whoever wrote the pod.
fn failed(error: &VolumeError, target: &str) -> Status {
    let source = std::error::Error::source(error);
    let cause = source.map(|cause| format!(": {cause}")).unwrap_or_default();
    let text = format!("{error}{cause}");
    if let VolumeError::Target(_) = error {
        return Status::invalid_argument(text);
    }
    tracing::error!(
        target_path = target,
        error = text,
        "a volume could not be changed"
    );
    Status::internal(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_proto::csi::v1::VolumeCapability;
    use signet_proto::csi::v1::volume_capability::{BlockVolume, MountVolume};

    fn good() -> NodePublishVolumeRequest {
        let mount = AccessType::Mount(MountVolume::default());
        NodePublishVolumeRequest {
            volume_id: "csi-1".to_owned(),
            target_path: "/var/lib/kubelet/pods/u/mount".to_owned(),
            volume_capability: Some(VolumeCapability {
                access_type: Some(mount),
            }),
            readonly: true,
            volume_context: [(EPHEMERAL.to_owned(), "true".to_owned())].into(),
        }
    }

    fn with(access: AccessType) -> Option<VolumeCapability> {
        Some(VolumeCapability {
            access_type: Some(access),
        })
    }

    #[test]
    fn a_read_only_folder_of_a_pod_is_what_there_is() {
        assert_eq!(check(&good()), Ok(()));
    }

    #[test]
    fn other_volumes_are_refused_with_the_remedy() {
        let typed = MountVolume {
            fs_type: "ext4".to_owned(),
            ..MountVolume::default()
        };
        let context = [(EPHEMERAL.to_owned(), "false".to_owned())];
        let wrong = [
            NodePublishVolumeRequest {
                volume_id: String::new(),
                ..good()
            },
            NodePublishVolumeRequest {
                readonly: false,
                ..good()
            },
            NodePublishVolumeRequest {
                volume_context: context.into(),
                ..good()
            },
            NodePublishVolumeRequest {
                volume_context: [].into(),
                ..good()
            },
            NodePublishVolumeRequest {
                volume_capability: with(AccessType::Block(BlockVolume {})),
                ..good()
            },
            NodePublishVolumeRequest {
                volume_capability: with(AccessType::Mount(typed)),
                ..good()
            },
            NodePublishVolumeRequest {
                volume_capability: None,
                ..good()
            },
        ];
        for request in wrong {
            assert!(check(&request).is_err(), "{request:?}");
        }
    }
}
