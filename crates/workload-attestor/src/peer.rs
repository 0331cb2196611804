//! The process at the other end of a Unix socket: who it was when its connection was accepted,
//! and whether it still is the same.
//!
//! All facts come from the kernel. At accept, in this order:
//!
//! 1. `SO_PEERCRED`: process, user and group that called `connect`;
//! 2. a pidfd of that process, which can never come to mean another one;
//! 3. its [`Facts`] under `/proc/<pid>`;
//! 4. the pidfd again: if the process has not exited by now, the number could not be reused in
//!    between, so the facts are its own;
//! 5. its effective user and group are those of the socket; otherwise it has executed a set-user-ID
//!    program or changed its credentials between connecting and accepting, and is refused.
//!
//! [`Peer::still_same`] repeats 3 to 5 and compares. Signal 0 would not do: it succeeds on a zombie.
//!
//! **Limits.** A descriptor can be shared: a process that forks, or passes the connection on, lends
//! out its identity for as long as it lives and executes nothing else. The kernel does not record
//! which program called `connect`; a process that executes another program *before* its connection
//! is accepted is seen as that program. So `path` and `sha256` selectors tell which program the
//! process runs, not who holds the other end of the socket; the user and the cgroup are what
//! separates workloads that do not trust each other.

mod connection;
#[cfg(any(test, feature = "testing"))]
mod fake;
mod listener;
mod pidfd;
mod procfs;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UnixStream;

pub use connection::PeerConn;
#[cfg(any(test, feature = "testing"))]
pub use fake::FakeProcess;
pub use listener::{AcceptError, Access, BindError, PeerListener};
pub use procfs::{ExeId, ExeStamp, Facts, ProcError, ProcRoot};

use procfs::ProcessDir;

/// A process that is a client of ours, as it was when it connected.
pub struct Peer {
    pid: i32,
    facts: Facts,
    process: Arc<dyn Process>,
    digest: Mutex<Option<(ExeStamp, [u8; 32])>>,
}

/// What a live process can be asked. Real ones answer from `/proc`, fakes from memory.
pub(crate) trait Process: Send + Sync {
    /// The facts as they are now. Another process may have taken the number: ask
    /// [`has_exited`](Self::has_exited) afterwards.
    fn facts(&self) -> Result<Facts, ProcError>;

    /// Whether the process has ended, be it reaped or a zombie. Once true it stays true.
    fn has_exited(&self) -> std::io::Result<bool>;

    /// The path of its program, as the kernel prints it.
    fn exe_path(&self) -> Result<PathBuf, ProcError>;

    /// Its program, opened; see [`ExeFile`].
    fn open_exe(&self) -> Result<Box<dyn ExeFile>, ProcError>;
}

/// The opened program of a process: to read it, and to see which state of which file it is.
pub(crate) trait ExeFile: std::io::Read + Send {
    /// Identity, size and times of the opened file, as they are now.
    fn stamp(&self) -> Result<ExeStamp, ProcError>;
}

/// Why a connection is closed at accept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerRefused {
    /// The kernel does not tell the credentials of the peer.
    #[error("cannot read the peer's credentials")]
    Credentials(#[source] std::io::Error),

    /// The peer lives in a PID namespace that cannot be seen from here.
    #[error(
        "the peer is in a PID namespace that the agent cannot see; run the agent in the host's (hostPID)"
    )]
    Unseen,

    /// No handle on the peer's process could be had.
    #[error("cannot open process {pid}")]
    Pidfd {
        /// The peer's process ID.
        pid: i32,
        /// What failed.
        #[source]
        source: std::io::Error,
    },

    /// The peer has changed since it connected.
    #[error("process {pid} is no longer what it was when it connected")]
    Gone {
        /// The peer's process ID.
        pid: i32,
        /// What changed.
        #[source]
        source: PeerGone,
    },
}

/// In which way a peer is no longer the process that connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerGone {
    /// It has ended.
    #[error("the process has exited")]
    Exited,
    /// Its number now belongs to another process.
    #[error("the process ID was taken by another process")]
    Replaced,
    /// It executes another program.
    #[error("the process executes another program")]
    Executed,
    /// It is in another cgroup.
    #[error("the process was moved to another cgroup")]
    CgroupMoved,
    /// It has another user, group or set of groups.
    #[error("the process changed its credentials")]
    CredentialsChanged,
    /// It cannot be told.
    #[error("the state of the process cannot be read")]
    Unreadable(#[source] ProcError),
    /// It cannot be told whether it lives.
    #[error("the process cannot be watched")]
    Unwatchable(#[source] std::io::Error),
}

impl Peer {
    /// The process that connected this socket.
    pub fn of_socket(stream: &UnixStream, proc: &ProcRoot) -> Result<Self, PeerRefused> {
        let credentials = stream.peer_cred().map_err(PeerRefused::Credentials)?;
        let pid = seen(credentials.pid())?;
        let pidfd =
            pidfd::of_peer(stream, pid).map_err(|source| PeerRefused::Pidfd { pid, source })?;
        let process = Arc::new(ProcessDir::new(proc.clone(), pid, pidfd));
        let owner = Some((credentials.uid(), credentials.gid()));
        Self::capture(pid, owner, process).map_err(|source| PeerRefused::Gone { pid, source })
    }

    /// The process with this number, for an agent that attests itself or is told a process ID by a
    /// trusted caller. Whether the caller meant the process that has the number *now* is the
    /// caller's matter.
    pub fn of_pid(pid: i32, proc: &ProcRoot) -> Result<Self, PeerRefused> {
        let pid = seen(Some(pid))?;
        let pidfd = pidfd::open(pid).map_err(|source| PeerRefused::Pidfd { pid, source })?;
        let process = Arc::new(ProcessDir::new(proc.clone(), pid, pidfd));
        Self::capture(pid, None, process).map_err(|source| PeerRefused::Gone { pid, source })
    }

    /// A peer that exists only in memory.
    #[cfg(any(test, feature = "testing"))]
    pub fn fake(process: &FakeProcess) -> Result<Self, PeerGone> {
        Self::capture(process.pid(), None, Arc::new(process.clone()))
    }

    fn capture(
        pid: i32,
        owner: Option<(u32, u32)>,
        process: Arc<dyn Process>,
    ) -> Result<Self, PeerGone> {
        let facts = live_facts(&*process)?;
        if owner.is_some_and(|owner| owner != (facts.uid, facts.gid)) {
            return Err(PeerGone::CredentialsChanged);
        }
        Ok(Self {
            pid,
            facts,
            process,
            digest: Mutex::new(None),
        })
    }

    /// Whether this still is the process that connected, alive, executing the same program, in the
    /// same cgroup, with the same credentials. To be asked after attestation and before a key
    /// leaves. A handful of small reads from `/proc`; does not block on anything else.
    pub fn still_same(&self) -> Result<(), PeerGone> {
        let now = live_facts(&*self.process)?;
        match self.facts.first_difference(&now) {
            None => Ok(()),
            Some(difference) => Err(difference),
        }
    }

    /// Process ID, in the agent's PID namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Effective user ID.
    pub fn uid(&self) -> u32 {
        self.facts.uid
    }

    /// Effective group ID.
    pub fn gid(&self) -> u32 {
        self.facts.gid
    }

    /// All that was noted at accept.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The path of the program as the kernel prints it, read now. ` (deleted)` is appended to that
    /// of a program whose file was removed.
    pub fn exe_path(&self) -> Result<PathBuf, ProcError> {
        self.process.exe_path()
    }

    pub(crate) fn open_exe(&self) -> Result<Box<dyn ExeFile>, ProcError> {
        self.process.open_exe()
    }

    /// The digest that was computed over this state of the program, if one was.
    pub(crate) fn known_digest(&self, of: &ExeStamp) -> Option<[u8; 32]> {
        let known = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .filter(|(stamp, _)| stamp == of)
            .map(|(_, digest)| digest)
    }

    pub(crate) fn remember_digest(&self, of: ExeStamp, digest: [u8; 32]) {
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = Some((of, digest));
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// Facts that are certain to be of a live process: what is read before the pidfd says "not yet
/// exited" cannot be of a process that took its number.
fn live_facts(process: &dyn Process) -> Result<Facts, PeerGone> {
    let facts = process.facts();
    if process.has_exited().map_err(PeerGone::Unwatchable)? {
        return Err(PeerGone::Exited);
    }
    facts.map_err(PeerGone::Unreadable)
}

/// A process ID of 0 is the kernel's way to say that the peer is not in a namespace of ours.
fn seen(pid: Option<i32>) -> Result<i32, PeerRefused> {
    pid.filter(|pid| *pid > 0).ok_or(PeerRefused::Unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> FakeProcess {
        FakeProcess::new(42, 1000, 1000)
    }

    #[test]
    fn a_process_that_stays_as_it_is_is_the_same() {
        let peer = Peer::fake(&workload()).unwrap();
        assert!(peer.still_same().is_ok());
    }

    #[test]
    fn a_process_id_of_zero_or_less_is_refused() {
        for pid in [None, Some(0), Some(-1)] {
            assert!(matches!(seen(pid), Err(PeerRefused::Unseen)));
        }
    }

    #[test]
    fn a_process_that_exits_is_gone() {
        let process = workload();
        let peer = Peer::fake(&process).unwrap();
        process.exit();
        assert!(matches!(peer.still_same(), Err(PeerGone::Exited)));
    }

    #[test]
    fn a_dead_process_is_not_captured() {
        let process = workload();
        process.exit();
        assert!(matches!(Peer::fake(&process), Err(PeerGone::Exited)));
    }

    #[test]
    fn a_reused_process_id_is_noticed_by_its_start_time() {
        let process = workload();
        let peer = Peer::fake(&process).unwrap();
        process.restart_at(7_777);
        assert!(matches!(peer.still_same(), Err(PeerGone::Replaced)));
    }

    #[test]
    fn a_process_that_executes_a_trusted_program_after_connecting_is_refused() {
        let process = workload();
        let peer = Peer::fake(&process).unwrap();
        process.exec("/usr/bin/trusted", b"trusted");
        assert!(matches!(peer.still_same(), Err(PeerGone::Executed)));
    }

    #[test]
    fn a_process_that_was_moved_to_another_cgroup_is_refused() {
        let process = workload();
        let peer = Peer::fake(&process).unwrap();
        process.move_to_cgroup("0::/other\n");
        assert!(matches!(peer.still_same(), Err(PeerGone::CgroupMoved)));
    }

    #[test]
    fn a_process_that_changes_user_or_groups_is_refused() {
        let process = workload();
        let peer = Peer::fake(&process).unwrap();
        process.set_groups(&[4, 27]);
        assert!(matches!(
            peer.still_same(),
            Err(PeerGone::CredentialsChanged)
        ));
        process.set_groups(&[]);
        assert!(peer.still_same().is_ok());
        process.set_user(0, 0);
        assert!(matches!(
            peer.still_same(),
            Err(PeerGone::CredentialsChanged)
        ));
    }

    #[test]
    fn the_owner_of_the_socket_must_be_the_owner_of_the_process() {
        let captured = Peer::capture(42, Some((1000, 1001)), Arc::new(workload()));
        assert!(matches!(captured, Err(PeerGone::CredentialsChanged)));
    }
}
