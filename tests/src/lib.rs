//! Scenarios over server and agents, in process and as processes.
