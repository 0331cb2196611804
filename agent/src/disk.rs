//! The agent's own SVID and bundle between two runs, in the file SPIRE's agent keeps:
//! `agent-data.json`, one line, mode 0600, replaced atomically. A data directory of a stopped SPIRE
//! agent is taken over as it is, and the reverse.
//!
//! Keys are not here (`keys.json` is the key manager's), nor is anything of a workload.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use signet_spiffe::pem;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file's name, as SPIRE has it.
const FILE: &str = "agent-data.json";
/// The lock's name; SPIRE has none.
const LOCK: &str = ".signet-agent.lock";
/// Far more than an SVID and a bundle of a hundred authorities take.
const MAX_BYTES: u64 = 8 << 20;
/// What SPIRE writes when there was no re-bootstrap.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
/// `bootstrap_use` after a successful start.
const BOOTSTRAPPED: i32 = 2;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The agent's certificate chain, leaf first, in DER; empty when there is none.
    pub svid: Vec<Arc<[u8]>>,
    /// The X.509 authorities of the own trust domain in DER.
    pub bundle: Vec<Arc<[u8]>>,
    /// Whether the server lets this agent attest again.
    pub reattestable: bool,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The directory cannot be made.
    #[error("could not create the data directory {}", .path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The lock file cannot be opened or locked.
    #[error("could not lock the data directory with {}", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another agent runs on this directory.
    #[error("another signet-agent runs on the data directory {}: stop it, or give this one its own data_dir", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("could not read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what an agent writes.
    #[error("{} is damaged ({what}): remove it to attest anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        what: String,
    },
    /// The file cannot be written.
    #[error("could not write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The data directory, held by this process alone while this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens the directory, makes it if needed, and refuses it when another agent runs on it.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(path);
        made.map_err(|source| DiskError::Create {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            _lock: lock(path)?,
            path: path.to_owned(),
        })
    }

    /// What the agent stored last; nothing at the first start.
    pub fn load(&self) -> Result<Stored, DiskError> {
        let path = self.file();
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
            Err(source) => return Err(DiskError::Read { path, source }),
        }
        let damaged = |what: String| DiskError::Damaged {
            path: path.clone(),
            what,
        };
        let form: Form = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        form.decode().map_err(damaged)
    }

    /// Replaces what is stored; after a crash the file is the old one or the new one.
    pub fn save(&self, stored: &Stored) -> Result<(), DiskError> {
        let path = self.file();
        let text = serde_json::to_vec(&Form::encode(stored)).expect("plain data serializes");
        replace(&path, &text).map_err(|source| DiskError::Write { path, source })
    }

    fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }
}

fn lock(directory: &Path) -> Result<File, DiskError> {
    let path = directory.join(LOCK);
    let opened = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    let fail = |source| DiskError::Lock {
        path: path.clone(),
        source,
    };
    let file = opened.map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(DiskError::InUse {
            path: directory.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(fail(source)),
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.tmp");
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// The file's form. Each certificate is PEM, and each PEM is base64 once more, as Go writes bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Form {
    #[serde(default, deserialize_with = "null_is_empty")]
    svid: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    bundle: Vec<String>,
    #[serde(default)]
    reattestable: bool,
    #[serde(default)]
    bootstrap_use: i32,
    #[serde(default)]
    bootstrap_start_time: String,
    #[serde(default)]
    connection_attempts: i32,
}

impl Form {
    fn encode(stored: &Stored) -> Self {
        let pems = |certs: &[Arc<[u8]>]| -> Vec<String> {
            let pems = certs.iter().map(|der| pem::encode_pem_certs([der]));
            pems.map(|pem| STANDARD.encode(pem)).collect()
        };
        Self {
            svid: pems(&stored.svid),
            bundle: pems(&stored.bundle),
            reattestable: stored.reattestable,
            bootstrap_use: BOOTSTRAPPED,
            bootstrap_start_time: NO_TIME.to_owned(),
            connection_attempts: 0,
        }
    }

    fn decode(self) -> Result<Stored, String> {
        Ok(Stored {
            svid: certificates("svid", &self.svid)?,
            bundle: certificates("bundle", &self.bundle)?,
            reattestable: self.reattestable,
        })
    }
}

fn certificates(key: &str, texts: &[String]) -> Result<Vec<Arc<[u8]>>, String> {
    let mut certs = Vec::new();
    for text in texts {
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("{key}: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|error| format!("{key}: {error}"))?;
        let ders = pem::parse_pem_certs(&text).map_err(|error| format!("{key}: {error}"))?;
        certs.extend(ders.into_iter().map(Arc::from));
    }
    Ok(certs)
}

fn null_is_empty<'de, D>(input: D) -> Result<Vec<String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Ok(Option::<Vec<String>>::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Ca;
    use std::os::unix::fs::PermissionsExt;

    fn stored() -> Stored {
        let ca = Ca::new();
        Stored {
            svid: vec![ca.authority().der],
            bundle: vec![Ca::new().authority().der, Ca::new().authority().der],
            reattestable: true,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_after_a_restart() {
        let dir = tempfile::tempdir().expect("made");
        let (path, stored) = (dir.path().join("data"), stored());
        let first = DataDir::open(&path).expect("opened");
        assert_eq!(first.load().expect("empty"), Stored::default());
        first.save(&stored).expect("saved");
        drop(first);
        let second = DataDir::open(&path).expect("opened again");
        assert_eq!(second.load().expect("loaded"), stored);
    }

    #[test]
    fn the_file_is_spires_one_line_of_base64_of_pem_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("made");
        let data = DataDir::open(dir.path()).expect("opened");
        data.save(&stored()).expect("saved");
        let path = dir.path().join("agent-data.json");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&path).expect("text");
        assert!(!text.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let first = json["svid"][0].as_str().expect("text");
        let pem = STANDARD.decode(first).expect("base64");
        assert!(pem.starts_with(b"-----BEGIN CERTIFICATE-----\n"));
        assert_eq!(json["bootstrap_use"], 2);
        assert_eq!(json["bootstrap_start_time"], "0001-01-01T00:00:00Z");
        assert_eq!(json["connection_attempts"], 0);
        assert_eq!(json["reattestable"], true);
    }

    #[test]
    fn a_file_of_an_agent_that_never_attested_is_read() {
        let dir = tempfile::tempdir().expect("made");
        let data = DataDir::open(dir.path()).expect("opened");
        let text = r#"{"svid":null,"bundle":null,"reattestable":false,"unknown":1}"#;
        fs::write(dir.path().join("agent-data.json"), text).expect("written");
        assert_eq!(data.load().expect("loaded"), Stored::default());
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_name() {
        let dir = tempfile::tempdir().expect("made");
        let data = DataDir::open(dir.path()).expect("opened");
        for damaged in [
            "",
            "{",
            r#"{"svid":["!"]}"#,
            r#"{"svid":["aGVsbG8="],"bundle":3}"#,
        ] {
            fs::write(dir.path().join("agent-data.json"), damaged).expect("written");
            let error = data.load().expect_err("damaged");
            assert!(error.to_string().contains("agent-data.json"), "{error}");
        }
    }

    #[test]
    fn a_second_agent_on_the_same_directory_is_refused() {
        let dir = tempfile::tempdir().expect("made");
        let _first = DataDir::open(dir.path()).expect("opened");
        let error = DataDir::open(dir.path()).expect_err("in use");
        assert!(matches!(error, DiskError::InUse { .. }), "{error}");
    }
}
