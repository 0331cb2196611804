//! Hardening of the own process: keys are in its memory.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Files that the programs make are for owner and group at most, as SPIRE's.
const UMASK: u32 = 0o027;

/// No core dumps, no reading of this process's memory by others of the same user, and no files for
/// everybody. What the system refuses stays as it is.
pub fn harden() {
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _refused = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    let _before = rustix::process::umask(Mode::from_raw_mode(UMASK));
}
