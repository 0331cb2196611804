//! The `log_*` keys of the `server` and `agent` blocks.

use std::path::PathBuf;

use crate::{Key, Section};

/// Rows for the key table of the block that holds the logging keys.
pub const LOG_KEYS: [Key; 4] = [
    Key::implemented("log_file"),
    Key::implemented("log_level"),
    Key::implemented("log_format"),
    Key::implemented("log_source_location"),
];

/// SPIRE's level names; `PANIC` and `FATAL` are errors here.
const LEVELS: [(&str, LogLevel); 8] = [
    ("TRACE", LogLevel::Trace),
    ("DEBUG", LogLevel::Debug),
    ("INFO", LogLevel::Info),
    ("WARN", LogLevel::Warn),
    ("WARNING", LogLevel::Warn),
    ("ERROR", LogLevel::Error),
    ("FATAL", LogLevel::Error),
    ("PANIC", LogLevel::Error),
];

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only failures.
    Error,
    /// And what may become one.
    Warn,
    /// And what an operator wants to know: the default.
    #[default]
    Info,
    /// And what a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: the default.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where and how to log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// `log_level`.
    pub level: LogLevel,
    /// `log_format`.
    pub format: LogFormat,
    /// `log_file`; standard output if `None`.
    pub file: Option<PathBuf>,
    /// `log_source_location`: each line names the source file and line that wrote it.
    pub source_location: bool,
}

impl LogSettings {
    /// Reads the keys from the `server` or `agent` block.
    pub fn read(block: &Section<'_>) -> Self {
        Self {
            level: block.choice("log_level", &LEVELS).unwrap_or_default(),
            format: block.choice("log_format", &FORMATS).unwrap_or_default(),
            file: block.path("log_file"),
            source_location: block.bool("log_source_location").unwrap_or(false),
        }
    }
}
