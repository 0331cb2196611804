//! What the authority makes, judged by what was approved, by openssl and by a JOSE library that is
//! not ours.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is the point"
)]

mod composed;
mod downstream;
mod jwt;
mod openssl;
mod support;
mod wit;
mod x509;
