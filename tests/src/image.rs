//! Container images made on the spot, without a registry and without a daemon: programs of this machine
//! with the shared libraries that they name.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::command;

/// What a container starts from.
#[derive(Debug)]
pub struct Image {
    /// Name and tag.
    pub name: String,
    programs: Vec<(PathBuf, String)>,
    entrypoint: Vec<String>,
}

impl Image {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            programs: Vec::new(),
            entrypoint: Vec::new(),
        }
    }

    /// Adds a program, by its path there.
    #[must_use]
    pub fn program(mut self, path: &Path, there: &str) -> Self {
        self.programs.push((path.to_owned(), there.to_owned()));
        self
    }

    /// What a container runs.
    #[must_use]
    pub fn entrypoint(mut self, line: &[&str]) -> Self {
        self.entrypoint = line.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// Makes an archive of it, as `docker save` does, and gives its path.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn archive(&self, directory: &Path) -> PathBuf {
        let name = self.name.replace(['/', ':'], "-");
        let work = directory.join(&name);
        let root = work.join("root");
        for folder in ["tmp", "etc", "proc", "usr/local/bin"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        for (program, there) in &self.programs {
            copy(program, &root, there).await;
            for library in libraries(program).await {
                copy(&library, &root, &library.display().to_string()).await;
            }
        }
        tar(&root, &work.join("layer.tar"), &["."]).await;
        let layer = sha256(&work.join("layer.tar")).await;
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": ["PATH=/usr/local/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        });
        // The name that a container runtime gives to one without a registry.
        let tag = format!("docker.io/library/{}", self.name);
        let manifest =
            json!([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]);
        fs::write(work.join("config.json"), config.to_string()).expect("a file");
        fs::write(work.join("manifest.json"), manifest.to_string()).expect("a file");
        let archive = directory.join(format!("{name}.tar"));
        let files = ["manifest.json", "config.json", "layer.tar"];
        tar(&work, &archive, &files).await;
        fs::remove_dir_all(&work).expect("a folder of ours");
        archive
    }
}

async fn copy(file: &Path, root: &Path, there: &str) {
    let target = root.join(there.trim_start_matches('/'));
    let folder = target.parent().expect("a path with a folder");
    fs::create_dir_all(folder).expect("a folder");
    let (file, target) = (file.display().to_string(), target.display().to_string());
    // The file itself, with its mode, where the path is a link.
    command::run("cp", &["--dereference", &file, &target])
        .await
        .ok();
}

/// The shared libraries of a program; none of a static one.
async fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = command::run("ldd", &[program]).await.stdout;
    let paths = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

async fn tar(folder: &Path, archive: &Path, files: &[&str]) {
    let (folder, archive) = (folder.display().to_string(), archive.display().to_string());
    let arguments = ["--numeric-owner", "--owner=0", "--group=0", "-C", &folder];
    let arguments = [&arguments[..], &["-cf", &archive], files].concat();
    command::run("tar", &arguments).await.ok();
}

async fn sha256(file: &Path) -> String {
    let sum = command::run("sha256sum", &[file]).await.ok();
    sum.split_whitespace().next().expect("a sum").to_owned()
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
