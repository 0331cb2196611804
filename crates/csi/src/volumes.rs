//! The folder's appearances in pods: bind mounts, read-only.
//!
//! A mount is passed on to the node the moment it is made, and a change of its flags is not. So the flags
//! are set on a view of our own first, from which those in pods are made with them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Locked while it is looked after: the kubelet mounts the volumes of many pods at once.
    view: Arc<Mutex<PathBuf>>,
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
    /// Puts the folder `source` into pods, whose folders are below `pods`, by way of a `view` that
    /// nothing else uses.
    pub fn new(source: PathBuf, view: PathBuf, pods: PathBuf) -> Self {
        Self {
            source,
            view: Arc::new(Mutex::new(view)),
            pods,
        }
    }

    /// Has `target` show the folder; again is as good as once.
    ///
    /// # Errors
    /// [`VolumeError`] says which step failed.
    pub fn publish(&self, target: &Path) -> Result<(), VolumeError> {
        self.check(target)?;
        if self.shows(target)? {
            return Ok(());
        }
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&view)?;
        bind(&view, target)
    }

    /// Has the view show the folder.
    fn look(&self, view: &Path) -> Result<(), VolumeError> {
        if !self.shows(view)? {
            bind(&self.source, view)?;
        }
        // A bind mount takes its flags in a second step only; again is as good as once.
        let restricted = mount_remount(view, FLAGS, c"");
        restricted.map_err(|error| VolumeError::Mount(error.into()))
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

/// Has `target` show what `source` shows, with its flags.
fn bind(source: &Path, target: &Path) -> Result<(), VolumeError> {
    clear(target)?;
    make(target).map_err(VolumeError::Make)?;
    mount_bind(source, target).map_err(|error| VolumeError::Mount(error.into()))
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
        let volumes = Volumes::new(
            "/run/agent".into(),
            "/view".into(),
            "/var/lib/kubelet/pods".into(),
        );
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
