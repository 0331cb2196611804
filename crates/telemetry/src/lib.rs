//! Logs, metrics, health listener and the audit sink.
