//! A process that exists only in memory, for simulations and for tests of what depends on a peer.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ExeFile, ExeId, ExeStamp, Facts, ProcError, Process};

/// A process under the control of a test. Clones are the same process.
#[derive(Clone, Debug)]
pub struct FakeProcess {
    pid: i32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    facts: Facts,
    path: PathBuf,
    program: Arc<[u8]>,
    written: i64,
    exited: bool,
}

impl FakeProcess {
    /// A live process of this user and group, without supplementary groups, that executes an empty
    /// program.
    pub fn new(pid: i32, uid: u32, gid: u32) -> Self {
        let facts = Facts {
            start_time: 1,
            uid,
            gid,
            groups: Vec::new(),
            exe: Some(ExeId {
                device: 1,
                inode: 1,
            }),
            cgroup: (*b"0::/\n").into(),
        };
        let state = State {
            facts,
            path: "/fake".into(),
            program: Arc::from([]),
            written: 0,
            exited: false,
        };
        Self {
            pid,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Executes another program: the process stays, its inode does not.
    pub fn exec(&self, path: impl Into<PathBuf>, program: &[u8]) {
        self.change(|state| {
            state.path = path.into();
            state.program = program.into();
            if let Some(exe) = &mut state.facts.exe {
                exe.inode += 1;
            }
        });
    }

    /// Overwrites the program file in place.
    pub fn overwrite(&self, program: &[u8]) {
        self.change(|state| {
            state.program = program.into();
            state.written += 1;
        });
    }

    /// Hides the program, as the kernel does from an agent without the rights.
    pub fn hide_exe(&self) {
        self.change(|state| state.facts.exe = None);
    }

    /// Moves the process; `text` is the new content of its cgroup file.
    pub fn move_to_cgroup(&self, text: &str) {
        self.change(|state| state.facts.cgroup = text.as_bytes().into());
    }

    /// Sets the supplementary groups.
    pub fn set_groups(&self, groups: &[u32]) {
        self.change(|state| state.facts.groups = groups.to_vec());
    }

    /// Sets the effective user and group.
    pub fn set_user(&self, uid: u32, gid: u32) {
        self.change(|state| (state.facts.uid, state.facts.gid) = (uid, gid));
    }

    /// Gives the number to another process, unnoticed by the handle.
    pub fn restart_at(&self, start_time: u64) {
        self.change(|state| state.facts.start_time = start_time);
    }

    /// Ends the process.
    pub fn exit(&self) {
        self.change(|state| state.exited = true);
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Process for FakeProcess {
    fn facts(&self) -> Result<Facts, ProcError> {
        Ok(self.change(|state| state.facts.clone()))
    }

    fn has_exited(&self) -> io::Result<bool> {
        Ok(self.change(|state| state.exited))
    }

    fn exe_path(&self) -> Result<PathBuf, ProcError> {
        Ok(self.change(|state| state.path.clone()))
    }

    fn open_exe(&self) -> Result<Box<dyn ExeFile>, ProcError> {
        let hidden = || ProcError::Read {
            path: "exe".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        self.change(|state| match state.facts.exe {
            None => Err(hidden()),
            Some(id) => Ok(Box::new(FakeExe {
                process: self.clone(),
                id,
                content: Cursor::new(state.program.clone()),
            }) as Box<dyn ExeFile>),
        })
    }
}

struct FakeExe {
    process: FakeProcess,
    id: ExeId,
    content: Cursor<Arc<[u8]>>,
}

impl Read for FakeExe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

impl ExeFile for FakeExe {
    fn stamp(&self) -> Result<ExeStamp, ProcError> {
        let written = self.process.change(|state| state.written);
        Ok(ExeStamp {
            id: self.id,
            size: self.content.get_ref().len() as u64,
            modified: (written, 0),
            changed: (written, 0),
        })
    }
}
