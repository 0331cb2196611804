//! Our Rust files, and what is asked of each.

use std::{
    collections::HashSet,
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

/// Whether the file has a test of this name that is run.
pub(crate) fn has_test(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(top().join(file)).expect("a readable file");
    let mut before = "";
    for line in text.lines() {
        if line.contains(&format!("fn {name}(")) {
            return before.starts_with("#[test]") || before.starts_with("#[tokio::test");
        }
        before = line.trim_start();
    }
    false
}

/// Whether the module's name would fit any other module as well.
pub(crate) fn has_a_vague_name(file: &Path) -> bool {
    file.with_extension("")
        .components()
        .any(|part| VAGUE.iter().any(|vague| part.as_os_str() == *vague))
}

/// The use cases of the server: they know neither the wire nor what carries it.
pub(crate) const USE_CASES: &[&str] = &[
    "agents", "attest", "bundles", "entries", "issue", "prune", "sync", "wait",
];

/// Stores, key managers and attestors by their types. A program names them where it is put together.
pub(crate) const PLUGINS: &[&str] = &[
    "CombinedAgent",
    "CombinedServer",
    "DiskKeys",
    "JoinTokenAgent",
    "JoinTokenServer",
    "MemoryKeys",
    "MemoryStore",
    "OidcAgent",
    "OidcServer",
    "Pkcs11Keys",
    "RedbStore",
    "SledStore",
    "UnixAttestor",
    "X509PopAgent",
    "X509PopServer",
];

/// The files of a use case: one of its name, or those in a folder of its name.
pub(crate) fn of_use_case(name: &str) -> Vec<PathBuf> {
    let place = Path::new("server/src").join(name);
    let mut files = files();
    files.retain(|file| file.with_extension("") == place || file.starts_with(&place));
    files.retain(|file| !is_test(file));
    files
}

/// The files of both programs, their tests left out.
pub(crate) fn of_programs() -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|file| file.starts_with("server/src") || file.starts_with("agent/src"));
    files.retain(|file| !is_test(file));
    files
}

/// Where the code, comments and tests left out, names one of these.
pub(crate) fn names<'a>(file: &Path, words: &[&'a str]) -> Vec<&'a str> {
    let text = fs::read_to_string(top().join(file)).expect("a readable file");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let tokens = lines.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let tokens: HashSet<_> = tokens.collect();
    let mut found = words.to_vec();
    found.retain(|word| tokens.contains(word));
    found
}

/// Whether the file is of the module that puts a program together.
pub(crate) fn is_assembly(file: &Path) -> bool {
    let path = file.with_extension("");
    path.components().any(|part| part.as_os_str() == "assemble")
}

fn is_test(file: &Path) -> bool {
    let stem = file.file_stem().is_some_and(|stem| stem == "tests");
    stem || file
        .components()
        .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "testing")
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
