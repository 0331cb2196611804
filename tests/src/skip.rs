//! Scenarios that need what a machine may lack.

use std::io::Write;

/// Says on standard error, past the test runner's capture, that `name` did not run, and why.
pub fn skipped(name: &str, reason: &str) {
    let line = format!("skipped: {name}: {reason}\n");
    // Nothing depends on the line's arrival.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The path in an environment variable, or a skip.
pub fn path_from(variable: &str, name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    if path.is_none() {
        skipped(name, &format!("{variable} is not set"));
    }
    path.map(Into::into)
}
