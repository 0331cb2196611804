//! Messages that are serialized once and shared by everybody who gets them. They may hold private
//! keys, so the bytes are wiped when the last reader lets go.

use bytes::Bytes;
use signet_crypto::SecretBytes;
use std::sync::OnceLock;

/// The serialized forms of one view, each made at its first use.
#[derive(Default)]
pub struct Encoded {
    /// For FetchX509SVID.
    pub x509_svids: OnceLock<Bytes>,
    /// For FetchX509Bundles.
    pub x509_bundles: OnceLock<Bytes>,
    /// For FetchJWTBundles.
    pub jwt_bundles: OnceLock<Bytes>,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoded")
    }
}

/// Bytes that wipe themselves when the last clone is dropped.
pub fn wiped(bytes: Vec<u8>) -> Bytes {
    Bytes::from_owner(Wiped(SecretBytes::new(bytes)))
}

struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
