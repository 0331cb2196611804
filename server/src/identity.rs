//! The server's own X.509-SVID, and what it verifies callers with: both follow the state.

use crate::authority::NoAuthority;
use crate::issuer::Issuer;
use crate::sign::SignFault;
use signet_crypto::{KeyError, KeyType, PrivateKey};
use signet_model::Moment;
use signet_model::approve::{self, Refusal};
use signet_runtime::Stop;
use signet_spiffe::Bundle;
use signet_tls::{Identity, IdentityError};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How soon a failed renewal is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How often it is looked at whether the SVID is due, whatever the clock does.
const PERIOD: Duration = Duration::from_secs(5);

/// Why the server has no SVID.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFault {
    /// No key could be made.
    #[error("could not make a key for the server's SVID")]
    Key(#[from] KeyError),
    /// Nothing can sign it.
    #[error(transparent)]
    NoAuthority(#[from] NoAuthority),
    /// It may not be signed.
    #[error("the server's SVID was not approved")]
    Refused(#[from] Refusal),
    /// It could not be signed.
    #[error("could not sign the server's SVID")]
    Sign(#[from] SignFault),
    /// It cannot be served.
    #[error("could not serve the server's SVID")]
    Serve(#[from] IdentityError),
}

/// The present SVID: by which authority, and when it is due.
#[derive(Debug)]
pub struct Held {
    authority_id: String,
    not_before: SystemTime,
    renew_at: SystemTime,
}

impl Held {
    /// At half life, or when the clock was set back to before it is valid.
    fn is_due(&self, now: SystemTime) -> bool {
        self.renew_at <= now || now < self.not_before
    }
}

/// Makes a new SVID with a new key and serves it.
pub async fn renew(
    issuer: &Issuer,
    identity: &Identity,
    key_type: KeyType,
) -> Result<Held, IdentityFault> {
    let key = PrivateKey::generate(key_type)?;
    let authority = issuer.authorities.x509()?;
    let now = issuer.clock.now();
    let moment = Moment {
        now,
        authority_not_after: authority.not_after(),
    };
    let policy = &issuer.settings.policy;
    let grant = approve::server_x509(policy, moment, key.public_key().clone())?;
    let svid = issuer.sign_x509(&authority, grant).await?;
    identity.set(&svid.chain, &key)?;
    let life = svid.not_after.duration_since(now).unwrap_or_default();
    Ok(Held {
        authority_id: authority.authority_id(),
        not_before: svid.not_before,
        renew_at: now + life / 2,
    })
}

/// Renews the SVID at half life, and at once when another authority signs, until the stop signal. So
/// the server has left an authority before that can be tainted.
pub async fn keep_renewed(
    issuer: Arc<Issuer>,
    identity: Arc<Identity>,
    key_type: KeyType,
    mut held: Held,
    stop: Stop,
) -> Result<(), Infallible> {
    let mut changes = issuer.authorities.changes();
    loop {
        let now = issuer.clock.now();
        let due = held.renew_at.duration_since(now).unwrap_or_default();
        tokio::select! {
            () = stop.stopped() => return Ok(()),
            () = tokio::time::sleep(due.min(PERIOD)) => {}
            Ok(()) = changes.changed() => {}
        }
        let authority = issuer.authorities.x509();
        let same = authority.is_ok_and(|authority| authority.authority_id() == held.authority_id);
        if same && !held.is_due(issuer.clock.now()) {
            continue;
        }
        match renew(&issuer, &identity, key_type).await {
            Ok(renewed) => held = renewed,
            Err(error) => {
                tracing::warn!(
                    error = crate::api::types::chain(&error),
                    "the server's SVID could not be renewed; the old one stays in use"
                );
                held.renew_at = issuer.clock.now() + RETRY;
            }
        }
    }
}

/// Verifies callers with the bundles that the state holds, from the instant they change. Streams
/// are woken then, so that those whose authority was removed end at once.
pub async fn follow_bundles(issuer: Arc<Issuer>, stop: Stop) -> Result<(), Infallible> {
    let mut revisions = issuer.state.revisions();
    let mut trusted = Vec::new();
    loop {
        let bundles = bundles(&issuer);
        if !same(&trusted, &bundles) {
            issuer.trust.replace(bundles.iter().map(AsRef::as_ref));
            issuer.state.wake_all();
            trusted = bundles;
        }
        let changed = revisions.changed();
        tokio::select! {
            () = stop.stopped() => return Ok(()),
            changed = changed => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Verifies callers with the bundles that the state holds now.
pub fn trust_bundles(issuer: &Issuer) {
    let bundles = bundles(issuer);
    issuer.trust.replace(bundles.iter().map(AsRef::as_ref));
}

fn bundles(issuer: &Issuer) -> Vec<Arc<Bundle>> {
    issuer.state.read().index.bundles().cloned().collect()
}

/// Whether these are the very same values: most revisions change no bundle, and each change makes
/// every connection verify its chain anew.
fn same(one: &[Arc<Bundle>], other: &[Arc<Bundle>]) -> bool {
    let pairs = || one.iter().zip(other);
    one.len() == other.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other))
}
