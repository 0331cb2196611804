//! Making certificates: an authority's own, and those of the SVIDs it signs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::Issuer;
use signet_crypto::Random;
use signet_keys::Signer;
use signet_model::Approved;
use signet_model::approve::{Subject, X509Grant};
use signet_model::compose::Extension;
use signet_model::lifetime::BACKDATE;
use signet_spiffe::{Serial, TrustDomain};

use crate::authority::{AuthorityError, X509Authority};
use crate::bridge::{self, BridgeError, EncodedKey, IssuerKey};
use crate::product::{self, Mismatch, SelfSigned};
use crate::template::{self, TemplateError};

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum X509Error {
    /// What was approved cannot be written as a certificate.
    #[error("could not write the certificate")]
    Template(#[from] TemplateError),
    /// It could not be signed.
    #[error("could not sign the certificate")]
    Sign(#[from] BridgeError),
    /// What was made is not what was approved; it was thrown away.
    #[error("the certificate that was made is not what was approved, and was thrown away")]
    Product(#[from] Mismatch),
    /// It would outlive the authority.
    #[error("the certificate would outlive the authority that signs it")]
    Outlives,
    /// What was made cannot serve as an authority.
    #[error("the certificate that was made cannot serve as an authority")]
    Authority(#[from] AuthorityError),
    /// The authority's lifetime is below a second, or ends after the year 9999.
    #[error("an authority cannot have a lifetime of {} seconds", ttl.as_secs())]
    Lifetime {
        /// The lifetime wanted.
        ttl: Duration,
    },
}

impl X509Error {
    /// True if the same call may succeed later: the key was out of reach.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Sign(BridgeError::Key { source }) if source.is_transient())
    }
}

/// An X509-SVID as issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedX509 {
    /// The certificates in DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's serial number.
    pub serial: Serial,
    /// When the leaf begins to be valid.
    pub not_before: SystemTime,
    /// When the leaf expires.
    pub not_after: SystemTime,
}

/// Signs `approved` with `authority`.
///
/// # Errors
/// [`X509Error`] says which step failed; nothing that was made is kept then.
pub async fn sign_x509(
    authority: &X509Authority,
    approved: Approved<X509Grant>,
    random: &dyn Random,
    now: SystemTime,
) -> Result<IssuedX509, X509Error> {
    let lifetime = approved.lifetime;
    if lifetime.not_after > authority.not_after() {
        return Err(X509Error::Outlives);
    }
    let serial = template::serial(random);
    let params = template::svid(&approved, &serial)?;
    let subject_key = EncodedKey::new(&approved.public_key)?;
    let leaf = bridge::sign(&**authority.signer(), |key: &IssuerKey<'_>| {
        let issuer = Issuer::from_params(authority.issuer(), key);
        params
            .signed_by(&subject_key, &issuer)
            .map(|certificate| certificate.der().to_vec())
    })
    .await?;
    product::check_svid(&leaf, &approved, &serial, authority, now)?;
    let mut chain = vec![leaf];
    chain.extend(
        authority
            .upstream_chain()
            .iter()
            .map(|certificate| certificate.to_vec()),
    );
    let (not_before, not_after) = (lifetime.not_before, lifetime.not_after);
    Ok(IssuedX509 {
        chain,
        serial,
        not_before,
        not_after,
    })
}

/// What a new self-signed authority is to be.
#[derive(Debug, Clone)]
pub struct NewAuthority {
    /// Whose authority it is.
    pub trust_domain: TrustDomain,
    /// Its name as configured; without one `C=US, O=SPIFFE`. Unless a serial number stands in it, that
    /// of the certificate is added.
    pub subject: Option<Subject>,
    /// Extensions besides those that every authority has: only composers add them.
    pub extensions: Vec<Extension>,
    /// How long it lives.
    pub ttl: Duration,
}

/// Makes a self-signed authority whose key is `signer`.
///
/// # Errors
/// [`X509Error`] says which step failed.
pub async fn new_self_signed(
    wanted: NewAuthority,
    signer: Arc<dyn Signer>,
    random: &dyn Random,
    now: SystemTime,
) -> Result<X509Authority, X509Error> {
    let id = wanted.trust_domain.id();
    let serial = template::serial(random);
    let validity = validity(now, wanted.ttl)?;
    let subject = template::authority_subject(wanted.subject, &serial);
    let public_key = signer.public_key();
    let extensions = &wanted.extensions;
    let params = template::self_signed(&id, &subject, &serial, public_key, extensions, validity)?;
    let der = bridge::sign(&*signer, |key: &IssuerKey<'_>| {
        params
            .self_signed(&key)
            .map(|certificate| certificate.der().to_vec())
    })
    .await?;
    let expected = SelfSigned {
        id: &id,
        subject: &subject,
        serial: &serial,
        public_key,
        extensions,
        validity,
    };
    product::check_self_signed(&der, &expected, now)?;
    Ok(X509Authority::new(&der, Vec::new(), signer)?)
}

/// The last second a certificate can name: the end of the year 9999 (RFC 5280 section 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;

/// From [`BACKDATE`] ago until `ttl` from now, in the whole seconds that certificates know.
fn validity(now: SystemTime, ttl: Duration) -> Result<(SystemTime, SystemTime), X509Error> {
    let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = UNIX_EPOCH + Duration::from_secs(since_1970.as_secs());
    let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    let not_after = now.checked_add(Duration::from_secs(ttl.as_secs()));
    match not_after.filter(|not_after| *not_after > now && *not_after <= last) {
        Some(not_after) => Ok((now.checked_sub(BACKDATE).unwrap_or(UNIX_EPOCH), not_after)),
        None => Err(X509Error::Lifetime { ttl }),
    }
}
