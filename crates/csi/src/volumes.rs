//! The folder's appearances in pods: bind mounts, read-only.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

/// The folder is for finding a socket; nothing in it is to be run, be a device or raise a privilege.
const FLAGS: MountFlags = MountFlags::BIND
    .union(MountFlags::RDONLY)
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// Mounts lying over each other at one place: after crashes there may be two.
const MAX_LAYERS: usize = 8;

/// The mode of the folder that is mounted over, until it is.
const TARGET_MODE: u32 = 0o750;

/// Puts one folder into pods.
#[derive(Clone, Debug)]
pub struct Volumes {
    source: PathBuf,
    pods: PathBuf,
}

/// Why a volume was not put into its pod or taken out of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The kubelet asks for a place outside of its pods.
    #[error("the target is not a folder of a pod, below {}", .0.display())]
    Target(PathBuf),
    /// The agent's folder is not there.
    #[error("the folder of the agent's socket cannot be read")]
    Source(#[source] io::Error),
    /// The folder to mount at cannot be made.
    #[error("the volume's folder cannot be made")]
    Make(#[source] io::Error),
    /// The kernel refused.
    #[error("the volume cannot be mounted; is the agent's container privileged?")]
    Mount(#[source] io::Error),
    /// It is in use, or the kernel refused.
    #[error("the volume cannot be unmounted")]
    Unmount(#[source] io::Error),
    /// The folder cannot be removed.
    #[error("the volume's folder cannot be removed")]
    Remove(#[source] io::Error),
}

impl Volumes {
    /// Puts the folder `source` into pods, whose folders are below `pods`.
    pub fn new(source: PathBuf, pods: PathBuf) -> Self {
        Self { source, pods }
    }

    /// Has `target` show the folder; again is as good as once.
    ///
    /// # Errors
    /// [`VolumeError`] says which step failed. Nothing is left mounted that could be written.
    pub fn publish(&self, target: &Path) -> Result<(), VolumeError> {
        self.check(target)?;
        if !self.shows(target)? {
            clear(target)?;
            make(target).map_err(VolumeError::Make)?;
            mount_bind(&self.source, target).map_err(|error| VolumeError::Mount(error.into()))?;
        }
        // A bind mount takes its flags in a second step only.
        let restricted = mount_remount(target, FLAGS, c"");
        restricted.map_err(|error| {
            let _the_first_fault_is_told = clear(target);
            VolumeError::Mount(error.into())
        })
    }

    /// Takes the folder away from `target`, and `target` with it; again is as good as once.
    ///
    /// # Errors
    /// [`VolumeError`] says which step failed.
    pub fn unpublish(&self, target: &Path) -> Result<(), VolumeError> {
        self.check(target)?;
        clear(target)?;
        match fs::remove_dir(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(VolumeError::Remove(error))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, target: &Path) -> Result<(), VolumeError> {
        let below = target.strip_prefix(&self.pods).ok();
        let plain = |path: &Path| {
            let mut parts = path.components();
            parts.next().is_some()
                && path
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)))
        };
        match below.is_some_and(plain) {
            true => Ok(()),
            false => Err(VolumeError::Target(self.pods.clone())),
        }
    }

    fn shows(&self, target: &Path) -> Result<bool, VolumeError> {
        let source = fs::metadata(&self.source).map_err(VolumeError::Source)?;
        let target = fs::symlink_metadata(target);
        let same = |found: fs::Metadata| (found.dev(), found.ino()) == (source.dev(), source.ino());
        Ok(target.is_ok_and(same))
    }
}

fn make(target: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(TARGET_MODE).create(target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Unmounts whatever is mounted at `target`.
fn clear(target: &Path) -> Result<(), VolumeError> {
    for _ in 0..MAX_LAYERS {
        match unmount(target, UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there (any more), or there is no such place.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(VolumeError::Unmount(error.into())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_pods_are_mounted_at() {
        let volumes = Volumes::new("/run/agent".into(), "/var/lib/kubelet/pods".into());
        let good = "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/spiffe/mount";
        assert!(volumes.check(Path::new(good)).is_ok());
        for bad in [
            "",
            "/",
            "/etc",
            "/var/lib/kubelet/pods",
            "/var/lib/kubelet/pods/",
            "/var/lib/kubelet/pods/../../../../etc",
            "/var/lib/kubelet/pods/u/../../x",
            "/var/lib/kubelet/pods-of-others/u",
            "var/lib/kubelet/pods/u",
        ] {
            let refused = volumes.check(Path::new(bad));
            assert!(matches!(refused, Err(VolumeError::Target(_))), "{bad}");
        }
    }
}
