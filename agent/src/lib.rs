//! The Signet node agent.
