//! Logs, metrics, the health and metrics listener, and the audit log: how the programs tell
//! operators what they do.

pub mod audit;
pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
