//! A kubeconfig: arbitrary text.
//!
//! What is accepted leads to an HTTPS server, and no error shows a piece of the file but names.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use signet_cluster::Access;

fuzz_target!(|text: &str| match Access::of_kubeconfig(text, Path::new("/nowhere")) {
    Ok(access) => {
        let host = access.server.strip_prefix("https://");
        assert!(host.is_some_and(|host| !host.is_empty() && !host.ends_with('/')));
    }
    Err(error) => assert!(error.to_string().len() < 400 + text.len()),
});
