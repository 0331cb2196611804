//! The `signet-server` program.

fn main() {}
