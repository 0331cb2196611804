//! Blocks that have the same shape in server and agent: logging, health, telemetry, plugins.

mod experimental;
mod health;
mod log;
mod plugin_files;
mod plugins;
mod telemetry;

pub use experimental::{PROFILING_KEYS, wit_svids_are_on};
pub use health::HealthSettings;
pub use log::{LOG_KEYS, LogFormat, LogLevel, LogSettings};
pub(crate) use plugin_files::inline_plugin_files;
pub use plugins::{Plugin, PluginKind, plugins};
pub use telemetry::{PrometheusSettings, TelemetrySettings};
