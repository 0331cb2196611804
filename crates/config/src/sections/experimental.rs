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

/// Checks `feature_flags` of an `experimental` block. None of SPIRE's flags does anything here yet.
pub fn check_feature_flags(experimental: &Section<'_>) {
    for flag in experimental.strings("feature_flags") {
        match flag {
            "i_am_a_test_flag" => {}
            "wit-svid" => experimental.problem(
                "feature_flags",
                "\"wit-svid\" is not supported yet: WIT-SVIDs are not issued; remove the flag",
            ),
            _ => experimental.problem("feature_flags", format!("no such flag: {flag:?}")),
        }
    }
}
