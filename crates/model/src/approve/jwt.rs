//! Which JWT-SVID may be issued.

use std::time::Duration;

use serde_json::{Map, Value, json};
use signet_spiffe::SpiffeId;

use super::{Approved, Moment, Policy, Refusal};
use crate::index::Authorized;
use crate::lifetime::{self, Lifetime, unix_seconds};
use crate::role;

/// The most audiences of one token: a token for many is good for none, and each adds to its size.
pub const MAX_AUDIENCES: usize = 64;

/// The longest audience: as long as the longest SPIFFE ID, which it often is.
pub const MAX_AUDIENCE_BYTES: usize = 2048;

/// A JWT-SVID that may be signed, once it is [`Approved`].
#[derive(Clone, Debug, PartialEq)]
pub struct JwtGrant {
    /// The `sub` claim.
    pub spiffe_id: SpiffeId,
    /// The `aud` claim: never empty, no empty string in it.
    pub audience: Vec<String>,
    /// `iat` and `exp`.
    pub lifetime: Lifetime,
    /// All claims: those above as they stand there, `jti` and `iss` if there are to be such, and
    /// what composers add.
    pub claims: Map<String, Value>,
}

/// A JWT-SVID for a workload: everything but the audience comes from the entry. The `jti` is a fresh
/// one, used if the entry asks for it.
pub fn workload_jwt(
    policy: &Policy,
    moment: Moment,
    authorized: &Authorized,
    audience: Vec<String>,
    jti: String,
) -> Result<Approved<JwtGrant>, Refusal> {
    let entry = authorized.entry();
    role::workload(&entry.spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    if entry.disabled {
        return Err(Refusal::Disabled);
    }
    let audience = checked_audience(audience)?;
    let lifetime = lifetime::svid(
        moment.now,
        entry.jwt_svid_ttl,
        policy.default_jwt_svid_ttl,
        entry.expires_at,
        moment.authority_not_after,
    );
    let lifetime = lifetime.map_err(Refusal::Lifetime)?;
    let jti = entry.jwt_svid_include_jti.then_some(jti);
    let spiffe_id = entry.spiffe_id.clone();
    Ok(grant(policy, spiffe_id, audience, lifetime, jti))
}

/// A JWT-SVID that an administrator asks for.
pub fn mint_jwt(
    policy: &Policy,
    moment: Moment,
    spiffe_id: SpiffeId,
    audience: Vec<String>,
    ttl: Option<Duration>,
) -> Result<Approved<JwtGrant>, Refusal> {
    role::workload(&spiffe_id, &policy.trust_domain).map_err(Refusal::SpiffeId)?;
    let audience = checked_audience(audience)?;
    let default = policy.default_jwt_svid_ttl;
    let lifetime = lifetime::svid(moment.now, ttl, default, None, moment.authority_not_after);
    let lifetime = lifetime.map_err(Refusal::Lifetime)?;
    Ok(grant(policy, spiffe_id, audience, lifetime, None))
}

fn grant(
    policy: &Policy,
    spiffe_id: SpiffeId,
    audience: Vec<String>,
    lifetime: Lifetime,
    jti: Option<String>,
) -> Approved<JwtGrant> {
    let optional = [("iss", policy.jwt_issuer.clone()), ("jti", jti)];
    let optional = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, json!(value?))));
    // The audience is an array even if it is one, and dates are whole numbers, as SPIRE has them.
    let claims = [
        ("sub", json!(spiffe_id.to_string())),
        ("aud", json!(audience)),
        ("exp", json!(unix_seconds(lifetime.not_after))),
        ("iat", json!(unix_seconds(lifetime.issued_at))),
    ];
    let claims = claims.into_iter().chain(optional);
    Approved(JwtGrant {
        spiffe_id,
        audience,
        lifetime,
        claims: claims
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    })
}

/// Drops empty audiences, as SPIRE does; then one must be left. Order and repetitions stay.
fn checked_audience(mut audience: Vec<String>) -> Result<Vec<String>, Refusal> {
    let count = audience.len();
    if count > MAX_AUDIENCES {
        return Err(Refusal::TooManyAudiences { count });
    }
    let too_long = audience.iter().find(|a| a.len() > MAX_AUDIENCE_BYTES);
    if let Some(length) = too_long.map(String::len) {
        return Err(Refusal::AudienceTooLong { length });
    }
    audience.retain(|a| !a.is_empty());
    match audience.is_empty() {
        true => Err(Refusal::NoAudience),
        false => Ok(audience),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::fixtures::{
        agent, agent_id, at, entry, id, index, moment, policy, put_agent, put_entry,
    };
    use crate::lifetime::Spent;

    fn workload(entry: Entry, audience: &[&str]) -> Result<Approved<JwtGrant>, Refusal> {
        let entry_id = entry.id.clone();
        let index = index([put_agent(agent("a", &[])), put_entry(entry)]);
        let authorized = index
            .authorizes(&agent_id("a"), &entry_id, at(0))
            .expect("the agent is the entry's parent");
        let jti = "fresh".to_owned();
        workload_jwt(&policy(), moment(), &authorized, owned(audience), jti)
    }

    fn web() -> Entry {
        entry("e", agent_id("a"), id("/web"))
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| t.to_string()).collect()
    }

    #[test]
    fn a_workload_gets_what_its_entry_says() {
        let grant = workload(
            Entry {
                jwt_svid_ttl: Some(Duration::from_secs(60)),
                ..web()
            },
            &["b", "a"],
        );
        let grant = grant.unwrap();
        assert_eq!(grant.spiffe_id, id("/web"));
        assert_eq!(grant.audience, ["b", "a"]);
        assert_eq!(grant.lifetime.issued_at, at(1000));
        assert_eq!(grant.lifetime.not_after, at(1060));
        let claims = json!({
            "sub": "spiffe://example.org/web", "aud": ["b", "a"], "iat": 1000, "exp": 1060,
        });
        assert_eq!(Value::Object(grant.claims.clone()), claims);
    }

    #[test]
    fn the_default_lifetime_is_that_of_tokens() {
        let grant = workload(web(), &["a"]).unwrap();
        assert_eq!(grant.lifetime.not_after, at(1300));
    }

    #[test]
    fn a_jti_is_there_only_if_the_entry_asks() {
        let asking = Entry {
            jwt_svid_include_jti: true,
            ..web()
        };
        let grant = workload(asking, &["a"]).unwrap();
        assert_eq!(grant.claims["jti"], "fresh");
    }

    #[test]
    fn the_configured_issuer_is_carried() {
        let policy = Policy {
            jwt_issuer: Some("https://issuer".to_owned()),
            ..policy()
        };
        let grant = mint_jwt(&policy, moment(), id("/web"), owned(&["a"]), None).unwrap();
        assert_eq!(grant.claims["iss"], "https://issuer");
    }

    #[test]
    fn empty_audiences_are_dropped_and_repeated_ones_kept() {
        let grant = workload(web(), &["", "a", "a"]).unwrap();
        assert_eq!(grant.audience, ["a", "a"]);
    }

    #[test]
    fn a_token_for_nobody_is_refused() {
        for audience in [&[][..], &[""], &["", ""]] {
            assert_eq!(workload(web(), audience).unwrap_err(), Refusal::NoAudience);
        }
    }

    #[test]
    fn audiences_are_accepted_up_to_the_limits_and_refused_above() {
        let fits = "a".repeat(MAX_AUDIENCE_BYTES);
        assert!(workload(web(), &vec![fits.as_str(); MAX_AUDIENCES]).is_ok());
        assert_eq!(
            workload(web(), &["a"; MAX_AUDIENCES + 1]).unwrap_err(),
            Refusal::TooManyAudiences {
                count: MAX_AUDIENCES + 1
            }
        );
        assert_eq!(
            workload(web(), &[&(fits + "a")]).unwrap_err(),
            Refusal::AudienceTooLong {
                length: MAX_AUDIENCE_BYTES + 1
            }
        );
    }

    #[test]
    fn a_token_does_not_outlive_its_entry() {
        let ends = |at| Entry {
            expires_at: Some(at),
            ..web()
        };
        let grant = workload(ends(at(1100)), &["a"]).unwrap();
        assert_eq!(grant.lifetime.not_after, at(1100));
        assert_eq!(
            workload(ends(at(900)), &["a"]).unwrap_err(),
            Refusal::Lifetime(Spent::Entry)
        );
    }

    #[test]
    fn only_workloads_are_minted_a_token() {
        let mint = |id| mint_jwt(&policy(), moment(), id, owned(&["a"]), None);
        assert!(mint(id("/web")).is_ok());
        for id in [agent_id("a"), id("/spire/server"), id("")] {
            assert!(matches!(mint(id), Err(Refusal::SpiffeId(_))));
        }
    }

    #[test]
    fn a_minted_token_has_the_wanted_lifetime_and_no_jti() {
        let ttl = Some(Duration::from_secs(7));
        let grant = mint_jwt(&policy(), moment(), id("/web"), owned(&["a"]), ttl).unwrap();
        assert_eq!(grant.lifetime.not_after, at(1007));
        assert!(!grant.claims.contains_key("jti"));
    }
}
