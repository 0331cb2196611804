//! Names of users and groups from the machine's account files, read again when they change.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// No account file of a machine is larger; a longer one is cut off, which only costs names.
const MAX_FILE: u64 = 64 << 20;

/// From number to name.
pub(super) type Names = HashMap<u32, Box<str>>;

/// The machine's user database: a file in the form of `/etc/passwd` and one like `/etc/group`.
#[derive(Debug)]
pub struct AccountFiles {
    passwd: NameFile,
    group: NameFile,
}

/// One file, and what it said when last read.
#[derive(Debug)]
struct NameFile {
    path: PathBuf,
    read: Mutex<Option<(Version, Arc<Names>)>>,
}

/// What changes when the file does: device, inode, size, times of change.
type Version = (u64, u64, u64, i64, i64, i64);

impl AccountFiles {
    /// The database in these two files. They need not exist.
    pub fn new(passwd: impl Into<PathBuf>, group: impl Into<PathBuf>) -> Self {
        Self {
            passwd: NameFile::new(passwd.into()),
            group: NameFile::new(group.into()),
        }
    }

    /// Names of users.
    pub(super) fn users(&self) -> Arc<Names> {
        self.passwd.names()
    }

    /// Names of groups.
    pub(super) fn groups(&self) -> Arc<Names> {
        self.group.names()
    }
}

impl Default for AccountFiles {
    fn default() -> Self {
        Self::new("/etc/passwd", "/etc/group")
    }
}

impl NameFile {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::new(None),
        }
    }

    /// The names now; none if the file cannot be read.
    fn names(&self) -> Arc<Names> {
        self.current().unwrap_or_else(|error| {
            let path = self.path.display();
            tracing::debug!(%path, %error, "no names from the user database");
            Arc::default()
        })
    }

    fn current(&self) -> io::Result<Arc<Names>> {
        let file = File::open(&self.path)?;
        let version = version(&file.metadata()?);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, names)) = &*read
            && *known == version
        {
            return Ok(names.clone());
        }
        let mut text = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut text)?;
        let names = Arc::new(parse(&String::from_utf8_lossy(&text)));
        *read = Some((version, names.clone()));
        Ok(names)
    }
}

fn version(metadata: &Metadata) -> Version {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime_nsec(),
    )
}

/// Both files have the name in the first and the number in the third field. Where a number occurs
/// twice the first name counts, as in the C library. Lines that start with `+` or `-` are
/// references to other databases.
fn parse(text: &str) -> Names {
    let mut names = Names::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with(['#', '+', '-']))
    {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty());
        let number = fields.nth(1).and_then(|number| number.parse().ok());
        if let (Some(name), Some(number)) = (name, number) {
            names.entry(number).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_number_counts() {
        let names = parse("root:x:0:0:::\ntoor:x:0:0:::\n");
        assert_eq!(names[&0].as_ref(), "root");
    }

    #[test]
    fn lines_of_other_forms_are_passed_over() {
        let text = "# c:x:1:\n\n:x:2:\nname\nname:x\nname:x:minus:\nname:x:-1:\n+nis:x:3:\nok:x:4";
        let names = parse(text);
        assert_eq!(names.len(), 1);
        assert_eq!(names[&4].as_ref(), "ok");
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("group");
        let accounts = AccountFiles::new(temp.path().join("passwd"), &path);
        assert!(accounts.groups().is_empty());
        std::fs::write(&path, "staff:x:50:\n").unwrap();
        assert_eq!(accounts.groups()[&50].as_ref(), "staff");
        std::fs::write(&path, "people:x:50:\n").unwrap();
        assert_eq!(accounts.groups()[&50].as_ref(), "people");
    }
}
