//! A token, and what is to be done so that there always is one.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::api::Api;
use crate::settings::Secret;

/// A token that grows shorter with each renewal has reached its greatest age: below this share of its
/// first lifetime it is given up for another.
const WORTH_KEEPING: u32 = 2;

/// What a login or renewal answers.
#[derive(Deserialize)]
pub(crate) struct Granted {
    pub(crate) auth: GrantedAuth,
}

/// The part that counts. Not printed: the token is in it.
#[derive(Deserialize)]
pub(crate) struct GrantedAuth {
    pub(crate) client_token: String,
    #[serde(default)]
    pub(crate) lease_duration: u64,
    #[serde(default)]
    pub(crate) renewable: bool,
}

/// What a token says about itself.
#[derive(Deserialize)]
pub(crate) struct TokenFacts {
    #[serde(default)]
    pub(crate) ttl: u64,
    #[serde(default)]
    pub(crate) renewable: bool,
}

/// One token in use.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) token: Secret,
    /// With the client certificate of the login, which some tokens are bound to.
    pub(crate) api: Api,
    pub(crate) lease: Lease,
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) granted: Instant,
    /// `None` lives for ever.
    lifetime: Option<Duration>,
    /// Its lifetime when it was new.
    first: Option<Duration>,
    renewable: bool,
}

/// What is due for a token, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing, ever.
    Nothing,
    /// It is to be renewed.
    Renewal(Instant),
    /// It cannot be renewed, so another is needed.
    Login(Instant),
}

impl Lease {
    /// Of a token granted now; zero seconds mean for ever.
    pub(crate) fn new(granted: Instant, seconds: u64, renewable: bool) -> Self {
        let lifetime = (seconds > 0).then(|| Duration::from_secs(seconds));
        Self {
            granted,
            lifetime,
            first: lifetime,
            renewable,
        }
    }

    /// Of the same token, renewed now.
    pub(crate) fn renewed(self, granted: Instant, seconds: u64, renewable: bool) -> Self {
        Self {
            first: self.first,
            ..Self::new(granted, seconds, renewable)
        }
    }

    /// Half of the lifetime is left for what goes wrong with a renewal, a third for a login.
    pub(crate) fn due(&self) -> Due {
        match self.lifetime {
            None => Due::Nothing,
            Some(lifetime) if self.renewable && self.is_worth_keeping(lifetime) => {
                Due::Renewal(self.granted + lifetime / 2)
            }
            Some(lifetime) => Due::Login(self.granted + lifetime * 2 / 3),
        }
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.lifetime
            .is_some_and(|lifetime| now >= self.granted + lifetime)
    }

    fn is_worth_keeping(&self, lifetime: Duration) -> bool {
        self.first
            .is_none_or(|first| lifetime * WORTH_KEEPING >= first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_at_half_of_its_life_and_replaced_when_it_cannot_be() {
        let now = Instant::now();
        let lease = |seconds, renewable| Lease::new(now, seconds, renewable).due();
        assert_eq!(lease(3600, true), Due::Renewal(now + HOUR / 2));
        assert_eq!(lease(3600, false), Due::Login(now + HOUR * 2 / 3));
        assert_eq!(lease(0, false), Due::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_near_its_greatest_age_is_replaced() {
        let now = Instant::now();
        let lease = Lease::new(now, 3600, true);
        assert!(matches!(
            lease.renewed(now, 1800, true).due(),
            Due::Renewal(_)
        ));
        assert!(matches!(
            lease.renewed(now, 1799, true).due(),
            Due::Login(_)
        ));
        let twice = lease.renewed(now, 3600, true).renewed(now, 900, true);
        assert_eq!(twice.due(), Due::Login(now + HOUR / 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_over_at_its_end_and_one_for_ever_never() {
        let now = Instant::now();
        let lease = Lease::new(now, 3600, true);
        assert!(!lease.is_over(now + HOUR - Duration::from_secs(1)));
        assert!(lease.is_over(now + HOUR));
        assert!(!Lease::new(now, 0, false).is_over(now + HOUR * 1000));
    }
}
