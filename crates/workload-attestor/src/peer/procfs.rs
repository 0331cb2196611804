//! What `/proc/<pid>` tells of a process. Parsing is apart from reading, so that it can be tried
//! on odd texts.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ExeFile, PeerGone, Process, pidfd};

/// `/proc/<pid>/stat` is one line of some 50 numbers and a name of at most 64 bytes.
const MAX_STAT: u64 = 4 << 10;

/// `/proc/<pid>/status`: about 2 KiB, and 11 bytes for each of at most 65,536 groups.
const MAX_STATUS: u64 = 1 << 20;

/// `/proc/<pid>/cgroup`: a path of at most 4 KiB for each of at most a dozen hierarchies.
const MAX_CGROUP: u64 = 64 << 10;

/// Where the process file system is mounted: `/proc`, or the host's inside a container.
#[derive(Clone, Debug)]
pub struct ProcRoot(Arc<Path>);

/// What was noted of a process. Two equal values mean: nothing that selectors depend on changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Start time in clock ticks since boot; with the number it names a process.
    pub start_time: u64,
    /// Effective user ID.
    pub uid: u32,
    /// Effective group ID.
    pub gid: u32,
    /// Supplementary group IDs, in the kernel's order.
    pub groups: Vec<u32>,
    /// The program; `None` if the agent has no right to see it.
    pub exe: Option<ExeId>,
    /// The content of `/proc/<pid>/cgroup`; names of cgroups may be any bytes.
    pub cgroup: Box<[u8]>,
}

/// The program file a process executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExeId {
    /// Device number of its file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// One state of a program file. A change of the content changes the times or the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExeStamp {
    /// Which file.
    pub id: ExeId,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, seconds and nanoseconds since the epoch.
    pub modified: (i64, i64),
    /// Last change of content or attributes, seconds and nanoseconds since the epoch.
    pub changed: (i64, i64),
}

/// What could not be read of a process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file under the process directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The file is not as the kernel writes it.
    #[error("{} has an unexpected form", path.display())]
    Malformed {
        /// The file under the process directory.
        path: PathBuf,
    },
    /// The file is longer than any the kernel writes.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file under the process directory.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
}

/// The directory of one process, and the handle that tells whether it still is that one.
pub(super) struct ProcessDir {
    dir: PathBuf,
    pidfd: OwnedFd,
}

impl ProcRoot {
    /// The process file system mounted at `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(Arc::from(path.as_ref()))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for ProcRoot {
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl Facts {
    /// The gravest way in which `now` differs, if it does.
    pub(super) fn first_difference(&self, now: &Self) -> Option<PeerGone> {
        if self.start_time != now.start_time {
            Some(PeerGone::Replaced)
        } else if self.exe != now.exe {
            Some(PeerGone::Executed)
        } else if self.cgroup != now.cgroup {
            Some(PeerGone::CgroupMoved)
        } else if self != now {
            Some(PeerGone::CredentialsChanged)
        } else {
            None
        }
    }
}

impl ProcessDir {
    pub(super) fn new(root: ProcRoot, pid: i32, pidfd: OwnedFd) -> Self {
        let dir = root.path().join(pid.to_string());
        Self { dir, pidfd }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Reads and parses one small file.
    fn read<T>(
        &self,
        name: &str,
        limit: u64,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ProcError> {
        let path = self.file(name);
        let bytes = match read_at_most(&path, limit) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(ProcError::TooLong { path, limit }),
            Err(source) => return Err(ProcError::Read { path, source }),
        };
        parse(&bytes).ok_or(ProcError::Malformed { path })
    }

    /// The program's inode, `None` if we may not see it. Whether we may see it is itself compared.
    fn exe_id(&self) -> Result<Option<ExeId>, ProcError> {
        let path = self.file("exe");
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(ExeId::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            Err(source) => Err(ProcError::Read { path, source }),
        }
    }
}

impl Process for ProcessDir {
    fn facts(&self) -> Result<Facts, ProcError> {
        let start_time = self.read("stat", MAX_STAT, parse_start_time)?;
        let status = self.read("status", MAX_STATUS, parse_status)?;
        let exe = self.exe_id()?;
        let cgroup = self.read("cgroup", MAX_CGROUP, |bytes| Some(bytes.into()))?;
        Ok(Facts {
            start_time,
            uid: status.uid,
            gid: status.gid,
            groups: status.groups,
            exe,
            cgroup,
        })
    }

    fn has_exited(&self) -> io::Result<bool> {
        pidfd::has_exited(&self.pidfd)
    }

    fn exe_path(&self) -> Result<PathBuf, ProcError> {
        let path = self.file("exe");
        std::fs::read_link(&path).map_err(|source| ProcError::Read { path, source })
    }

    fn open_exe(&self) -> Result<Box<dyn ExeFile>, ProcError> {
        let path = self.file("exe");
        match File::open(&path) {
            Ok(file) => Ok(Box::new(OpenExe { path, file })),
            Err(source) => Err(ProcError::Read { path, source }),
        }
    }
}

/// The program of a process, opened through `/proc/<pid>/exe`, which names the file the process
/// runs even if its path now leads elsewhere.
struct OpenExe {
    path: PathBuf,
    file: File,
}

impl Read for OpenExe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl ExeFile for OpenExe {
    fn stamp(&self) -> Result<ExeStamp, ProcError> {
        match self.file.metadata() {
            Ok(metadata) => Ok(ExeStamp::of(&metadata)),
            Err(source) => Err(ProcError::Read {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

impl ExeId {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl ExeStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            id: ExeId::of(metadata),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The whole file, or `None` if it is longer than `limit`.
fn read_at_most(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Field 22 of `/proc/<pid>/stat`. The second field is the name in parentheses, which the process
/// chooses and which may hold spaces and parentheses; so we count from the last `)`.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    const FIRST_AFTER_NAME: usize = 3;
    const START_TIME: usize = 22;
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end_of_name + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    fields.nth(START_TIME - FIRST_AFTER_NAME)?.parse().ok()
}

/// The credentials in `/proc/<pid>/status`.
#[derive(Debug, PartialEq)]
struct Status {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

fn parse_status(status: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(status);
    Some(Status {
        uid: effective(line(&text, "Uid:")?)?,
        gid: effective(line(&text, "Gid:")?)?,
        groups: numbers(line(&text, "Groups:")?)?,
    })
}

/// What follows a key. The kernel escapes line ends in the process's name, so that a name cannot
/// pose as a line.
fn line<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key))
}

/// The second of: real, effective, saved, file system.
fn effective(ids: &str) -> Option<u32> {
    numbers(ids)?.get(1).copied()
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_ascii_whitespace()
        .map(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\ta\\nUid: 0 0 0 0\nUmask:\t0022\nState:\tS (sleeping)\n\
        Uid:\t1000\t1001\t1002\t1003\nGid:\t2000\t2001\t2002\t2003\nGroups:\t4 27 \n";

    fn stat(name: &str) -> String {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        format!("17 ({name}) {}\n", fields.join(" "))
    }

    #[test]
    fn the_start_time_is_field_22() {
        assert_eq!(parse_start_time(stat("sleep").as_bytes()), Some(22));
    }

    #[test]
    fn a_name_with_parentheses_and_numbers_does_not_shift_the_fields() {
        let name = "x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 99 (";
        assert_eq!(parse_start_time(stat(name).as_bytes()), Some(22));
        let mut bytes = stat("n?me").into_bytes();
        bytes[5] = 0xff;
        assert_eq!(parse_start_time(&bytes), Some(22));
    }

    #[test]
    fn a_stat_that_is_cut_off_or_empty_has_no_start_time() {
        for text in ["", "17", "17 (sleep", "17 (sleep) S 1 2 3", "17 (sleep)"] {
            assert_eq!(parse_start_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_effective_ids_are_taken_and_a_name_cannot_pose_as_a_line() {
        let status = parse_status(STATUS.as_bytes()).unwrap();
        assert_eq!((status.uid, status.gid), (1001, 2001));
        assert_eq!(status.groups, [4, 27]);
    }

    #[test]
    fn a_status_without_credentials_is_malformed() {
        for text in ["", "Uid:\t1\nGid:\t1\t1\nGroups:\n", "Uid:\tx\tx\n"] {
            assert_eq!(parse_status(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_process_without_supplementary_groups_has_none() {
        let text = STATUS.replace("4 27 ", "");
        assert!(parse_status(text.as_bytes()).unwrap().groups.is_empty());
    }

    #[test]
    fn our_own_process_can_be_read() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let dir = ProcessDir::new(ProcRoot::default(), pid, pidfd::open(pid).unwrap());
        let facts = dir.facts().unwrap();
        assert!(facts.start_time > 0);
        assert!(facts.exe.is_some());
        assert!(!dir.has_exited().unwrap());
        assert_eq!(dir.exe_path().unwrap(), std::env::current_exe().unwrap());
        assert_eq!(Some(dir.open_exe().unwrap().stamp().unwrap().id), facts.exe);
    }

    #[test]
    fn a_file_that_never_ends_is_refused() {
        assert!(read_at_most(Path::new("/dev/zero"), 100).unwrap().is_none());
    }
}
