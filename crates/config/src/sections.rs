//! Blocks that have the same shape in server and agent: logging, health, telemetry, plugins.

mod experimental;
mod health;
mod log;
mod plugins;
mod telemetry;

pub use experimental::{PROFILING_KEYS, check_feature_flags};
pub use health::HealthSettings;
pub use log::{LOG_KEYS, LogFormat, LogLevel, LogSettings};
pub use plugins::{Plugin, PluginKind, plugins};
pub use telemetry::{PrometheusSettings, TelemetrySettings};
