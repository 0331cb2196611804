//! Cgroups as a kubelet and its container runtime make them, in the machine's own tree.

use std::fs;
use std::path::{Path, PathBuf};

/// Where hierarchies are mounted: the second version alone or beside the first, and the first's one
/// without a controller.
const MOUNTS: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/systemd",
];

/// One cgroup in each hierarchy that there is. They are removed with this, if they are empty then.
#[derive(Debug)]
pub struct Cgroups {
    folders: Vec<PathBuf>,
    made: Vec<PathBuf>,
    enter: String,
}

impl Cgroups {
    /// Makes the cgroup of this path, which does not begin with a slash; `None` where the machine does
    /// not let us.
    pub fn make(path: &str) -> Option<Self> {
        let mounts = MOUNTS.map(Path::new);
        let mounts = mounts
            .iter()
            .filter(|mount| mount.join("cgroup.procs").exists());
        let mut cgroups = Self {
            folders: Vec::new(),
            made: Vec::new(),
            enter: String::new(),
        };
        for mount in mounts {
            cgroups.make_below(mount, path)?;
        }
        for folder in &cgroups.folders {
            let procs = folder.join("cgroup.procs");
            cgroups.enter += &format!("echo $$ > {} && ", procs.display());
        }
        cgroups.enter += "exec \"$@\"";
        (!cgroups.folders.is_empty()).then_some(cgroups)
    }

    fn make_below(&mut self, mount: &Path, path: &str) -> Option<()> {
        let mut folder = mount.to_owned();
        for part in path.split('/') {
            folder.push(part);
            if !folder.exists() {
                fs::create_dir(&folder).ok()?;
                self.made.push(folder.clone());
            }
        }
        self.folders.push(folder);
        Some(())
    }

    /// What a shell does to run its arguments in here.
    pub fn enter(&self) -> &str {
        &self.enter
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for folder in self.made.iter().rev() {
            // Another scenario may be using the upper ones.
            let _ = fs::remove_dir(folder);
        }
    }
}
