//! SPIFFE's words: ID, trust domain, bundle, X.509-SVID, JWT-SVID, WIT-SVID, certificate
//! request.
//!
//! Everything here is pure: bytes and the time come in as arguments, nothing is read or waited for.
//! A value that exists is valid, since only its parser makes it. Tests carry the number of the
//! checklist item they prove, such as `x_01`, `j_04` or `w_02`.

mod bundle;
pub mod bundle_map;
pub mod certificate;
mod claims;
pub mod csr;
mod id;
pub mod jwks;
pub mod jwt_svid;
pub mod path;
pub mod pem;
mod serial;
mod time;
mod trust_domain;
pub mod wit_svid;
pub mod x509_svid;

pub use bundle::{AuthorityError, Bundle, JwtAuthority, MAX_KEY_ID_LEN, X509Authority};
pub use certificate::Certificate;
pub use id::{IdError, MAX_ID_LEN, SpiffeId};
pub use serial::{Serial, SerialError};
pub use signet_crypto::PublicKey;
pub use signet_crypto::jose::JwsAlgorithm;
pub use trust_domain::{MAX_TRUST_DOMAIN_LEN, TrustDomain, TrustDomainError};
