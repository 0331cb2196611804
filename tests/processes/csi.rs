//! The agent as the kubelet's storage driver: a volume is the folder of its socket, seen read-only at
//! another place. It takes the right to mount.

use std::path::{Path, PathBuf};

use signet_proto::csi::v1::identity_client::IdentityClient;
use signet_proto::csi::v1::node_client::NodeClient;
use signet_proto::csi::v1::volume_capability::{AccessType, MountVolume};
use signet_proto::csi::v1::{
    GetPluginCapabilitiesRequest, GetPluginInfoRequest, NodeGetCapabilitiesRequest,
    NodeGetInfoRequest, NodePublishVolumeRequest, NodeUnpublishVolumeRequest, ProbeRequest,
    VolumeCapability,
};
use signet_proto::pluginregistration::registration_client::RegistrationClient;
use signet_proto::pluginregistration::{InfoRequest, RegistrationStatus};
use signet_proto::workload::X509svidRequest;
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_tests::skip::skipped;
use signet_tests::wire::{channel, workload_request};
use signet_tests::{Maker, Scene, ServerSettings, wait};
use tonic::Code;
use tonic::transport::Channel;

/// An agent with a driver, and where its kubelet keeps its files.
struct Ground {
    scene: Scene,
    kubelet: PathBuf,
    driver: NodeClient<Channel>,
}

impl Ground {
    async fn new() -> Self {
        let kubelet = tempfile::tempdir().unwrap().keep();
        for folder in ["plugins_registry", "pods"] {
            std::fs::create_dir(kubelet.join(folder)).unwrap();
        }
        let line = format!("csi_kubelet_dir = \"{}\"", kubelet.display());
        let settings = ServerSettings::new(Maker::Signet);
        let tune = |agent: signet_tests::AgentSettings| {
            agent
                .line(&line)
                .environment("NODE_NAME", Path::new("node-1"))
        };
        let scene = Scene::tuned(&settings, tune).await;
        let socket = kubelet.join("plugins/csi.spiffe.io/csi.sock");
        let driver = NodeClient::new(channel(&socket).await.unwrap());
        Self {
            scene,
            kubelet,
            driver,
        }
    }

    fn target(&self) -> PathBuf {
        self.kubelet.join("pods/mount")
    }

    fn publish(&self) -> NodePublishVolumeRequest {
        NodePublishVolumeRequest {
            volume_id: "csi-1".to_owned(),
            target_path: self.target().display().to_string(),
            volume_capability: Some(VolumeCapability {
                access_type: Some(AccessType::Mount(MountVolume::default())),
            }),
            readonly: true,
            volume_context: [("csi.storage.k8s.io/ephemeral".into(), "true".into())].into(),
        }
    }

    fn unpublish(&self) -> NodeUnpublishVolumeRequest {
        NodeUnpublishVolumeRequest {
            volume_id: "csi-1".to_owned(),
            target_path: self.target().display().to_string(),
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Nothing that is mounted may be walked into and removed.
        let view = self.kubelet.join("plugins/csi.spiffe.io/folder");
        for mounted in [view, self.target()] {
            let _unmounted = rustix::mount::unmount(mounted, rustix::mount::UnmountFlags::DETACH);
        }
        if std::fs::remove_dir(self.target()).is_ok() || !self.target().exists() {
            let _left = std::fs::remove_dir_all(&self.kubelet);
        }
    }
}

async fn fetches(socket: &Path) -> bool {
    let Ok(channel) = channel(socket).await else {
        return false;
    };
    let mut client = SpiffeWorkloadApiClient::new(channel);
    let answer = client
        .fetch_x509svid(workload_request(X509svidRequest {}))
        .await;
    match answer {
        Ok(stream) => matches!(stream.into_inner().message().await, Ok(Some(_))),
        Err(_) => false,
    }
}

#[tokio::test]
async fn the_kubelet_finds_the_driver_by_its_registration_folder() {
    let ground = Ground::new().await;
    let socket = ground
        .kubelet
        .join("plugins_registry/csi.spiffe.io-reg.sock");
    let mut registration = RegistrationClient::new(channel(&socket).await.unwrap());
    let info = registration
        .get_info(InfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((&*info.r#type, &*info.name), ("CSIPlugin", "csi.spiffe.io"));
    assert_eq!(info.supported_versions, ["1.0.0"]);
    let refused = RegistrationStatus {
        plugin_registered: false,
        error: "a reason".to_owned(),
    };
    registration
        .notify_registration_status(refused)
        .await
        .unwrap();
    assert!(ground.scene.agent.log().contains("a reason"));

    let endpoint = channel(Path::new(&info.endpoint)).await.unwrap();
    let mut identity = IdentityClient::new(endpoint.clone());
    let about = identity
        .get_plugin_info(GetPluginInfoRequest {})
        .await
        .unwrap();
    assert_eq!(about.into_inner().name, info.name);
    let probe = identity.probe(ProbeRequest {}).await.unwrap().into_inner();
    assert_eq!(probe.ready, Some(true));
    let all = GetPluginCapabilitiesRequest {};
    identity.get_plugin_capabilities(all).await.unwrap();
    let mut node = NodeClient::new(endpoint);
    node.node_get_capabilities(NodeGetCapabilitiesRequest {})
        .await
        .unwrap();
    let about = node.node_get_info(NodeGetInfoRequest {}).await.unwrap();
    assert_eq!(about.into_inner().node_id, "node-1");
}

#[tokio::test]
async fn a_volume_is_the_folder_of_the_socket_until_it_is_taken_out_again() {
    let name = "a_volume_is_the_folder_of_the_socket_until_it_is_taken_out_again";
    let mut ground = Ground::new().await;
    let published = ground.driver.node_publish_volume(ground.publish()).await;
    if let Err(status) = &published
        && status.message().contains("Operation not permitted")
    {
        skipped(name, "nothing can be mounted on this machine");
        return;
    }
    published.unwrap();
    let again = ground.driver.node_publish_volume(ground.publish()).await;
    again.unwrap();
    ground.scene.server.entry("/pod", &[]).await;
    let socket = ground.target().join("agent.sock");
    wait::until("an SVID by the volume", async || {
        fetches(&socket).await.then_some(())
    })
    .await;
    let written = std::fs::write(ground.target().join("file"), "");
    let error = written.expect_err("read-only").kind();
    assert_eq!(error, std::io::ErrorKind::ReadOnlyFilesystem);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let target = ground.target().display().to_string();
    let of_ours: Vec<_> = mounts
        .lines()
        .filter(|line| line.contains(&target))
        .collect();
    assert_eq!(of_ours.len(), 1, "{of_ours:?}");
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(of_ours[0].contains(flag), "{flag}: {of_ours:?}");
    }

    let gone = ground.unpublish();
    ground.driver.node_unpublish_volume(gone).await.unwrap();
    assert!(!ground.target().exists());
    assert!(ground.scene.agent.socket.exists(), "only the view is gone");
    let gone = ground.unpublish();
    ground.driver.node_unpublish_volume(gone).await.unwrap();
}

#[tokio::test]
async fn places_outside_of_pods_are_left_alone() {
    let mut ground = Ground::new().await;
    let outside = ground.kubelet.join("elsewhere");
    for target in [
        outside.clone(),
        ground.kubelet.join("pods/../elsewhere"),
        ground.kubelet.join("pods"),
    ] {
        let target_path = target.display().to_string();
        let publish = NodePublishVolumeRequest {
            target_path: target_path.clone(),
            ..ground.publish()
        };
        let refused = ground.driver.node_publish_volume(publish).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        let unpublish = NodeUnpublishVolumeRequest {
            target_path,
            ..ground.unpublish()
        };
        let refused = ground.driver.node_unpublish_volume(unpublish).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    assert!(!outside.exists());
    assert!(ground.kubelet.join("pods").exists());
}

#[tokio::test]
async fn a_volume_that_could_be_written_is_refused() {
    let mut ground = Ground::new().await;
    let publish = NodePublishVolumeRequest {
        readonly: false,
        ..ground.publish()
    };
    let refused = ground.driver.node_publish_volume(publish).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("readOnly: true"), "{refused}");
    assert!(!ground.target().exists());
}
