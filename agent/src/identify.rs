//! From a peer to its selectors: all attestors at once, one deadline.
//!
//! When some attestors fail, the selectors of the others count, as in SPIRE: entries that need
//! more than those do not match. When all fail, nobody is identified.

use futures::future::join_all;
use signet_model::{Selector, SelectorSet};
use signet_workload_attestor::peer::{Peer, PeerGone};
use signet_workload_attestor::{AttestError, WorkloadAttestor};
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The time for all attestors together: a container's metadata may be seconds late.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// No honest workload has more; each costs a look-up at every match.
const MAX_SELECTORS: usize = 1000;

/// Asks every attestor about a peer.
pub struct Identify {
    attestors: Vec<Arc<dyn WorkloadAttestor>>,
    deadline: Duration,
    /// Attestors whose last answer was a failure: a failure that lasts is loud once.
    failing: Mutex<BTreeSet<&'static str>>,
}

/// What is known of a peer.
#[derive(Debug)]
pub struct Identified {
    /// All selectors found.
    pub selectors: SelectorSet,
    /// What each attestor said, in the order of the configuration.
    pub findings: Vec<Finding>,
}

/// The answer of one attestor.
#[derive(Debug)]
pub struct Finding {
    /// The attestor.
    pub attestor: &'static str,
    /// Its selectors, or why it has none.
    pub outcome: Result<Vec<Selector>, String>,
    /// Whether it has none because what the workload ran in has ended.
    pub departed: bool,
}

/// What has become of a peer that was identified before.
#[derive(Debug)]
pub enum Standing {
    /// It has the same selectors, or it cannot be told now.
    Same,
    /// It has others.
    Changed(Identified),
    /// It is not any more what was identified.
    Gone(String),
}

/// Why a peer cannot be identified.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// No attestor could answer.
    #[error("every workload attestor failed ({})", .0.join("; "))]
    AllFailed(Vec<String>),
    /// The process is not the one that connected any more.
    #[error("the process is not the one that connected any more")]
    Gone(#[source] PeerGone),
    /// More selectors than any honest workload has.
    #[error("the workload has more than {MAX_SELECTORS} selectors")]
    TooMany,
}

impl Identify {
    /// Asks these attestors.
    pub fn new(attestors: Vec<Arc<dyn WorkloadAttestor>>, deadline: Duration) -> Self {
        Self {
            attestors,
            deadline,
            failing: Mutex::default(),
        }
    }

    /// The peer's selectors, if it still is the process that connected.
    pub async fn identify(&self, peer: &Peer) -> Result<Identified, Unidentified> {
        let findings = self.ask(peer).await;
        peer.still_same().map_err(Unidentified::Gone)?;
        let failures = findings.iter().filter_map(|one| {
            let why = one.outcome.as_ref().err()?;
            Some(format!("{}: {why}", one.attestor))
        });
        let failures: Vec<_> = failures.collect();
        if failures.len() == findings.len() {
            return Err(Unidentified::AllFailed(failures));
        }
        let selectors = selectors(&findings);
        if selectors.len() > MAX_SELECTORS {
            return Err(Unidentified::TooMany);
        }
        Ok(Identified {
            selectors,
            findings,
        })
    }

    /// Each changes whenever an attestor may have something else to say of some peer.
    pub fn changes(&self) -> Vec<watch::Receiver<u64>> {
        let attestors = self.attestors.iter();
        attestors
            .filter_map(|attestor| attestor.changes())
            .collect()
    }

    /// Asks again about a peer that is being served. An attestor that fails changes nothing: what it
    /// said before stands until it says something else.
    pub async fn again(&self, peer: &Peer, before: &SelectorSet) -> Standing {
        let findings = self.ask(peer).await;
        if let Some(finding) = findings.iter().find(|finding| finding.departed) {
            let why = finding.outcome.as_ref().err().cloned();
            return Standing::Gone(why.unwrap_or_default());
        }
        if let Err(error) = peer.still_same() {
            return Standing::Gone(error.to_string());
        }
        if findings.iter().any(|finding| finding.outcome.is_err()) {
            return Standing::Same;
        }
        let selectors = selectors(&findings);
        if selectors == *before || selectors.len() > MAX_SELECTORS {
            return Standing::Same;
        }
        Standing::Changed(Identified {
            selectors,
            findings,
        })
    }

    /// What each attestor says, whether or not that suffices.
    pub async fn ask(&self, peer: &Peer) -> Vec<Finding> {
        let asked = self
            .attestors
            .iter()
            .map(|attestor| self.ask_one(attestor, peer));
        join_all(asked).await
    }

    async fn ask_one(&self, attestor: &Arc<dyn WorkloadAttestor>, peer: &Peer) -> Finding {
        let kind = attestor.kind();
        let answer = tokio::time::timeout(self.deadline, attestor.attest(peer)).await;
        let departed = matches!(answer, Ok(Err(AttestError::Departed { .. })));
        let outcome = match answer {
            Ok(Ok(selectors)) => Ok(selectors),
            Ok(Err(error)) => Err(explained(&error)),
            Err(_) => Err(format!("no answer within {} s", self.deadline.as_secs())),
        };
        self.report(kind, peer, outcome.as_ref().err());
        Finding {
            attestor: kind,
            outcome,
            departed,
        }
    }

    fn report(&self, attestor: &'static str, peer: &Peer, failure: Option<&String>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(reason) if failing.insert(attestor) => {
                tracing::warn!(attestor, pid = peer.pid(), %reason,
                    "a workload attestor failed; entries that need its selectors do not match");
            }
            Some(reason) => {
                tracing::debug!(attestor, pid = peer.pid(), %reason, "a workload attestor failed");
            }
            None if failing.remove(attestor) => {
                tracing::info!(attestor, "a workload attestor answers again");
            }
            None => {}
        }
    }
}

fn selectors(findings: &[Finding]) -> SelectorSet {
    let found = findings.iter().filter_map(|one| one.outcome.as_ref().ok());
    found.flatten().cloned().collect()
}

/// The error with its causes; attestors keep selector values out of both.
fn explained(error: &AttestError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
