//! The server's half: has each attestor decide in turn, and adds up what they say.

use std::sync::Arc;

use async_trait::async_trait;

use super::payload::{self, Proof, Tagged};
use super::{KIND, MAX_PROOFS};
use crate::{Attested, Challenger, Fault, Peer, Refused, ServerAttestor};

/// Which proof is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Other proofs than those that are required.
    #[error("the proofs are not the required ones: {0}, in this order")]
    Others(String),
    /// A part is longer than its attestor reads.
    #[error("the payload of {kind} has {length} bytes; the limit is {limit}")]
    TooLong {
        /// The attestor.
        kind: &'static str,
        /// Bytes sent.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// An attestor said no.
    #[error("by {kind}")]
    Refused {
        /// The attestor.
        kind: &'static str,
        /// Why.
        #[source]
        source: Refused,
    },
    /// Two proofs take a join token.
    #[error("more than one join token")]
    Tokens,
}

/// Attests agents by several proofs at once.
pub struct CombinedServer {
    attestors: Vec<Arc<dyn ServerAttestor>>,
}

impl CombinedServer {
    /// All of these must agree; the first names the agent. `None` unless there are two to
    /// [`MAX_PROOFS`], each once.
    pub fn new(attestors: Vec<Arc<dyn ServerAttestor>>) -> Option<Self> {
        let mut kinds: Vec<_> = attestors.iter().map(|one| one.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let fits = kinds.len() == attestors.len() && (2..=MAX_PROOFS).contains(&kinds.len());
        fits.then_some(Self { attestors })
    }

    /// The required proofs and no others, each within its attestor's limit, before any of them is
    /// looked at.
    fn check(&self, proofs: &[Proof]) -> Result<(), ProofError> {
        let required: Vec<_> = self.attestors.iter().map(|one| one.kind()).collect();
        if !proofs
            .iter()
            .map(|proof| proof.kind.as_str())
            .eq(required.iter().copied())
        {
            return Err(ProofError::Others(required.join(", ")));
        }
        let mut pairs = self.attestors.iter().zip(proofs);
        let long = pairs.find(|(attestor, proof)| proof.payload.len() > attestor.max_payload());
        match long {
            None => Ok(()),
            Some((attestor, proof)) => Err(ProofError::TooLong {
                kind: attestor.kind(),
                length: proof.payload.len(),
                limit: attestor.max_payload(),
            }),
        }
    }
}

#[async_trait]
impl ServerAttestor for CombinedServer {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn max_payload(&self) -> usize {
        payload::MAX_COMBINED
    }

    async fn attest(
        &self,
        payload: &[u8],
        peer: &Peer,
        challenger: &mut dyn Challenger,
    ) -> Result<Attested, Refused> {
        let proofs = payload::parse(payload).map_err(|error| Refused::Payload(error.into()))?;
        self.check(&proofs)
            .map_err(|error| Refused::Payload(error.into()))?;
        let mut all: Option<Attested> = None;
        for (place, (attestor, proof)) in self.attestors.iter().zip(&proofs).enumerate() {
            let mut own = OwnChallenges {
                proof: place,
                all: challenger,
            };
            let proved = attestor.attest(&proof.payload, peer, &mut own).await;
            let kind = attestor.kind();
            let proved = proved.map_err(|refused| named(kind, refused))?;
            all = Some(match all {
                None => Attested {
                    proofs: vec![kind],
                    ..proved
                },
                Some(before) => both(before, proved, kind)?,
            });
        }
        all.ok_or_else(|| Refused::Payload("no proof".into()))
    }
}

/// The first keeps its name; what one forbids is forbidden.
fn both(first: Attested, second: Attested, kind: &'static str) -> Result<Attested, Refused> {
    if first.token.is_some() && second.token.is_some() {
        return Err(Refused::Unavailable(ProofError::Tokens.into()));
    }
    let mut selectors = first.selectors;
    selectors.extend(second.selectors);
    let mut once = first.once;
    once.extend(second.once);
    let mut proofs = first.proofs;
    proofs.push(kind);
    Ok(Attested {
        agent_id: first.agent_id,
        selectors,
        can_reattest: first.can_reattest && second.can_reattest,
        first_use: first.first_use || second.first_use,
        token: first.token.or(second.token),
        once,
        proofs,
    })
}

/// A refusal of the same kind that says whose it is.
fn named(kind: &'static str, refused: Refused) -> Refused {
    let fault = refused.fault();
    match refused {
        // Nothing is wrong with a proof, or the text is for the agent as it is.
        Refused::Ended(_) | Refused::Token(_) => refused,
        source => {
            let error = ProofError::Refused { kind, source };
            match fault {
                Fault::Caller => Refused::Payload(error.into()),
                Fault::NotAllowed => Refused::Evidence(error.into()),
                Fault::Ours => Refused::Unavailable(error.into()),
            }
        }
    }
}

/// The way back to the agent for one of the proofs.
struct OwnChallenges<'a> {
    proof: usize,
    all: &'a mut dyn Challenger,
}

#[async_trait]
impl Challenger for OwnChallenges<'_> {
    async fn challenge(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let proof = self.proof;
        let answer = self.all.challenge(Tagged { proof, bytes }.encode()).await?;
        let answer = Tagged::parse(&answer).map_err(|error| Refused::Response(error.into()))?;
        match answer.proof == proof {
            true => Ok(answer.bytes),
            false => Err(Refused::Response("it is for another proof".into())),
        }
    }
}
