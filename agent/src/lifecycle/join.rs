//! How the agent becomes a member: by the SVID of its last run, or by attesting.

use super::Lifecycle;
use super::ended::{Ended, Failure};
use crate::bootstrap::{Attempt, Bootstrap};
use crate::own::OwnSvid;
use crate::upstream::{Attested, attest, explained};
use signet_runtime::Backoff;
use signet_spiffe::Bundle;
use signet_tls::Identity;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Waits between attestations. Workloads may be waiting, so the first is shorter than SPIRE's; jitter
/// and growth keep a thousand nodes that boot together from coming together.
const ATTEST_FIRST_WAIT: Duration = Duration::from_secs(1);
const ATTEST_MAX_WAIT: Duration = Duration::from_secs(60);
/// How long a server may refuse before the agent ends, so that its supervisor shows the error. An
/// outage never ends the agent.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// How often the file of a bundle that is yet to come is looked at, which costs nobody anything.
const LOOK: Duration = Duration::from_secs(1);

impl Lifecycle {
    /// The stored SVID, or a new attestation for as long as it takes.
    pub(super) async fn become_member(&mut self) -> Result<OwnSvid, Ended> {
        let draw = self.jitter.draw();
        let stored = self.own.load(self.clock.now(), draw).await?;
        let trusted = self.own.bundle(Bundle::empty(self.trust_domain.clone()));
        match (stored, trusted) {
            (Some(own), Some(bundle)) => {
                self.connection.trust.set(&bundle);
                self.show(&own).await?;
                tracing::info!(spiffe_id = %own.id, "this agent is attested already");
                Ok(own)
            }
            (Some(own), None) => self.trust_anew(own).await,
            (None, _) => self.attest(None).await,
        }
    }

    /// An SVID without bundle: the operator's bundle does.
    async fn trust_anew(&mut self, own: OwnSvid) -> Result<OwnSvid, Ended> {
        let attempt = Attempt::first(self.clock.now());
        match self.bootstrap.bundle(&attempt).await {
            Ok(Some(bundle)) => {
                self.own.keep_bundle(&bundle)?;
                self.connection.trust.set(&bundle);
                self.show(&own).await?;
                Ok(own)
            }
            _ => self.attest(None).await,
        }
    }

    /// Attests until it works, the server refuses for good, or refuses for a minute.
    pub(super) async fn attest(&mut self, current: Option<&OwnSvid>) -> Result<OwnSvid, Ended> {
        self.await_bundle().await;
        let mut backoff = Backoff::new(ATTEST_FIRST_WAIT, ATTEST_MAX_WAIT, 1.5);
        let mut refused_since: Option<Instant> = None;
        let mut attempt = Attempt::first(self.clock.now());
        loop {
            let begun = Instant::now();
            let attested = self.attest_once(current, &attempt).await;
            self.count("node_attestor_new_svid", attested.is_ok(), begun);
            match attested {
                Ok(own) => return Ok(own),
                Err(Failure::Ended(ended)) => return Err(ended),
                Err(Failure::Attest(failed)) if failed.is_refusal() => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if failed.is_final() || since.elapsed() >= REFUSED_FOR {
                        self.own.forget().await?;
                        return Err(Ended::Refused(failed));
                    }
                    tracing::error!(error = %explained(&failed), "the server did not attest this agent; trying again");
                }
                Err(error) => {
                    refused_since = None;
                    tracing::error!(error = %explained(&error), "could not attest; trying again");
                }
            }
            attempt = attempt.next();
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Waits for the first bundle where it is yet to be published.
    async fn await_bundle(&self) {
        let own = self.own.bundle(Bundle::empty(self.trust_domain.clone()));
        if own.is_some() {
            return;
        }
        let mut is_told = false;
        while let Some(path) = self.bootstrap.awaited().await {
            if !is_told {
                tracing::warn!(path = %path.display(), "waiting for the trust bundle: nothing is in its file yet");
            }
            is_told = true;
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn attest_once(
        &mut self,
        current: Option<&OwnSvid>,
        attempt: &Attempt,
    ) -> Result<OwnSvid, Failure> {
        let trust = match self.own.bundle(Bundle::empty(self.trust_domain.clone())) {
            Some(bundle) => Bootstrap::trust_in(&bundle),
            None => self.bootstrap.trust(attempt).await?,
        };
        let attestor = (self.attestor)().map_err(Ended::from)?;
        let nobody = Arc::new(Identity::none());
        let channel = self.connection.connector().connect(nobody, trust).await?;
        let (key, csr) = self.own.next_key(current).await.map_err(Ended::from)?;
        let attested = attest(channel, attestor.as_ref(), csr).await;
        let Attested {
            chain,
            reattestable,
            bundle,
        } = attested.map_err(Failure::Attest)?;
        // The bundle first: an SVID without it would be of no use after a crash in between.
        self.own.keep_bundle(&bundle).map_err(Ended::from)?;
        self.connection.trust.set(&bundle);
        let draw = self.jitter.draw();
        let own = self
            .own
            .adopt(&chain, key, reattestable, self.clock.now(), draw);
        let own = own.map_err(Ended::from)?;
        self.show(&own).await?;
        tracing::info!(spiffe_id = %own.id, reattestable, "this agent is attested");
        Ok(own)
    }
}
