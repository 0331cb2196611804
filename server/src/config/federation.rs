//! The `federation` block: known, not here yet. Bundles of other trust domains are set by hand.

use signet_config::{Key, Section, Unknown};

const KEYS: [Key; 2] = [
    Key::refused(
        "bundle_endpoint",
        "no bundle endpoint is served; give others the output of \"signet-server bundle show\" and \
         remove the block",
    ),
    Key::refused(
        "federates_with",
        "bundles are not fetched; set them with \"signet-server bundle set\" and remove the block",
    ),
];

pub(super) fn check(server: &Section<'_>) {
    server.block("federation").check(&[&KEYS], Unknown::Warned);
}
