//! The form of the disk manager's key file, without a file: for fuzzing.

use std::path::Path;

use signet_crypto::{PublicKey, SecretBytes};

use crate::Signer;
use crate::disk::{self, DiskError};

/// What a text held.
#[derive(Debug)]
pub struct Reread {
    /// Each id with its public key, ordered by id.
    pub keys: Vec<(String, PublicKey)>,
    /// The text as it would be written again.
    pub written: Vec<u8>,
}

/// Reads the text of a key file.
///
/// # Errors
/// As a manager that opens a file with this text.
pub fn reread(text: &[u8]) -> Result<Reread, DiskError> {
    let held = disk::parse(Path::new("keys.json"), &SecretBytes::from(text.to_vec()))?;
    let keys = held
        .iter()
        .map(|(id, signer)| (id.clone(), signer.public_key().clone()))
        .collect();
    let written = disk::encode(&held).expose().to_vec();
    Ok(Reread { keys, written })
}
