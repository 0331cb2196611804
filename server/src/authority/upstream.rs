//! Authorities that hang on an upstream one: asked for, checked, tried out.

use super::parent::{Certified, Wanted};
use super::shelf::Shelf;
use signet_ca::{AuthorityError, X509Authority, X509Error};
use signet_crypto::Random;
use signet_model::approve::{Moment, Subject, server_x509};
use signet_model::{Policy, Refusal};
use signet_runtime::Clock;
use signet_spiffe::x509_svid::{self, X509SvidError};
use signet_spiffe::{Bundle, JwtAuthority, TrustDomain};
use signet_upstream::{UpstreamAuthority, UpstreamError};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long the SVID would live that tries an authority out; nobody gets it.
const TRIAL_TTL: Duration = Duration::from_secs(60);

/// Why an upstream authority gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFault {
    /// The request could not be made.
    #[error("could not make the request for the upstream authority")]
    Request(#[source] X509Error),
    /// The upstream failed, or its answer did.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// What it signed cannot be used as an authority.
    #[error("what the upstream authority signed cannot be used")]
    Authority(#[from] AuthorityError),
    /// The trial came to no SVID.
    #[error("no SVID could be approved under the new authority")]
    NotApproved(#[from] Refusal),
    /// The trial could not be signed.
    #[error("no SVID could be signed with the new authority")]
    NotSigned(#[source] X509Error),
    /// Nobody could verify an SVID of this authority.
    #[error("an SVID of the new authority does not verify with the upstream's roots")]
    NotVerified(#[source] X509SvidError),
}

/// An upstream authority and how it is asked.
#[derive(Clone)]
pub struct Upstream {
    /// Who is asked.
    pub port: Arc<dyn UpstreamAuthority>,
    /// The name to ask for, if not the usual one.
    pub subject: Option<Subject>,
    /// When answers come.
    pub clock: Arc<dyn Clock>,
}

impl Upstream {
    /// Has the upstream sign an authority with this key. It is used only if an SVID signed with it
    /// verifies, with the roots that will stand in the bundle.
    pub(super) async fn certify(&self, wanted: Wanted<'_>) -> Result<Certified, UpstreamFault> {
        let trust_domain = wanted.trust_domain;
        let request =
            signet_ca::ca_request(trust_domain, self.subject.clone(), &*wanted.signer).await;
        let request = request.map_err(UpstreamFault::Request)?;
        let signed =
            signet_upstream::mint(&*self.port, &request, wanted.ttl, trust_domain, &self.clock);
        let ca = signed.await?;
        let certificate = Arc::clone(ca.certificate.der());
        let authority = X509Authority::new(&certificate, ca.chain, wanted.signer)?;
        let mut bundle = Bundle::empty(trust_domain.clone());
        bundle.x509_authorities.clone_from(&ca.roots);
        try_out(&authority, &bundle, wanted.random, self.clock.now()).await?;
        Ok(Certified {
            authority,
            upstream_authority_id: signet_crypto::hex(&ca.root.subject_key_id()),
            roots: ca.roots,
        })
    }

    /// Has the upstream publish a JWT key. Answers what the bundle is to have then: all keys that the
    /// upstream knows, or only this one if it keeps none.
    pub(crate) async fn publish_jwt(
        &self,
        key: JwtAuthority,
    ) -> Result<Vec<JwtAuthority>, UpstreamError> {
        let published = signet_upstream::publish_jwt(&*self.port, &key).await?;
        Ok(published.unwrap_or_else(|| vec![key]))
    }

    /// The same with a WIT key.
    pub(crate) async fn publish_wit(
        &self,
        key: JwtAuthority,
    ) -> Result<Vec<JwtAuthority>, UpstreamError> {
        let published = signet_upstream::publish_wit(&*self.port, &key).await?;
        Ok(published.unwrap_or_else(|| vec![key]))
    }

    /// Whether the upstream publishes a key of this ID, as far as is known.
    pub(super) fn has_key(&self, shelf: Shelf, id: &str) -> bool {
        let latest = self.port.bundle().borrow().clone();
        let keys = latest.as_ref().and_then(|latest| match shelf {
            Shelf::X509 => None,
            Shelf::Jwt => latest.jwt_authorities.as_ref(),
            Shelf::Wit => latest.wit_authorities.as_ref(),
        });
        keys.is_some_and(|keys| keys.iter().any(|key| key.key_id == id))
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("kind", &self.port.kind())
            .finish_non_exhaustive()
    }
}

/// Signs an SVID for nobody and verifies it as a peer would.
async fn try_out(
    authority: &X509Authority,
    bundle: &Bundle,
    random: &dyn Random,
    now: SystemTime,
) -> Result<(), UpstreamFault> {
    let moment = Moment {
        now,
        authority_not_after: authority.not_after(),
    };
    let key = authority.signer().public_key().clone();
    let grant = server_x509(&trial_policy(&bundle.trust_domain), moment, key)?;
    let svid = signet_ca::sign_x509(authority, grant, random, now).await;
    let svid = svid.map_err(UpstreamFault::NotSigned)?;
    x509_svid::verify(&svid.chain, bundle, now).map_err(UpstreamFault::NotVerified)?;
    Ok(())
}

fn trial_policy(trust_domain: &TrustDomain) -> Policy {
    Policy {
        trust_domain: trust_domain.clone(),
        default_x509_svid_ttl: TRIAL_TTL,
        default_jwt_svid_ttl: TRIAL_TTL,
        agent_ttl: None,
        jwt_issuer: None,
        wit_issuer: None,
    }
}
