//! Signed REST calls to the clouds: credentials, and the few questions that attestors ask.

pub mod aws;
