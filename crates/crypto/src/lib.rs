//! The one place that names ring and aws-lc-rs: hash, sign, verify, keys, JOSE, secrets.
