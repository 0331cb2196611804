//! Mounting in truth, where this process may.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use rustix::mount::{UnmountFlags, unmount};
use signet_csi::{VolumeError, Volumes};
use tempfile::TempDir;

/// Enough for two to meet between looking and mounting.
const ROUNDS: usize = 300;
const PODS: usize = 4;

/// A node that has just started: nothing is mounted yet.
struct Node {
    folder: TempDir,
    volumes: Volumes,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["source", "pods"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("source/agent.sock"), "").unwrap();
        let volumes = Volumes::new(at("source"), at("view"), at("pods"));
        Self { folder, volumes }
    }

    fn pod(&self, number: usize) -> PathBuf {
        self.folder.path().join("pods").join(number.to_string())
    }

    /// Asks for the volumes of all pods in the same moment.
    fn publish_all(&self) -> Vec<Result<(), VolumeError>> {
        let barrier = Barrier::new(PODS);
        let publish = |target: &Path| {
            barrier.wait();
            self.volumes.publish(target)
        };
        std::thread::scope(|scope| {
            let pods = (0..PODS).map(|number| self.pod(number));
            let asked = pods.map(|target| scope.spawn(move || publish(&target)));
            let asked: Vec<_> = asked.collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let pods = (0..PODS).map(|number| self.pod(number));
        for mounted in pods.chain([self.folder.path().join("view")]) {
            while unmount(&mounted, UnmountFlags::DETACH).is_ok() {}
        }
    }
}

#[test]
fn the_volumes_of_many_pods_can_be_asked_for_at_once() {
    for _ in 0..ROUNDS {
        let node = Node::new();
        for published in node.publish_all() {
            match published {
                Err(VolumeError::Mount(error)) if error.kind() == ErrorKind::PermissionDenied => {
                    println!(
                        "skipped: the_volumes_of_many_pods_can_be_asked_for_at_once: nothing can be mounted on \
                         this machine"
                    );
                    return;
                }
                published => published.unwrap(),
            }
        }
        for number in 0..PODS {
            assert!(node.pod(number).join("agent.sock").exists());
            let written = std::fs::write(node.pod(number).join("file"), "");
            assert_eq!(written.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
        }
    }
}
