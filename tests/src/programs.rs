//! Where the programs are. Ours stand beside the tests, and are built when they are not there or
//! older than their source; SPIRE's are named by `SPIRE_SERVER` and `SPIRE_AGENT`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::skip;

/// Who made a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// We.
    Signet,
    /// The SPIRE project.
    Spire,
}

impl Maker {
    /// The server's program.
    pub fn server(self) -> PathBuf {
        match self {
            Self::Signet => signet("signet-server", "SIGNET_SERVER"),
            Self::Spire => spire("SPIRE_SERVER"),
        }
    }

    /// The agent's program.
    pub fn agent(self) -> PathBuf {
        match self {
            Self::Signet => signet("signet-agent", "SIGNET_AGENT"),
            Self::Spire => spire("SPIRE_AGENT"),
        }
    }
}

/// Whether SPIRE's programs are here; if not, the scenario `name` is skipped.
pub fn spire_is_here(name: &str) -> bool {
    ["SPIRE_SERVER", "SPIRE_AGENT"]
        .iter()
        .all(|variable| skip::path_from(variable, name).is_some())
}

fn spire(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    path.unwrap_or_else(|| panic!("{variable}: see programs::spire_is_here"))
        .into()
}

fn signet(name: &str, variable: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let directory = directory();
    let names = ["signet-server", "signet-agent"];
    BUILT.get_or_init(|| {
        if !names.iter().all(|name| is_fresh(&directory, name)) {
            build(&directory);
        }
    });
    directory.join(name)
}

/// Of the programs of the build that these tests belong to.
fn directory() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let deps = test.parent().expect("tests are in deps");
    deps.parent()
        .expect("deps is in the profile's directory")
        .to_owned()
}

/// Cargo writes beside a program which files it was made of.
fn is_fresh(directory: &Path, name: &str) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified());
    let Ok(made) = modified(&directory.join(name)) else {
        return false;
    };
    let Ok(sources) = std::fs::read_to_string(directory.join(name).with_extension("d")) else {
        return false;
    };
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources);
    let changed = |path: &str| modified(Path::new(path)).unwrap_or(SystemTime::UNIX_EPOCH);
    sources.split_whitespace().all(|path| changed(path) <= made)
}

fn build(directory: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--bins",
        "-p",
        "signet-server",
        "-p",
        "signet-agent",
    ]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env(
        "CARGO_TARGET_DIR",
        directory.parent().expect("the target directory"),
    );
    if directory.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "the programs could not be built");
}
