//! What the quickstart owns while it runs: a temporary folder and the programs started in it.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::program::{Program, ProgramError};

/// The trust domain of the example.
pub(crate) const TRUST_DOMAIN: &str = "example.org";

/// The folder, the programs and where they meet.
pub(crate) struct House {
    folder: TempDir,
    programs: PathBuf,
    /// In the order of their start.
    running: Vec<Program>,
    /// Where the server listens for agents, on the loopback address.
    pub(crate) port: u16,
}

impl House {
    /// Makes the folder and finds the programs beside this one.
    pub(crate) fn build() -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let programs = own.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self {
            folder: tempfile::Builder::new().prefix("signet-").tempdir()?,
            programs,
            running: Vec::new(),
            port: free_port()?,
        })
    }

    /// Starts a program; its log is `NAME.log` in the folder.
    pub(crate) fn start(&mut self, name: &'static str, args: &[&str]) -> Result<(), ProgramError> {
        let log = self.path(&format!("{name}.log"));
        let program = Program::start(name, &self.programs, args, &log)?;
        self.running.push(program);
        Ok(())
    }

    /// The program started last.
    pub(crate) fn newest(&mut self) -> &mut Program {
        self.running.last_mut().expect("a program was started")
    }

    /// Runs a command of a program to its end and returns what it printed.
    pub(crate) async fn command(
        &self,
        name: &'static str,
        args: &[&str],
    ) -> Result<String, ProgramError> {
        Program::command(name, &self.programs, args).await
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<String> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(show(&path))
    }

    /// The server's socket for the operator.
    pub(crate) fn admin_socket(&self) -> String {
        show(&self.path("server.sock"))
    }

    /// The agent's socket for workloads.
    pub(crate) fn workload_api(&self) -> String {
        show(&self.path("agent.sock"))
    }

    /// The folder.
    pub(crate) fn folder(&self) -> String {
        show(self.folder.path())
    }

    /// Stops the programs, the newest first, and removes the folder.
    pub(crate) async fn tear_down(mut self) -> io::Result<()> {
        while let Some(program) = self.running.pop() {
            program.stop().await?;
        }
        self.folder.close()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A port that nobody uses now.
fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
