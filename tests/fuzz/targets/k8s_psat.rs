//! What an agent sends to attest by `k8s_psat`: arbitrary bytes, from anybody who reaches the server.
//!
//! Whatever is accepted is within the limits, can stand in a header, and is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_node_attestor::k8s_psat::Payload;

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = Payload::parse(bytes) else {
        return;
    };
    assert!(!payload.cluster.is_empty() && payload.cluster.len() <= 255);
    let token = payload.token.expose();
    assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    let again = Payload::parse(&payload.encode()).expect("what was written is read");
    assert_eq!(again.cluster, payload.cluster);
    assert_eq!(again.token.expose(), token);
});
