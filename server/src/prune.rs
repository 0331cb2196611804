//! What ends by the passing of time: agents are told at the instant, records are removed soon
//! after. An expired entry authorizes nothing, pruned or not; pruning only keeps the store small.

use crate::agents;
use crate::issuer::Issuer;
use crate::state::{Plan, Snapshot, State, StateError};
use signet_model::{Agent, Change, Entry};
use signet_runtime::Stop;
use signet_spiffe::{Bundle, TrustDomain};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often records are removed at least.
const PERIOD: Duration = Duration::from_secs(60);
/// Expired authorities stay in the bundle this long, for peers whose clocks are behind.
const AUTHORITY_GRACE: Duration = Duration::from_secs(24 * 3600);
/// Entries, tokens and used evidence that one commit removes at most.
const BATCH: usize = 1000;

/// Tells agents of what lapses, at the instant, until the stop signal.
pub async fn watch_expiry(issuer: Arc<Issuer>, stop: Stop) -> Result<(), Infallible> {
    let mut revisions = issuer.state.revisions();
    let mut told = issuer.clock.now();
    loop {
        let now = issuer.clock.now();
        let (lapsed, next) = {
            let snapshot = issuer.state.read();
            (
                snapshot.index.lapsed(told, now),
                snapshot.index.next_expiry(now),
            )
        };
        told = now;
        issuer.state.wake(lapsed.agents);
        let until = next
            .and_then(|next| next.duration_since(now).ok())
            .unwrap_or(PERIOD);
        tokio::select! {
            () = stop.stopped() => return Ok(()),
            () = tokio::time::sleep(until.min(PERIOD)) => {}
            changed = revisions.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Removes what is over, until the stop signal.
pub async fn prune(issuer: Arc<Issuer>, stop: Stop) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = stop.stopped() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
        if let Err(error) = prune_once(&issuer).await {
            tracing::warn!(%error, "expired records could not be removed; trying again later");
        }
    }
}

/// Removes what is over now.
pub async fn prune_once(issuer: &Issuer) -> Result<(), StateError> {
    let now = issuer.clock.now();
    let prune = |snapshot: &Snapshot| {
        let (plan, count) = lapsed_records(snapshot, now);
        Ok((plan, count))
    };
    let removed: usize = issuer.state.change::<_, StateError, _>(prune).await?;
    if removed > 0 {
        tracing::info!(
            removed,
            "removed expired entries, join tokens and used evidence"
        );
    }
    prune_bundle(&issuer.state, &issuer.trust_domain, now).await?;
    prune_agents(issuer, now).await
}

fn lapsed_records(snapshot: &Snapshot, now: SystemTime) -> (Plan, usize) {
    let entries = snapshot
        .index
        .entries()
        .filter(|entry| entry.is_expired(now));
    let entries: Vec<&Arc<Entry>> = entries.take(BATCH).collect();
    let tokens = snapshot
        .index
        .tokens()
        .filter(|token| token.expires_at <= now);
    let tokens = tokens.filter(|token| match &token.taken {
        None => true,
        // A token in use stays until its SVID was used, or its agent is gone.
        Some(taken) => {
            let agent = snapshot.index.agent(&taken.agent_id);
            agent.is_none_or(|agent| !agent.is_active(now) || agent.token.is_none())
        }
    });
    let tokens: Vec<_> = tokens.take(BATCH).map(|token| token.id).collect();
    let used = snapshot.index.all_used();
    let used = used.filter(|used| used.what.until <= now).take(BATCH);
    let used: Vec<_> = used.map(|used| used.what.id).collect();
    let count = entries.len() + tokens.len() + used.len();
    let plan = entries
        .into_iter()
        .fold(Plan::default(), |plan, entry| plan.delete_entry(entry));
    let plan = tokens
        .into_iter()
        .fold(plan, |plan, id| plan.change(Change::DeleteToken(id)));
    let plan = used
        .into_iter()
        .fold(plan, |plan, id| plan.change(Change::DeleteUsed(id)));
    (plan, count)
}

/// Removes the authorities from our own bundle that expired a day before `now`.
pub async fn prune_bundle(
    state: &State,
    trust_domain: &TrustDomain,
    now: SystemTime,
) -> Result<(), StateError> {
    let prune = |snapshot: &Snapshot| {
        let own = snapshot.index.bundle(trust_domain);
        let pruned = own.and_then(|own| without_expired(own, now));
        let plan = match pruned {
            Some(bundle) => Plan::default().change(Change::PutBundle(Arc::new(bundle))),
            None => Plan::default(),
        };
        Ok((plan, ()))
    };
    state.change(prune).await
}

/// The bundle without the authorities that expired a day ago; none if nothing changes. A key that
/// never expires stays, and so does the refresh hint; a bundle is never emptied.
fn without_expired(bundle: &Bundle, now: SystemTime) -> Option<Bundle> {
    let over = |end: SystemTime| end + AUTHORITY_GRACE <= now;
    let mut pruned = bundle.clone();
    pruned
        .x509_authorities
        .retain(|authority| !over(authority.not_after()));
    for keys in [&mut pruned.jwt_authorities, &mut pruned.wit_authorities] {
        keys.retain(|key| !key.expires_at.is_some_and(over));
    }
    if pruned.x509_authorities.is_empty() {
        pruned.x509_authorities.clone_from(&bundle.x509_authorities);
    }
    if pruned.jwt_authorities.is_empty() {
        pruned.jwt_authorities.clone_from(&bundle.jwt_authorities);
    }
    if pruned == *bundle {
        return None;
    }
    pruned.sequence += 1;
    Some(pruned)
}

async fn prune_agents(issuer: &Issuer, now: SystemTime) -> Result<(), StateError> {
    let Some(after) = issuer.settings.prune_agents_after else {
        return Ok(());
    };
    let over = |agent: &Agent| {
        agent.valid_until() + after <= now
            && !agent.is_banned()
            && (agent.can_reattest || issuer.settings.prune_tofu_agents)
    };
    let lapsed: Vec<_> = {
        let snapshot = issuer.state.read();
        let agents = snapshot.index.agents().filter(|agent| over(agent));
        agents
            .take(issuer.settings.prune_agents_batch)
            .map(|agent| agent.id.clone())
            .collect()
    };
    for id in lapsed {
        let evict = |snapshot: &Snapshot| {
            let still = snapshot.index.agent(&id).is_some_and(|agent| over(agent));
            let plan = still
                .then(|| agents::eviction(snapshot, &id).ok())
                .flatten();
            Ok((plan.unwrap_or_default(), ()))
        };
        issuer.state.change::<_, StateError, _>(evict).await?;
        tracing::info!(spiffe_id = %id, "removed an agent that expired long ago");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_crypto::{KeyType, PrivateKey};
    use signet_spiffe::JwtAuthority;
    use std::time::UNIX_EPOCH;

    fn key(id: &str, expires_at: Option<u64>) -> JwtAuthority {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let authority = JwtAuthority::new(id.to_owned(), key.public_key().clone()).unwrap();
        JwtAuthority {
            expires_at: expires_at.map(at),
            ..authority
        }
    }

    fn at(hours: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(hours * 3600)
    }

    fn bundle(keys: Vec<JwtAuthority>) -> Bundle {
        Bundle {
            wit_authorities: keys.clone(),
            jwt_authorities: keys,
            refresh_hint: Some(Duration::from_secs(77)),
            sequence: 5,
            ..Bundle::empty(TrustDomain::parse("example.org").unwrap())
        }
    }

    #[test]
    fn a_key_that_never_expires_and_the_refresh_hint_survive() {
        let bundle = bundle(vec![
            key("never", None),
            key("over", Some(1)),
            key("late", Some(30)),
        ]);
        let pruned = without_expired(&bundle, at(25)).unwrap();
        let ids = |keys: &[JwtAuthority]| -> Vec<_> {
            keys.iter().map(|key| key.key_id.clone()).collect()
        };
        assert_eq!(ids(&pruned.jwt_authorities), ["never", "late"]);
        assert_eq!(ids(&pruned.wit_authorities), ["never", "late"]);
        assert_eq!(pruned.refresh_hint, Some(Duration::from_secs(77)));
        assert_eq!(pruned.sequence, 6);
    }

    #[test]
    fn an_expired_key_stays_for_a_day() {
        let bundle = bundle(vec![key("never", None), key("over", Some(1))]);
        assert_eq!(without_expired(&bundle, at(24)), None);
        assert!(without_expired(&bundle, at(25)).is_some());
    }

    #[test]
    fn a_bundle_is_never_emptied() {
        let bundle = bundle(vec![key("over", Some(1))]);
        let pruned = without_expired(&bundle, at(1000));
        assert!(pruned.is_none_or(|pruned| !pruned.jwt_authorities.is_empty()));
    }
}
