//! The upstream whose certificate and key are in files: this server signs its own authority with
//! them, as an organisation's root or as an intermediate of it.
//!
//! Files are read again at each signing, so that replacing them is all it takes to change the
//! upstream; the roots are looked at every few seconds besides.

mod files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use signet_crypto::Random;
use signet_model::Moment;
use signet_runtime::{Clock, Stop};
use signet_spiffe::{JwtAuthority, TrustDomain, X509Authority, csr};
use tokio::sync::watch;

use crate::{MintedCa, UpstreamAuthority, UpstreamBundle, UpstreamError};
pub use files::DiskError;
use files::Loaded;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFiles {
    /// The certificate in PEM; if it is an intermediate's, those above it follow.
    pub cert_file_path: PathBuf,
    /// Its key in PEM.
    pub key_file_path: PathBuf,
    /// The roots in PEM; without it the certificate is the root.
    pub bundle_file_path: Option<PathBuf>,
}

/// An upstream in files.
pub struct DiskUpstream {
    files: DiskFiles,
    trust_domain: TrustDomain,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    bundle: watch::Sender<Option<Arc<UpstreamBundle>>>,
}

impl DiskUpstream {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(
        files: DiskFiles,
        trust_domain: TrustDomain,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let bundle = watch::Sender::new(None);
        Self {
            files,
            trust_domain,
            clock,
            random,
            bundle,
        }
    }

    async fn load(&self) -> Result<Loaded, UpstreamError> {
        let (files, now) = (self.files.clone(), self.clock.now());
        let read = tokio::task::spawn_blocking(move || files::load(&files, now)).await;
        let loaded = match read {
            Ok(loaded) => loaded.map_err(|source| UpstreamError::Configured {
                what: source.path().display().to_string(),
                source: Box::new(source),
            })?,
            Err(stopped) => {
                return Err(UpstreamError::Unreachable {
                    address: self.files.cert_file_path.display().to_string(),
                    source: Box::new(stopped),
                });
            }
        };
        self.announce(&loaded.roots);
        Ok(loaded)
    }

    fn announce(&self, roots: &[X509Authority]) {
        self.bundle.send_if_modified(|known| {
            let same = known
                .as_ref()
                .is_some_and(|known| known.x509_authorities == roots);
            if !same {
                *known = Some(Arc::new(UpstreamBundle {
                    x509_authorities: roots.to_vec(),
                    jwt_authorities: None,
                    wit_authorities: None,
                }));
            }
            !same
        });
    }
}

#[async_trait]
impl UpstreamAuthority for DiskUpstream {
    fn kind(&self) -> &'static str {
        "disk"
    }

    async fn mint_x509_ca(
        &self,
        request: &[u8],
        preferred_ttl: Duration,
    ) -> Result<MintedCa, UpstreamError> {
        let refused = |source| UpstreamError::Request(Box::new(source));
        let asked = csr::verify(request).map_err(refused)?;
        let loaded = self.load().await?;
        let now = self.clock.now();
        let moment = Moment {
            now,
            authority_not_after: loaded.authority.not_after(),
        };
        let approved = signet_model::own_ca(&self.trust_domain, moment, asked, preferred_ttl)
            .map_err(|source| UpstreamError::Request(Box::new(source)))?;
        let signed = signet_ca::sign_ca(&loaded.authority, approved, &*self.random, now).await;
        let signed = signed.map_err(|source| UpstreamError::Sign(Box::new(source)))?;
        Ok(MintedCa {
            chain: signed.chain.into_iter().map(Arc::from).collect(),
            roots: loaded.roots,
        })
    }

    async fn publish_jwt_key(
        &self,
        _: &JwtAuthority,
    ) -> Result<Option<Vec<JwtAuthority>>, UpstreamError> {
        Ok(None)
    }

    fn bundle(&self) -> watch::Receiver<Option<Arc<UpstreamBundle>>> {
        self.bundle.subscribe()
    }

    async fn follow(&self, stop: Stop) {
        let mut seen = None;
        let mut failing = false;
        loop {
            let present = files::marks(&self.files);
            if seen.as_ref() != Some(&present) {
                seen = Some(present);
                failing = crate::note(self.load().await.map(drop), failing, self.kind());
            }
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }
}
