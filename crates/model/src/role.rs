//! The roles a SPIFFE ID can have in the server's own trust domain.

use signet_spiffe::{SpiffeId, TrustDomain};

/// Why a SPIFFE ID cannot have a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The ID is of another trust domain.
    #[error("\"{id}\" is not a member of trust domain \"{trust_domain}\"")]
    OtherTrustDomain {
        /// The ID given.
        id: SpiffeId,
        /// The server's trust domain.
        trust_domain: TrustDomain,
    },
    /// The ID is the trust domain's own.
    #[error("\"{id}\" is not a member of trust domain \"{}\"; path is empty", id.trust_domain())]
    NoPath {
        /// The ID given.
        id: SpiffeId,
    },
    /// The path is under `/spire`, which servers and agents have for themselves.
    #[error(
        "\"{id}\" is not a workload in trust domain \"{}\"; path is in the reserved namespace",
        id.trust_domain()
    )]
    Reserved {
        /// The ID given.
        id: SpiffeId,
    },
    /// The path is not under `/spire/agent/`.
    #[error(
        "\"{id}\" is not an agent in trust domain \"{}\"; path is not in the agent namespace",
        id.trust_domain()
    )]
    NotAgent {
        /// The ID given.
        id: SpiffeId,
    },
}

/// Any member of the trust domain: it has a path.
pub fn member(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), RoleError> {
    if id.trust_domain() != trust_domain {
        return Err(RoleError::OtherTrustDomain {
            id: id.clone(),
            trust_domain: trust_domain.clone(),
        });
    }
    if id.path().is_empty() {
        return Err(RoleError::NoPath { id: id.clone() });
    }
    Ok(())
}

/// A workload: a member outside the reserved paths.
pub fn workload(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), RoleError> {
    member(id, trust_domain)?;
    if id.is_reserved() {
        return Err(RoleError::Reserved { id: id.clone() });
    }
    Ok(())
}

/// An agent: a member under `/spire/agent/`.
pub fn agent(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), RoleError> {
    member(id, trust_domain)?;
    if !id.is_agent() {
        return Err(RoleError::NotAgent { id: id.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SpiffeId {
        SpiffeId::parse(text).unwrap()
    }

    fn td() -> TrustDomain {
        TrustDomain::parse("example.org").unwrap()
    }

    #[test]
    fn workloads_agents_and_the_server_are_members() {
        for path in ["/web", "/spire/agent/x509pop/a", "/spire/server"] {
            let id = id(&format!("spiffe://example.org{path}"));
            assert_eq!(member(&id, &td()), Ok(()), "{path}");
        }
    }

    #[test]
    fn the_trust_domain_itself_and_strangers_are_no_members() {
        assert!(matches!(
            member(&id("spiffe://example.org"), &td()),
            Err(RoleError::NoPath { .. })
        ));
        assert!(matches!(
            member(&id("spiffe://other.org/web"), &td()),
            Err(RoleError::OtherTrustDomain { .. })
        ));
    }

    #[test]
    fn reserved_paths_are_no_workloads() {
        assert_eq!(workload(&id("spiffe://example.org/spirea"), &td()), Ok(()));
        for path in ["/spire", "/spire/server", "/spire/agent/a", "/spire/other"] {
            let id = id(&format!("spiffe://example.org{path}"));
            assert!(
                matches!(workload(&id, &td()), Err(RoleError::Reserved { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn only_paths_under_the_agent_namespace_are_agents() {
        assert_eq!(
            agent(&id("spiffe://example.org/spire/agent/join_token/x"), &td()),
            Ok(())
        );
        for path in ["/web", "/spire/server", "/spire/agent"] {
            let id = id(&format!("spiffe://example.org{path}"));
            assert!(
                matches!(agent(&id, &td()), Err(RoleError::NotAgent { .. })),
                "{path}"
            );
        }
    }
}
