//! What a process takes of the machine, from the kernel.

use std::fs;
use std::time::Duration;

/// In which the kernel tells processor time, on every architecture that Rust's Linux runs on.
const TICKS_A_SECOND: u64 = 100;

/// Resident memory in megabytes.
///
/// # Panics
/// When there is no such process.
pub fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes
        .and_then(|text| text.parse().ok())
        .expect("a VmRSS line");
    kilobytes / 1000.0
}

/// Processor time since it began, its own and the kernel's for it.
///
/// # Panics
/// When there is no such process.
pub fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    // The name before may hold anything; utime and stime are the 14th and 15th of all.
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let fields = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.flat_map(str::parse::<u64>).sum();
    Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
}
