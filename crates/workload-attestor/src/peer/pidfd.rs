//! A handle on the process at the other end of a socket that can never mean another process.
//!
//! `SO_PEERPIDFD` (Linux 6.5) gives the handle of exactly the process that called `connect`. On an
//! older kernel we open the number that `SO_PEERCRED` names. Between connecting and opening, the
//! process may have exited and its number may have been given to another one; the later comparison
//! of user and group narrows that race to processes of the same user, it does not close it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The handle of the process that connected `socket`, whose number is `pid`.
pub(super) fn of_peer(socket: &impl AsFd, pid: i32) -> io::Result<OwnedFd> {
    match getsockopt(socket, sockopt::PeerPidfd) {
        Err(Errno::ENOPROTOOPT) => open(pid),
        answer => Ok(answer?),
    }
}

/// The handle of the process that has this number now.
pub(super) fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whether the process has ended: a pidfd becomes readable then, before the process is reaped.
pub(super) fn has_exited(pidfd: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Ok(poll(&mut fds, Some(&now))? > 0)
}
