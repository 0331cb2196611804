//! Azure: credentials, and what the Resource Manager says of a virtual machine.

mod credentials;
mod machine;
mod machines;
mod tenant;

pub use credentials::{AppSecret, Credentials, ManagedIdentity};
pub use machine::{Interface, Machine, ResourceId, Subnet};
pub use machines::Machines;
pub use tenant::Tenants;

/// Where tokens are issued.
pub const LOGIN_URL: &str = "https://login.microsoftonline.com";

/// Where the Resource Manager is.
pub const MANAGEMENT_URL: &str = "https://management.azure.com";

/// Where a machine's metadata service is.
pub const METADATA_URL: &str = "http://169.254.169.254";
