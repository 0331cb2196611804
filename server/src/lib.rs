//! The Signet server.
