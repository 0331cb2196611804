//! Scenarios that need what a machine may lack.

use std::io::Write;
use std::path::PathBuf;

/// Says on standard error, past the test runner's capture, that `name` did not run, and why.
pub fn skipped(name: &str, reason: &str) {
    let line = format!("skipped: {name}: {reason}\n");
    // Nothing depends on the line's arrival.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The path in an environment variable, or a skip.
pub fn path_from(variable: &str, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    if path.is_none() {
        skipped(name, &format!("{variable} is not set"));
    }
    path.map(Into::into)
}

/// The first of these programs that is not on the path.
pub fn missing_program<'p>(programs: &[&'p str]) -> Option<&'p str> {
    let found = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    programs.iter().copied().find(|program| !found(program))
}
