//! The kubelet's list of pods: arbitrary bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_workload_attestor::k8s::Pods;

fuzz_target!(|json: &[u8]| {
    // Nothing but that it ends, with a list or an error that is short.
    if let Err(error) = Pods::parse(json) {
        assert!(error.to_string().len() < 200);
    }
});
