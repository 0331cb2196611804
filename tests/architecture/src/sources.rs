//! Our Rust files, and what is asked of each.

use std::{
    fs,
    path::{Path, PathBuf},
};

const FOLDERS: &[&str] = &["crates", "server", "agent", "tests", "examples"];
const VAGUE: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "manager", "handler",
];

/// All of them, by their path from the top of the tree.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&top().join(folder), &mut found);
    }
    assert!(found.len() > 100, "the walk found only {}", found.len());
    found.sort();
    found
}

/// Whether the first line is a `//!` with words.
pub(crate) fn opens_with_its_job(file: &Path) -> bool {
    let text = fs::read_to_string(top().join(file)).expect("a readable file");
    let first = text.lines().next().unwrap_or_default();
    first
        .strip_prefix("//!")
        .is_some_and(|job| !job.trim().is_empty())
}

/// Whether the module's name would fit any other module as well.
pub(crate) fn has_a_vague_name(file: &Path) -> bool {
    file.with_extension("")
        .components()
        .any(|part| VAGUE.iter().any(|vague| part.as_os_str() == *vague))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            let short = path.strip_prefix(top()).expect("below the top");
            found.push(short.to_owned());
        }
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the package lies two folders down")
}
