//! Log set-up: level, text or JSON, standard output or a file that SIGUSR2 reopens.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

/// The mode of a new log file: readable by the group, as SPIRE's.
const LOG_FILE_MODE: u32 = 0o640;

/// What the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How the log is to be written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The least severe level that is written.
    pub level: LevelFilter,
    /// Text or JSON.
    pub format: Format,
    /// A file to append to; standard output without one.
    pub file: Option<PathBuf>,
    /// Whether each line names the source file and line.
    pub source_location: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: LevelFilter::INFO,
            format: Format::Text,
            file: None,
            source_location: false,
        }
    }
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log file cannot be opened.
    #[error(
        "cannot open log file {path}: {source}; check that its directory exists and is writable"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else in this process set up logging before.
    #[error("logging is set up already")]
    AlreadySetUp,
}

/// Reopens the log file; made by [`set_up`].
#[derive(Debug, Clone)]
pub struct LogHandle(Sink);

impl LogHandle {
    /// Opens the log file anew by its name, for log rotation. Without a file, nothing happens.
    /// On failure the old file stays in use.
    pub fn reopen(&self) -> Result<(), LogError> {
        self.0.reopen()
    }
}

/// Sends the `tracing` events of this process where the settings say.
pub fn set_up(settings: &Settings) -> Result<LogHandle, LogError> {
    let sink = Sink::open(settings.file.as_deref())?;
    let base = tracing_subscriber::fmt::layer()
        .with_writer(sink.clone())
        .with_ansi(false)
        .with_target(false)
        .with_file(settings.source_location)
        .with_line_number(settings.source_location);
    let lines = match settings.format {
        Format::Text => base.boxed(),
        Format::Json => base
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    let lines = lines.with_filter(quiet_libraries(settings.level));
    Registry::default()
        .with(lines)
        .try_init()
        .map_err(|_| LogError::AlreadySetUp)?;
    Ok(LogHandle(sink))
}

/// Libraries log at most warnings, unless everything is asked for: their debug lines may show
/// what peers sent.
fn quiet_libraries(level: LevelFilter) -> tracing_subscriber::filter::Targets {
    let ours = level;
    let libraries = if level == LevelFilter::TRACE {
        level
    } else {
        level.min(LevelFilter::WARN)
    };
    tracing_subscriber::filter::Targets::new()
        .with_default(libraries)
        .with_target("signet", ours)
}

#[derive(Debug, Clone)]
struct Sink {
    path: Option<Arc<PathBuf>>,
    file: Arc<Mutex<Option<File>>>,
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Self, LogError> {
        let sink = Self {
            path: path.map(|path| Arc::new(path.to_owned())),
            file: Arc::new(Mutex::new(None)),
        };
        sink.reopen()?;
        Ok(sink)
    }

    fn reopen(&self) -> Result<(), LogError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(LOG_FILE_MODE)
            .open(path.as_path())
            .map_err(|source| LogError::Open {
                path: path.as_path().to_owned(),
                source,
            })?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }
}

/// One event's line.
struct Line(Sink);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write(bytes),
            None => io::stdout().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = io::BufWriter<Line>;

    fn make_writer(&'a self) -> Self::Writer {
        io::BufWriter::new(Line(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reopening_writes_to_the_new_file_after_the_old_was_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signet.log");
        let sink = Sink::open(Some(&path)).unwrap();
        sink.make_writer().write_all(b"before\n").unwrap();
        std::fs::rename(&path, dir.path().join("signet.log.1")).unwrap();
        sink.reopen().unwrap();
        sink.make_writer().write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    }

    #[test]
    fn a_log_file_in_a_missing_directory_is_named_in_the_error() {
        let error = Sink::open(Some(Path::new("/nonexistent/signet.log"))).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/signet.log"),
            "{error}"
        );
    }
}
