//! The audit log: one JSON line for everything issued, refused or changed, in append-only
//! segments. Each line carries the hash of the one before, so that a removed or altered line
//! shows. A line is written before the answer leaves (`kill -9` loses none) and synced to disk in
//! groups.
//!
//! When the disk refuses, lines wait in memory, in order, up to a limit: a full disk must not stop
//! the renewal of identities, but an unbounded gap in the record must not happen either, so past
//! the limit issuing is refused.

use serde::Serialize;
use signet_crypto::{hex, sha256};
use signet_runtime::{Clock, Stop};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A new segment starts when the current one has this size, so that old ones can be archived.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// How many lines may wait for a disk that refuses: about 10 MB.
const MAX_WAITING: usize = 20_000;
/// How often written lines are synced.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// Audit files may name every identity of the domain: for the owner only.
const SEGMENT_MODE: u32 = 0o600;
/// What stands for the hash before the first line.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A segment cannot be opened, read or written.
    #[error("audit log {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk has refused for so long that the record would have a gap.
    #[error("the audit log cannot be written and {MAX_WAITING} records wait: free disk space")]
    Behind,
    /// A line does not continue the chain.
    #[error("audit log {path} line {line}: {reason}: the record was altered")]
    Broken {
        /// The segment.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What does not fit.
        reason: &'static str,
    },
}

/// The open audit log. Clones share it.
#[derive(Clone)]
pub struct AuditLog {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<dyn Clock>,
}

struct Inner {
    directory: PathBuf,
    segment: u64,
    file: File,
    bytes: u64,
    sequence: u64,
    previous: String,
    waiting: VecDeque<String>,
    unsynced: bool,
    /// Whether the last write failed in the middle of a line.
    torn: bool,
}

#[derive(Serialize)]
struct Line<'a, T> {
    sequence: u64,
    time: &'a str,
    previous: &'a str,
    #[serde(flatten)]
    event: &'a T,
}

impl AuditLog {
    /// Opens the log in this directory, which is made if absent, and goes on where it ended.
    pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        std::fs::create_dir_all(directory).map_err(at(directory))?;
        let inner = Inner::open(directory)?;
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            clock,
        })
    }

    /// Writes one record. When this returns, `kill -9` cannot lose it, save while the disk refuses.
    pub fn record<T: Serialize>(&self, event: &T) -> Result<(), AuditError> {
        let time = OffsetDateTime::from(self.clock.now());
        let time = time
            .format(&Rfc3339)
            .expect("the wall clock shows a year that RFC 3339 has");
        self.with(|inner| inner.record(&time, event))
    }

    /// Syncs what was written since the last time. Called every 100 ms by [`AuditLog::run`].
    pub fn sync(&self) -> Result<(), AuditError> {
        self.with(Inner::sync)
    }

    /// Whether lines wait for a disk that refuses.
    pub fn is_behind(&self) -> bool {
        self.with(|inner| !inner.waiting.is_empty())
    }

    /// Syncs in groups until the stop signal, and once more then.
    pub async fn run(self, stop: Stop) -> Result<(), AuditError> {
        let mut failing = false;
        while !stop.is_stopped() {
            tokio::select! {
                () = stop.stopped() => {}
                () = tokio::time::sleep(SYNC_INTERVAL) => {}
            }
            let log = self.clone();
            let synced = tokio::task::spawn_blocking(move || log.sync()).await;
            match synced {
                Ok(Err(error)) if !failing => {
                    failing = true;
                    tracing::error!(%error, "the audit log cannot be written; records wait in memory");
                }
                Ok(Ok(())) if failing => {
                    failing = false;
                    tracing::info!("the audit log is written again");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditLog")
    }
}

impl Inner {
    fn open(directory: &Path) -> Result<Self, AuditError> {
        let last = segments(directory)?.into_iter().next_back();
        let (segment, tail) = match last {
            None => (1, Tail::default()),
            Some((number, path)) => (number, Tail::read(&path)?),
        };
        // A line torn by a power cut stays as it is; the next segment goes on after the last whole one.
        let segment = if tail.torn { segment + 1 } else { segment };
        let (file, bytes) = open_segment(directory, segment)?;
        Ok(Self {
            directory: directory.to_owned(),
            segment,
            file,
            bytes,
            sequence: tail.sequence,
            previous: tail.hash.unwrap_or_else(|| GENESIS.to_owned()),
            waiting: VecDeque::new(),
            unsynced: false,
            torn: false,
        })
    }

    fn record<T: Serialize>(&mut self, time: &str, event: &T) -> Result<(), AuditError> {
        if self.waiting.len() >= MAX_WAITING && self.flush().is_err() {
            return Err(AuditError::Behind);
        }
        self.sequence += 1;
        let line = Line {
            sequence: self.sequence,
            time,
            previous: &self.previous,
            event,
        };
        let mut line = serde_json::to_string(&line).expect("audit events have string keys only");
        self.previous = hex(&sha256(line.as_bytes()));
        line.push('\n');
        self.waiting.push_back(line);
        // A refusing disk is reported by the sync task, once.
        let _waits_in_memory = self.flush();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), AuditError> {
        while let Some(line) = self.waiting.front() {
            if self.torn || self.bytes >= SEGMENT_BYTES {
                let (file, bytes) = open_segment(&self.directory, self.segment + 1)?;
                (self.file, self.bytes, self.torn) = (file, bytes, false);
                self.segment += 1;
            }
            if let Err(source) = self.file.write_all(line.as_bytes()) {
                // Part of the line may stand in the file: take it back, or leave the segment.
                self.torn = self.file.set_len(self.bytes).is_err();
                return Err(at(&segment_path(&self.directory, self.segment))(source));
            }
            self.bytes += line.len() as u64;
            self.unsynced = true;
            self.waiting.pop_front();
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        self.flush()?;
        if self.unsynced {
            let path = segment_path(&self.directory, self.segment);
            self.file.sync_data().map_err(at(&path))?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// The end of a segment.
#[derive(Default)]
struct Tail {
    sequence: u64,
    hash: Option<String>,
    torn: bool,
}

impl Tail {
    fn read(path: &Path) -> Result<Self, AuditError> {
        let mut tail = Self::default();
        for line in lines(path)? {
            let line = line?;
            let Some(whole) = line.strip_suffix('\n') else {
                tail.torn = true;
                break;
            };
            tail.sequence = field(whole, "sequence")
                .and_then(|v| v.as_u64())
                .unwrap_or_default();
            tail.hash = Some(hex(&sha256(whole.as_bytes())));
        }
        if tail.hash.is_none() {
            tail.hash = first_previous(path)?;
        }
        Ok(tail)
    }
}

/// Checks the chain of a whole directory; returns how many records it holds.
pub fn verify(directory: &Path) -> Result<u64, AuditError> {
    let mut previous = GENESIS.to_owned();
    let mut records = 0;
    for (_, path) in segments(directory)? {
        for (index, line) in lines(&path)?.enumerate() {
            let line = line?;
            let Some(whole) = line.strip_suffix('\n') else {
                break;
            };
            let broken = |reason| AuditError::Broken {
                path: path.clone(),
                line: index + 1,
                reason,
            };
            let claimed =
                field(whole, "previous").ok_or_else(|| broken("no hash of the line before"))?;
            if claimed.as_str() != Some(previous.as_str()) {
                return Err(broken("it does not continue the line before"));
            }
            records += 1;
            if field(whole, "sequence").and_then(|v| v.as_u64()) != Some(records) {
                return Err(broken("its sequence number does not follow"));
            }
            previous = hex(&sha256(whole.as_bytes()));
        }
    }
    Ok(records)
}

fn field(line: &str, name: &str) -> Option<serde_json::Value> {
    serde_json::from_str::<serde_json::Value>(line)
        .ok()?
        .get(name)
        .cloned()
}

fn first_previous(path: &Path) -> Result<Option<String>, AuditError> {
    let directory = path.parent().unwrap_or(path);
    let before = segments(directory)?
        .into_iter()
        .rfind(|(_, other)| other.as_path() < path);
    match before {
        None => Ok(None),
        Some((_, path)) => Ok(Tail::read(&path)?.hash),
    }
}

fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String, AuditError>>, AuditError> {
    let file = File::open(path).map_err(at(path))?;
    let mut reader = BufReader::new(file);
    let path = path.to_owned();
    Ok(std::iter::from_fn(move || {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(source) => Some(Err(AuditError::Io {
                path: path.clone(),
                source,
            })),
        }
    }))
}

fn segments(directory: &Path) -> Result<Vec<(u64, PathBuf)>, AuditError> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory).map_err(at(directory))? {
        let path = file.map_err(at(directory))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let number = name
            .strip_prefix("audit-")
            .and_then(|rest| rest.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn segment_path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("audit-{segment:08}.jsonl"))
}

fn open_segment(directory: &Path, segment: u64) -> Result<(File, u64), AuditError> {
    let path = segment_path(directory, segment);
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(SEGMENT_MODE);
    let file = options.open(&path).map_err(at(&path))?;
    let bytes = file.metadata().map_err(at(&path))?.len();
    File::open(directory)
        .and_then(|dir| dir.sync_all())
        .map_err(at(directory))?;
    Ok((file, bytes))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_runtime::SystemClock;

    #[derive(Serialize)]
    struct Event {
        action: &'static str,
    }

    fn log(directory: &Path) -> AuditLog {
        AuditLog::open(directory, Arc::new(SystemClock)).unwrap()
    }

    #[test]
    fn the_chain_goes_on_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let log = log(dir.path());
            log.record(&Event { action: "issue" }).unwrap();
            log.record(&Event { action: "refuse" }).unwrap();
        }
        assert_eq!(verify(dir.path()).unwrap(), 6);
    }

    #[test]
    fn an_altered_line_shows() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        for _ in 0..3 {
            log.record(&Event { action: "issue" }).unwrap();
        }
        let path = segment_path(dir.path(), 1);
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replacen("issue", "other", 1);
        std::fs::write(&path, text).unwrap();
        let error = verify(dir.path()).unwrap_err();
        assert!(
            matches!(error, AuditError::Broken { line: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_removed_line_shows() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        for _ in 0..3 {
            log.record(&Event { action: "issue" }).unwrap();
        }
        let path = segment_path(dir.path(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        let kept: Vec<_> = text.split_inclusive('\n').skip(1).collect();
        std::fs::write(&path, kept.concat()).unwrap();
        assert!(matches!(
            verify(dir.path()),
            Err(AuditError::Broken { line: 1, .. })
        ));
    }

    #[test]
    fn a_line_torn_by_a_crash_does_not_break_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path()).record(&Event { action: "issue" }).unwrap();
        let path = segment_path(dir.path(), 1);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"sequence\":2,\"ti").unwrap();
        log(dir.path()).record(&Event { action: "issue" }).unwrap();
        log(dir.path()).record(&Event { action: "issue" }).unwrap();
        assert_eq!(verify(dir.path()).unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_sync_task_ends_with_the_stop_signal() {
        let dir = tempfile::tempdir().unwrap();
        let tasks = signet_runtime::Tasks::new();
        let log = log(dir.path());
        tasks.spawn_essential("audit", log.clone().run(tasks.stop()));
        log.record(&Event { action: "issue" }).unwrap();
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
        assert!(!log.is_behind());
    }
}
