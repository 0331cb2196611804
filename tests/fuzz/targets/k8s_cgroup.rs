//! The kernel's cgroup file of a process: arbitrary bytes, since names of cgroups are.
//!
//! What is found has the form of an ID, stands in the file, and comes from no user's slice alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_workload_attestor::k8s::locate;

fuzz_target!(|file: &[u8]| {
    let Ok(Some(place)) = locate(file) else {
        return;
    };
    let text = String::from_utf8_lossy(file);
    assert!(place.pod.is_some() || place.container.is_some());
    if let Some(container) = place.container {
        assert_eq!(container.len(), 64);
        assert!(text.contains(&container));
    }
    if let Some(pod) = place.pod {
        assert!(matches!(pod.len(), 32 | 36), "{pod}");
        assert!(text.contains(&pod) || text.contains(&pod.replace('-', "_")));
    }
    assert!(text.split('\n').any(|line| !is_of_users(line)));
});

/// Whether the path of the line, its third field, is in the slice of users.
fn is_of_users(line: &str) -> bool {
    let path = line.splitn(3, ':').nth(2).unwrap_or_default();
    path.is_empty() || path.split('/').any(|segment| segment == "user.slice")
}
