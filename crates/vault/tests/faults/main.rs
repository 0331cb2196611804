//! What a Vault may do wrong, played by a server in this process. The real one is met in the
//! scenarios with foreign programs.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod fake;
mod login;
mod transit;
