//! Keys that both programs know and do not use: profiling, feature flags.

use crate::{Key, Section};

const NO_PROFILING: &str = "there is no profiling endpoint; use perf";

/// Rows for the key table of the block that holds the profiling keys.
pub const PROFILING_KEYS: [Key; 4] = [
    Key::ignored("profiling_enabled", NO_PROFILING),
    Key::ignored("profiling_port", NO_PROFILING),
    Key::ignored("profiling_freq", NO_PROFILING),
    Key::ignored("profiling_names", NO_PROFILING),
];

const WIT_SVID: &str = "wit-svid";

/// SPIRE's flags. One of them is for its tests and does nothing.
const FLAGS: [&str; 2] = [WIT_SVID, "i_am_a_test_flag"];

/// Reads `feature_flags` of an `experimental` block: whether WIT-SVIDs are switched on.
#[must_use]
pub fn wit_svids_are_on(experimental: &Section<'_>) -> bool {
    let flags = experimental.strings("feature_flags");
    for flag in flags.iter().filter(|flag| !FLAGS.contains(flag)) {
        experimental.problem("feature_flags", format!("no such flag: {flag:?}"));
    }
    flags.contains(&WIT_SVID)
}
