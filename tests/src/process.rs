//! One running program, its log and its end.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What of a log is shown when a test fails.
const TAIL_LINES: usize = 60;

/// A program that runs until it is told to end, or this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to the end of a file.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(program: &Path, arguments: &[A], log: &Path) -> Self {
        Self::start_with(program, arguments, log, &[])
    }

    /// As [`Process::start`], with further environment variables.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        log: &Path,
        variables: &[(String, PathBuf)],
    ) -> Self {
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let errors = file.try_clone().expect("a second handle of the log file");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors);
        let child = command.kill_on_drop(true).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name,
            child,
            log: log.to_owned(),
        }
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child
            .id()
            .unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).expect("a signal to a child of ours");
    }

    /// Kills it as a power cut would, and waits until it is gone.
    ///
    /// # Panics
    /// When it has ended before.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        let status = self.ended().await;
        assert_eq!(
            status.signal(),
            Some(9),
            "{} ended by itself: {status}",
            self.name
        );
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn terminate(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended(&mut self) -> ExitStatus {
        self.ended_within(crate::wait::PATIENCE).await
    }

    /// Waits until it has ended, that long at most.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended_within(&mut self, time: Duration) -> ExitStatus {
        let status = timeout(time, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} still runs after {time:?}", self.name));
        status.expect("a status of a child of ours")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// All it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

#[allow(
    clippy::print_stderr,
    reason = "the test runner shows it with the failure"
)]
impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!("--- {} ---\n{}\n---", self.name, tail.join("\n"));
        }
    }
}
