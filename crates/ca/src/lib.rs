//! Signs what is already approved: X.509-, JWT- and WIT-SVIDs, authority slots.
//!
//! *Whether* something is issued is decided in `signet_model::approve`; here is only *how*. What was
//! made is read again and compared with what was approved before it leaves.
//!
//! ```text
//! Approved<X509Grant> ─▶ template ─▶ sign (local or remote key) ─▶ product check ─▶ IssuedX509
//! Approved<CaGrant>   ─▶ template ─▶ sign                       ─▶ product check ─▶ IssuedX509
//! Approved<JwtGrant>  ─▶ claims   ─▶ sign                       ─▶ product check ─▶ IssuedJwt
//! Approved<WitGrant>  ─▶ claims   ─▶ sign                       ─▶ product check ─▶ IssuedWit
//!
//! rotation::next_step(now, slots) ─▶ what to do about the authorities themselves
//! ```

mod authority;
mod bridge;
mod downstream;
mod jwt;
mod name;
mod product;
pub mod rotation;
pub mod slots;
mod template;
mod wit;
mod x509;

pub use authority::{AuthorityError, X509Authority};
pub use bridge::BridgeError;
pub use downstream::{ca_request, sign_ca};
pub use jwt::{IssuedJwt, JwtAuthorityKey, JwtError, KEY_ID_LEN, new_key_id, sign_jwt};
pub use name::NameError;
pub use product::Mismatch;
pub use template::TemplateError;
pub use wit::{IssuedWit, WitAuthorityKey, WitError, sign_wit};
pub use x509::{IssuedX509, NewAuthority, X509Error, new_self_signed, sign_x509};
