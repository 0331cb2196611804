//! An attested agent, and whether a caller is one.

use std::time::SystemTime;

use signet_spiffe::{Serial, SpiffeId};

use crate::selector::SelectorSet;
use crate::token::TokenId;

/// The longest agent version an agent may report, in bytes, as in SPIRE.
pub const MAX_VERSION_BYTES: usize = 255;

/// The join token an agent came with, until its SVID is used for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHold {
    /// The token, which goes when the hold goes.
    pub token: TokenId,
}

/// How an agent proved what it is, the latest time it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// When.
    pub at: SystemTime,
    /// The attestors, where several had to agree; the first of them named the agent.
    pub proofs: Vec<String>,
}

/// An agent the server has attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its SPIFFE ID.
    pub id: SpiffeId,
    /// The node attestor that proved it.
    pub attestation_type: String,
    /// Serial of the SVID it may use; `None` if it is banned.
    pub serial: Option<Serial>,
    /// When that SVID ends.
    pub expires_at: SystemTime,
    /// Serial and end of a renewed SVID that it has not used yet. Both are good until it does.
    pub pending: Option<(Serial, SystemTime)>,
    /// What the node attestor found.
    pub selectors: SelectorSet,
    /// Whether it must attest again instead of renewing.
    pub can_reattest: bool,
    /// The version it reported; empty if it has not.
    pub agent_version: String,
    /// The join token that may still be replayed by the same key.
    pub token: Option<TokenHold>,
    /// How it proved what it is; unknown of agents that older programs attested.
    pub attestation: Option<Attestation>,
}

/// Why a caller is not taken for an agent: the reasons of SPIRE's `PermissionDeniedDetails`, which
/// tell the agent what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AgentReason {
    /// Its SVID has expired: it attests again.
    #[error("agent SVID is expired")]
    Expired,
    /// It is not known: it attests again.
    #[error("agent is not attested")]
    NotAttested,
    /// Its SVID has been replaced: it attests again.
    #[error("agent SVID is not active")]
    NotActive,
    /// It has been banned: it removes its SVID and stops.
    #[error("agent is banned")]
    Banned,
    /// It has to attest again instead of renewing.
    #[error("agent must reattest instead of renew")]
    MustReattest,
}

/// How a caller is an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// By its current SVID.
    Current,
    /// By its pending SVID: the server now makes it the current one ([`Agent::promoted`]).
    Pending,
}

/// Whether a caller with a certificate of this serial and end is this agent. Everything but
/// [`AgentReason::Expired`] is a want of a fact: the server asks the store before it denies.
pub fn admit(
    agent: Option<&Agent>,
    serial: &Serial,
    not_after: SystemTime,
    now: SystemTime,
) -> Result<Admission, AgentReason> {
    if not_after <= now {
        return Err(AgentReason::Expired);
    }
    let agent = agent.ok_or(AgentReason::NotAttested)?;
    let current = agent.serial.as_ref().ok_or(AgentReason::Banned)?;
    if current == serial {
        return Ok(Admission::Current);
    }
    match &agent.pending {
        Some((pending, _)) if pending == serial => Ok(Admission::Pending),
        _ => Err(AgentReason::NotActive),
    }
}

impl Agent {
    /// Whether it was banned.
    pub fn is_banned(&self) -> bool {
        self.serial.is_none()
    }

    /// When the last SVID it may use ends.
    pub fn valid_until(&self) -> SystemTime {
        match &self.pending {
            Some((_, end)) => self.expires_at.max(*end),
            None => self.expires_at,
        }
    }

    /// Whether it may have anything at this time: neither banned nor expired.
    pub fn is_active(&self, now: SystemTime) -> bool {
        !self.is_banned() && self.valid_until() > now
    }

    /// Whether it still may be given a fresh SVID for the one it has.
    pub fn may_renew(&self) -> Result<(), AgentReason> {
        match (self.is_banned(), self.can_reattest) {
            (true, _) => Err(AgentReason::Banned),
            (false, true) => Err(AgentReason::MustReattest),
            (false, false) => Ok(()),
        }
    }

    /// After it used its SVID for the first time: a pending serial becomes the current one, and the
    /// join token it came with can no longer be replayed.
    #[must_use]
    pub fn promoted(&self) -> Self {
        let mut agent = self.clone();
        if let Some((serial, end)) = agent.pending.take() {
            agent.serial = Some(serial);
            agent.expires_at = end;
        }
        agent.token = None;
        agent
    }

    /// After a renewal: both SVIDs are good until the new one is used.
    #[must_use]
    pub fn renewed(&self, serial: Serial, not_after: SystemTime) -> Self {
        Self {
            pending: Some((serial, not_after)),
            ..self.clone()
        }
    }

    /// After a ban: no SVID of it is good.
    #[must_use]
    pub fn banned(&self) -> Self {
        Self {
            serial: None,
            pending: None,
            token: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent, at, serial};

    fn renewed() -> Agent {
        agent("a", &[]).renewed(serial(2), at(20_000))
    }

    fn admitted(agent: Option<&Agent>, number: u8) -> Result<Admission, AgentReason> {
        admit(agent, &serial(number), at(10_000), at(100))
    }

    #[test]
    fn the_current_serial_is_admitted() {
        let agent = agent("a", &[]);
        assert_eq!(admitted(Some(&agent), 1), Ok(Admission::Current));
    }

    #[test]
    fn between_renewal_and_first_use_both_serials_are_admitted() {
        assert_eq!(admitted(Some(&renewed()), 1), Ok(Admission::Current));
        assert_eq!(admitted(Some(&renewed()), 2), Ok(Admission::Pending));
    }

    #[test]
    fn after_its_first_use_only_the_new_serial_is_admitted() {
        let agent = renewed().promoted();
        assert_eq!(admitted(Some(&agent), 2), Ok(Admission::Current));
        assert_eq!(admitted(Some(&agent), 1), Err(AgentReason::NotActive));
        assert_eq!(agent.expires_at, at(20_000));
    }

    #[test]
    fn a_serial_of_neither_is_not_active() {
        assert_eq!(admitted(Some(&renewed()), 3), Err(AgentReason::NotActive));
    }

    #[test]
    fn an_unknown_agent_is_not_attested() {
        assert_eq!(admitted(None, 1), Err(AgentReason::NotAttested));
    }

    #[test]
    fn a_banned_agent_is_banned_whatever_it_shows() {
        let banned = renewed().banned();
        for number in [1, 2, 3] {
            assert_eq!(admitted(Some(&banned), number), Err(AgentReason::Banned));
        }
    }

    #[test]
    fn an_expired_certificate_is_expired_before_anything_else() {
        let agent = agent("a", &[]);
        for known in [None, Some(&agent), Some(&agent.banned())] {
            assert_eq!(
                admit(known, &serial(1), at(100), at(100)),
                Err(AgentReason::Expired)
            );
        }
    }

    #[test]
    fn an_agent_is_active_until_the_last_of_its_svids_ends() {
        let agent = agent("a", &[]);
        assert!(agent.is_active(at(9_999)));
        assert!(!agent.is_active(at(10_000)));
        assert!(renewed().is_active(at(10_000)));
        assert!(!renewed().is_active(at(20_000)));
        assert!(!renewed().banned().is_active(at(100)));
    }

    #[test]
    fn an_agent_that_can_attest_again_may_not_renew() {
        let mut agent = agent("a", &[]);
        assert_eq!(agent.may_renew(), Ok(()));
        agent.can_reattest = true;
        assert_eq!(agent.may_renew(), Err(AgentReason::MustReattest));
        assert_eq!(agent.banned().may_renew(), Err(AgentReason::Banned));
    }

    #[test]
    fn the_hold_on_the_join_token_ends_with_the_first_use() {
        let mut agent = agent("a", &[]);
        agent.token = Some(TokenHold {
            token: TokenId::from_hash([1; 32]),
        });
        assert_eq!(agent.promoted().token, None);
        assert_eq!(agent.promoted().serial, agent.serial);
        assert_eq!(agent.banned().token, None);
    }
}
