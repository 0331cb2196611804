//! Real processes that try to pass for another one.
//!
//! The other processes are this test program again, in a role. Nobody sleeps: each step is told by
//! a byte over the connection, or by the kernel.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use signet_workload_attestor::peer::{
    AcceptError, Access, Peer, PeerConn, PeerGone, PeerListener, PeerRefused, ProcRoot,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::StreamExt;

const ROLE: &str = "SIGNET_TEST_ROLE";
const SOCKET: &str = "SIGNET_TEST_SOCKET";
const PROGRAM: &str = "SIGNET_TEST_PROGRAM";

/// Not a test: what this program does when a test has started it again.
#[test]
#[ignore = "run by the other tests, as another process"]
#[allow(
    clippy::zombie_processes,
    reason = "the one who inherits a connection outlives us"
)]
fn other_process() {
    let Some(role) = std::env::var_os(ROLE) else {
        return;
    };
    match role.to_str().unwrap() {
        "idle" => drop(std::io::stdin().read(&mut [0])),
        "connect and exit" => drop(connect()),
        "stay" => wait_for_order(&mut connect()),
        "execute" => {
            let mut stream = connect();
            wait_for_order(&mut stream);
            let program = PathBuf::from(std::env::var_os(PROGRAM).unwrap());
            panic!(
                "{}",
                in_role(&program, "inherited")
                    .stdin(descriptor(&stream))
                    .exec()
            );
        }
        "change user" => {
            let mut stream = connect();
            wait_for_order(&mut stream);
            let program = std::env::current_exe().unwrap();
            let mut command = in_role(&program, "inherited");
            panic!(
                "{}",
                command
                    .stdin(descriptor(&stream))
                    .uid(65534)
                    .gid(65534)
                    .exec()
            );
        }
        "pass on" => {
            let mut stream = connect();
            let program = std::env::current_exe().unwrap();
            let mut command = in_role(&program, "inherited");
            command.stdin(descriptor(&stream)).spawn().unwrap();
            wait_for_order(&mut stream);
        }
        "inherited" => {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            let mut stream = UnixStream::from(stdin);
            stream.write_all(b"r").unwrap();
            while stream.read(&mut [0]).unwrap() > 0 {}
        }
        "listen" => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(listen_and_expect_an_unseen_peer());
        }
        role => panic!("no role {role}"),
    }
}

async fn listen_and_expect_an_unseen_peer() {
    let path = std::env::var_os(SOCKET).unwrap();
    let listener = PeerListener::bind(path, Access::Public).unwrap();
    println!("\nlistening");
    let refused = listener.accept().await;
    assert!(matches!(
        refused,
        Err(AcceptError::Refused(PeerRefused::Unseen))
    ));
    println!("\nunseen");
}

fn connect() -> UnixStream {
    UnixStream::connect(std::env::var_os(SOCKET).unwrap()).unwrap()
}

/// One byte, or the end of the connection.
fn wait_for_order(stream: &mut UnixStream) {
    let _ = stream.read(&mut [0]);
}

fn descriptor(stream: &UnixStream) -> Stdio {
    Stdio::from(stream.as_fd().try_clone_to_owned().unwrap())
}

fn in_role(program: &Path, role: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "other_process", "--ignored", "--nocapture"]);
    command.env(ROLE, role).stdout(Stdio::null());
    command
}

/// A listener, and a copy of this program that any user may execute.
struct Scene {
    dir: TempDir,
    listener: PeerListener,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let listener = PeerListener::bind(dir.path().join("api.sock"), Access::Public).unwrap();
        Self { dir, listener }
    }

    fn program(&self, name: &str) -> PathBuf {
        let program = self.dir.path().join(name);
        // Were it written here, a process that another test starts meanwhile could hold it open to write
        // for a moment, and it could not be run.
        let mut copy = Command::new("cp");
        copy.arg(std::env::current_exe().unwrap()).arg(&program);
        assert!(copy.status().unwrap().success());
        program
    }

    fn command(&self, program: &Path, role: &str) -> Command {
        let mut command = in_role(program, role);
        command.env(SOCKET, self.listener.path());
        command
    }

    fn start(&self, role: &str) -> Child {
        self.command(&std::env::current_exe().unwrap(), role)
            .spawn()
            .unwrap()
    }

    async fn accept(&self, child: &Child) -> PeerConn {
        let connection = self.listener.accept().await.unwrap();
        assert_eq!(connection.peer().pid(), number(child));
        connection.peer().still_same().unwrap();
        connection
    }
}

fn number(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

async fn order(connection: &mut PeerConn) {
    connection.write_all(b"x").await.unwrap();
}

async fn answer(connection: &mut PeerConn) {
    assert_eq!(connection.read_u8().await.unwrap(), b'r');
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn a_process_that_waits_is_the_same_until_it_exits() {
    let scene = Scene::new();
    let mut child = scene.start("stay");
    let mut connection = scene.accept(&child).await;
    order(&mut connection).await;
    child.wait().unwrap();
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::Exited)
    ));
}

#[tokio::test]
async fn a_zombie_is_gone_though_its_number_and_its_files_remain() {
    let scene = Scene::new();
    let mut child = scene.start("stay");
    let mut connection = scene.accept(&child).await;
    order(&mut connection).await;
    let pid = Pid::from_raw(number(&child)).unwrap();
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )
    .unwrap();
    assert!(Path::new(&format!("/proc/{}/stat", child.id())).exists());
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::Exited)
    ));
    child.wait().unwrap();
}

#[tokio::test]
async fn a_process_that_exits_before_it_is_accepted_is_refused() {
    let scene = Scene::new();
    scene.start("connect and exit").wait().unwrap();
    let refused = scene.listener.accept().await;
    assert!(matches!(refused, Err(AcceptError::Refused(_))));
}

#[tokio::test]
async fn the_stream_of_connections_passes_over_a_refused_one() {
    let scene = Scene::new();
    scene.start("connect and exit").wait().unwrap();
    let mut child = scene.start("stay");
    let mut connections = std::pin::pin!(scene.listener.into_stream());
    let mut connection = connections.next().await.unwrap().unwrap();
    assert_eq!(connection.peer().pid(), number(&child));
    order(&mut connection).await;
    child.wait().unwrap();
}

#[tokio::test]
async fn a_dead_process_is_refused_though_its_child_holds_the_connection() {
    let scene = Scene::new();
    let mut child = scene.start("pass on");
    let mut connection = scene.accept(&child).await;
    answer(&mut connection).await;
    connection.peer().still_same().unwrap();
    // The order may be read by the heir instead: so end the maker by force.
    child.kill().unwrap();
    child.wait().unwrap();
    connection.write_all(b"still open").await.unwrap();
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::Exited)
    ));
}

#[tokio::test]
async fn executing_another_program_after_connecting_is_noticed() {
    let scene = Scene::new();
    let trusted = scene.program("trusted");
    let mut command = scene.command(&std::env::current_exe().unwrap(), "execute");
    let mut child = command.env(PROGRAM, trusted).spawn().unwrap();
    let mut connection = scene.accept(&child).await;
    order(&mut connection).await;
    answer(&mut connection).await;
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::Executed)
    ));
    drop(connection);
    child.wait().unwrap();
}

#[tokio::test]
async fn another_user_in_the_same_program_is_noticed() {
    if !is_root() {
        eprintln!("skipped: only root can change its user");
        return;
    }
    let scene = Scene::new();
    let program = scene.program("program");
    let mut child = scene.command(&program, "change user").spawn().unwrap();
    let mut connection = scene.accept(&child).await;
    order(&mut connection).await;
    answer(&mut connection).await;
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::CredentialsChanged)
    ));
    drop(connection);
    child.wait().unwrap();
}

#[tokio::test]
async fn a_process_that_is_moved_to_another_cgroup_is_noticed() {
    let Some(cgroup) = Cgroup::new() else {
        eprintln!("skipped: no cgroup hierarchy is writable");
        return;
    };
    let scene = Scene::new();
    let mut child = scene.start("stay");
    let mut connection = scene.accept(&child).await;
    cgroup.take(&child);
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::CgroupMoved)
    ));
    order(&mut connection).await;
    child.wait().unwrap();
}

#[tokio::test]
async fn the_next_process_with_the_same_number_is_not_the_peer() {
    let scene = Scene::new();
    let mut first = scene.start("stay");
    let mut connection = scene.accept(&first).await;
    order(&mut connection).await;
    first.wait().unwrap();
    let Some(heir) = Heir::of_number(first.id()) else {
        eprintln!("skipped: process numbers cannot be chosen here");
        return;
    };
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::Exited)
    ));
    drop(heir);
}

#[tokio::test]
async fn a_connection_of_the_dead_is_not_ascribed_to_the_next_with_its_number() {
    let scene = Scene::new();
    let mut first = scene.start("connect and exit");
    first.wait().unwrap();
    let Some(heir) = Heir::of_number(first.id()).filter(|_| kernel_has_peer_pidfd()) else {
        eprintln!("skipped: process numbers cannot be chosen here, or the kernel is before 6.5");
        return;
    };
    Peer::of_pid(number(&heir.0), &ProcRoot::default()).unwrap();
    let refused = scene.listener.accept().await;
    assert!(matches!(refused, Err(AcceptError::Refused(_))));
}

#[tokio::test]
async fn facts_of_a_process_file_system_that_lies_about_the_start_are_refused() {
    let scene = Scene::new();
    let pid = std::process::id();
    let double = scene.dir.path().join("proc");
    let own = double.join(pid.to_string());
    std::fs::create_dir_all(&own).unwrap();
    for file in ["stat", "status", "cgroup"] {
        std::fs::copy(format!("/proc/{pid}/{file}"), own.join(file)).unwrap();
    }
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), own.join("exe")).unwrap();
    let _client = UnixStream::connect(scene.listener.path()).unwrap();
    let listener = scene.listener.with_proc_root(ProcRoot::new(&double));
    let connection = listener.accept().await.unwrap();
    connection.peer().still_same().unwrap();

    let stat = std::fs::read_to_string(own.join("stat")).unwrap();
    let started = connection.peer().facts().start_time;
    let later = stat.replace(&format!(" {started} "), &format!(" {} ", started + 1));
    std::fs::write(own.join("stat"), later).unwrap();
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::Replaced)
    ));
    std::fs::remove_file(own.join("stat")).unwrap();
    assert!(matches!(
        connection.peer().still_same(),
        Err(PeerGone::Unreadable(_))
    ));
}

#[test]
fn a_process_outside_the_listeners_pid_namespace_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("api.sock");
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork"]).arg(program);
    command.args(["--exact", "other_process", "--ignored", "--nocapture"]);
    command
        .env(ROLE, "listen")
        .env(SOCKET, &socket)
        .stdout(Stdio::piped());
    let Ok(mut child) = command.stderr(Stdio::null()).spawn() else {
        eprintln!("skipped: no unshare here");
        return;
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    if !lines.any(|line| line == "listening") {
        eprintln!("skipped: PID namespaces cannot be made here");
        child.wait().unwrap();
        return;
    }
    let _client = UnixStream::connect(&socket).unwrap();
    assert!(lines.any(|line| line == "unseen"));
    child.wait().unwrap();
}

/// `SO_PEERPIDFD` came with Linux 6.5; without it a reused number is a race that can be lost.
fn kernel_has_peer_pidfd() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(5))
}

/// A live process that got the number of a dead one.
struct Heir(Child);

impl Heir {
    /// Starts processes until one has this number; `None` if numbers cannot be chosen.
    fn of_number(wanted: u32) -> Option<Self> {
        const TRIES: usize = 100;
        let program = std::env::current_exe().unwrap();
        for _ in 0..TRIES {
            std::fs::write("/proc/sys/kernel/ns_last_pid", (wanted - 1).to_string()).ok()?;
            let child = in_role(&program, "idle")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let heir = Self(child);
            if heir.0.id() == wanted {
                return Some(heir);
            }
        }
        None
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A cgroup of our own in whichever hierarchy is writable.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Option<Self> {
        let name = format!("signet-test-{}", std::process::id());
        let hierarchies = ["", "unified", "pids", "freezer", "systemd", "memory"];
        hierarchies.into_iter().find_map(|hierarchy| {
            let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(&name);
            std::fs::create_dir(&path).ok()?;
            let usable = path.join("cgroup.procs").exists();
            let cgroup = Self(path);
            usable.then_some(cgroup)
        })
    }

    fn take(&self, child: &Child) {
        std::fs::write(self.0.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
