//! The own process: hardened, since keys are in its memory, and with room for its connections.

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

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

/// Raises the limit on open files as far as the system lets this process, and gives what holds now:
/// each connection is one, and the usual soft limit of 1024 is for programs that select.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _refused = setrlimit(Resource::Nofile, raised);
    open_files()
}

/// How many files this process may have open.
pub fn open_files() -> u64 {
    // No limit is a limit that nobody reaches.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_open_files_is_raised_to_what_is_allowed() {
        let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_open_files(), allowed);
        assert_eq!(open_files(), allowed);
    }
}
