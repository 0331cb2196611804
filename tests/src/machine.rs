//! A machine within this one: mounts, network, processes and cgroups of its own. Whatever runs, is
//! mounted or linked there is gone with it, also after a failed test.
//!
//! It has the kernel, the programs and the disk of the machine that it is in; `/run`, `/var/lib` and
//! `/var/log` are its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::Instant;

use crate::command::{self, Output};
use crate::skip::{missing_program, skipped};
use crate::{Process, wait};

/// Its address.
pub const ADDRESS: &str = "10.231.0.1";

/// The first address of the services of its cluster, which is the API server's.
pub const API_ADDRESS: &str = "10.96.0.1";

/// The one service that it knows by name, and its address.
pub const SERVICE: [&str; 2] = ["signet-server.signet", "10.96.0.81"];

const NEEDED: [&str; 5] = ["setpriv", "unshare", "nsenter", "ip", "iptables"];

const SETUP: &str = include_str!("machine.sh");

const CGROUPS: &str = "/sys/fs/cgroup";

/// How long all its processes take to end when their first one is killed.
const END: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// How long its cgroups stay in use after that, and how often that is tried.
const LEAVING: Duration = Duration::from_secs(10);
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Where a program is started.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The program that goes there, and its arguments; empty for this machine.
    enter: Vec<OsString>,
}

impl Place {
    /// Starts a program there; see [`Process::start`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(&self, program: &Path, arguments: &[A], log: &Path) -> Process {
        let line = self.line(program, arguments);
        Process::start(Path::new(&line[0]), &line[1..], log)
    }

    /// Runs a program there to its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<Path>,
        arguments: &[A],
        environment: &[(&str, &OsStr)],
    ) -> Output {
        let line = self.line(program.as_ref(), arguments);
        command::run_with(Path::new(&line[0]), &line[1..], environment).await
    }

    fn line<A: AsRef<OsStr>>(&self, program: &Path, arguments: &[A]) -> Vec<OsString> {
        let program = std::iter::once(program.as_os_str());
        let line = program.chain(arguments.iter().map(AsRef::as_ref));
        let enter = self.enter.iter().cloned();
        enter.chain(line.map(OsStr::to_owned)).collect()
    }
}

/// A machine, up until it is dropped.
#[derive(Debug)]
pub struct Machine {
    directory: PathBuf,
    /// The first process inside.
    init: OwnedFd,
    place: Place,
    cgroup: String,
    _outer: Process,
}

impl Machine {
    /// Boots it; if this machine cannot have one, the scenario `name` is skipped.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(directory: &Path, name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped(name, "it takes root");
            return None;
        }
        if let Some(program) = missing_program(&NEEDED) {
            skipped(name, &format!("{program} is not on the path"));
            return None;
        }
        let directory = directory.join("machine");
        fs::create_dir(&directory).expect("a directory");
        let mut outer = Self::boot(&directory);
        let up = directory.join("up");
        wait::until("a machine with its own network", async || {
            assert!(outer.is_running(), "it ended:\n{}", outer.log());
            up.exists().then_some(())
        })
        .await;
        let init = first_child(outer.pid()).expect("a process inside");
        let target = init.as_raw_nonzero().to_string();
        let enter = ["nsenter", "--target", &target, "--mount", "--net", "--pid"];
        let machine = Self {
            directory,
            init: pidfd_open(init, PidfdFlags::empty()).expect("a living process"),
            place: Place {
                enter: enter.map(OsString::from).to_vec(),
            },
            cgroup: format!("signet-machine-{}", outer.pid()),
            _outer: outer,
        };
        for folder in machine.cgroups() {
            fs::create_dir(folder).expect("a cgroup");
        }
        Some(machine)
    }

    fn boot(directory: &Path) -> Process {
        let at = directory.display().to_string();
        // It ends with this process, too, however that ends.
        let unshare = ["--pdeathsig", "KILL", "unshare", "--kill-child", "--fork"];
        let own = ["--mount", "--net", "--pid", "--mount-proc", "sh", "-c"];
        let [service, service_address] = SERVICE;
        let further = [&at, ADDRESS, API_ADDRESS, service, service_address];
        let arguments = [&unshare[..], &own, &[SETUP, "machine"], &further].concat();
        let log = directory.join("machine.log");
        Process::start(Path::new("setpriv"), &arguments, &log)
    }

    /// Inside.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A folder of its `/var`, seen from outside: `lib` or `log`.
    pub fn var(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The cgroup below which all of its containers are.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The containers' processes of this name, by their ids out here.
    pub fn containers(&self, program: &str) -> Vec<u32> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = all.filter_map(|one| one.file_name().to_str()?.parse().ok());
        let is_asked = |pid: &u32| {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
            read("comm").is_ok_and(|name| name.trim_end() == program)
                && read("cgroup").is_ok_and(|path| path.contains(&self.cgroup))
        };
        ids.filter(is_asked).collect()
    }

    /// That cgroup in each hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let below = |folder: PathBuf| {
            let is_hierarchy = folder.join("cgroup.procs").exists();
            is_hierarchy.then(|| folder.join(&self.cgroup))
        };
        let hierarchies = fs::read_dir(CGROUPS).into_iter().flatten().flatten();
        let all = hierarchies.filter(|one| one.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut found: Vec<_> = all.filter_map(|one| below(one.path())).collect();
        if Path::new(CGROUPS).join("cgroup.subtree_control").exists() {
            // The second version alone: what is below is no hierarchy of its own.
            found = vec![Path::new(CGROUPS).join(&self.cgroup)];
        }
        found
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel kills all the others before this one's end shows. It may be dead already.
        let _ = pidfd_send_signal(&self.init, Signal::KILL);
        let _ = poll(&mut [PollFd::new(&self.init, PollFlags::IN)], Some(&END));
        // The kernel may take a moment to count the dead out of their cgroups.
        let begun = Instant::now();
        while !self.cgroups().iter().all(|folder| remove(folder)) && begun.elapsed() < LEAVING {
            let _ = poll(&mut [], Some(&PAUSE));
        }
    }
}

/// Removes a cgroup with all below it, unless one is in use.
fn remove(cgroup: &Path) -> bool {
    for below in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&below.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
    !cgroup.exists()
}

fn first_child(parent: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let first = children.split_whitespace().next()?;
    Pid::from_raw(first.parse().ok()?)
}
