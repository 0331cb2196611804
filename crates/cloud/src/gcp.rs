//! Google Cloud: credentials, and what Compute Engine says of an instance.

mod compute;
mod credentials;

pub use compute::{Compute, Instance};
pub use credentials::{Credentials, ServiceAccountKey};

/// Where Compute Engine's API is.
pub const COMPUTE_URL: &str = "https://compute.googleapis.com";

/// Where an instance's metadata service is.
pub const METADATA_URL: &str = "http://169.254.169.254";
