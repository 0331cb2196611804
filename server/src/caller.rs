//! Who is calling, and what that caller may call: one table, one check an RPC.
//!
//! The decision is made from the index. Before an agent is *denied* for want of a fact, the index
//! catches up with the store, since another server may have written the fact a moment ago.

use crate::audit::Noted;
use crate::issuer::Issuer;
use crate::state::{Plan, Snapshot, StateError};
use signet_model::{Admission, Agent, AgentReason, Change};
use signet_spiffe::SpiffeId;
use signet_tls::VerifiedPeer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// The other end of a connection, as the connection itself proves it.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A process on this machine, through the admin socket.
    Local {
        /// Its user.
        uid: u32,
        /// Its process, if the kernel told.
        pid: Option<i32>,
    },
    /// A TLS client that showed no certificate.
    Anonymous {
        /// Where from.
        address: Option<SocketAddr>,
    },
    /// A TLS client with a verified X.509-SVID.
    Peer {
        /// What was verified.
        peer: Arc<VerifiedPeer>,
        /// Where from.
        address: Option<SocketAddr>,
    },
}

impl Caller {
    /// A short name for logs and audit records.
    pub fn name(&self) -> String {
        match self {
            Self::Local {
                uid,
                pid: Some(pid),
            } => format!("local uid {uid} pid {pid}"),
            Self::Local { uid, pid: None } => format!("local uid {uid}"),
            Self::Anonymous {
                address: Some(address),
            } => format!("anonymous {}", address.ip()),
            Self::Anonymous { address: None } => "anonymous".to_owned(),
            Self::Peer { peer, .. } => peer.id().to_string(),
        }
    }
}

/// In which capacity a call was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capacity {
    /// Everybody may call this.
    Anyone,
    /// Through the admin socket.
    Local,
    /// With an admin's SVID.
    Admin,
    /// With the SVID of a downstream server.
    Downstream(SpiffeId),
    /// As an attested, active agent.
    Agent(SpiffeId),
}

/// A caller that was let in; handlers find it in the request's extensions.
#[derive(Debug, Clone)]
pub struct Authorized {
    /// Who.
    pub caller: Caller,
    /// As what.
    pub capacity: Capacity,
    /// This call, in the log and the audit record.
    pub request_id: String,
    /// Whether the call has its audit record.
    pub noted: Noted,
}

impl Authorized {
    /// The agent that calls; none for every other capacity.
    pub fn agent(&self) -> Option<&SpiffeId> {
        match &self.capacity {
            Capacity::Agent(id) => Some(id),
            _ => None,
        }
    }

    /// The downstream server that calls; none for every other capacity.
    pub fn downstream(&self) -> Option<&SpiffeId> {
        match &self.capacity {
            Capacity::Downstream(id) => Some(id),
            _ => None,
        }
    }
}

/// Why a call was not let in.
#[derive(Debug)]
pub enum Denied {
    /// The caller has no right to this method; the reason is for agents to act on.
    Permission(Option<AgentReason>),
    /// The caller's certificate is no longer good.
    Unauthenticated,
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Access {
    any: bool,
    local: bool,
    admin: bool,
    downstream: bool,
    agent: bool,
}

impl Access {
    /// Whether a listener has the method at all: the admin socket has all that the table names,
    /// TLS only what some certificate, or none, may call.
    pub fn is_served(self, to_local: bool) -> bool {
        let remote = self.any || self.admin || self.downstream || self.agent;
        remote || (to_local && self.local)
    }
}

const NOBODY: Access = Access {
    any: false,
    local: false,
    admin: false,
    downstream: false,
    agent: false,
};
const ANYONE: Access = Access {
    any: true,
    ..NOBODY
};
const LOCAL: Access = Access {
    local: true,
    ..NOBODY
};
const ADMIN: Access = Access {
    local: true,
    admin: true,
    ..NOBODY
};
const AGENT: Access = Access {
    agent: true,
    ..NOBODY
};
const AGENT_OR_ADMIN: Access = Access {
    agent: true,
    ..ADMIN
};
const DOWNSTREAM: Access = Access {
    downstream: true,
    ..NOBODY
};

/// The table: who may call the method of this path. Nobody may call what is not named.
pub fn access(path: &str) -> Access {
    let path = path.trim_start_matches('/');
    let (service, method) = path.rsplit_once('/').unwrap_or((path, ""));
    match (
        service.strip_prefix("spire.api.server.").unwrap_or(service),
        method,
    ) {
        ("bundle.v1.Bundle", "GetBundle") | ("agent.v1.Agent", "AttestAgent") => ANYONE,
        ("agent.v1.Agent", "RenewAgent" | "PostStatus")
        | ("entry.v1.Entry", "GetAuthorizedEntries" | "SyncAuthorizedEntries")
        | ("svid.v1.SVID", "BatchNewX509SVID" | "NewJWTSVID" | "BatchNewWITSVID")
        | ("signet.sync.v1.Sync", "Watch") => AGENT,
        ("bundle.v1.Bundle", "GetFederatedBundle") => AGENT_OR_ADMIN,
        ("bundle.v1.Bundle", "PublishJWTAuthority" | "PublishWITAuthority")
        | ("svid.v1.SVID", "NewDownstreamX509CA") => DOWNSTREAM,
        ("debug.v1.Debug" | "logger.v1.Logger" | "grpc.health.v1.Health", _) => LOCAL,
        ("signet.admin.v1.Admin", _) => LOCAL,
        (
            "agent.v1.Agent"
            | "bundle.v1.Bundle"
            | "entry.v1.Entry"
            | "svid.v1.SVID"
            | "trustdomain.v1.TrustDomain"
            | "localauthority.v1.LocalAuthority",
            _,
        ) => ADMIN,
        _ => NOBODY,
    }
}

/// Whether this use of the agent's certificate must be recorded: the first use of a renewed one
/// makes it the current one, the first use after a join token gives the token up.
fn is_first_use(agent: &Agent, admission: Admission) -> bool {
    admission == Admission::Pending || agent.token.is_some()
}

impl Issuer {
    /// Lets a call in, or says why not.
    pub async fn authorize(&self, path: &str, caller: &Caller) -> Result<Capacity, Denied> {
        let access = access(path);
        if access.any {
            return Ok(Capacity::Anyone);
        }
        match caller {
            Caller::Local { .. } if access.local => Ok(Capacity::Local),
            Caller::Local { .. } | Caller::Anonymous { .. } => Err(Denied::Permission(None)),
            Caller::Peer { peer, .. } => self.authorize_peer(access, peer).await,
        }
    }

    async fn authorize_peer(
        &self,
        access: Access,
        peer: &VerifiedPeer,
    ) -> Result<Capacity, Denied> {
        let now = self.clock.now();
        if access.admin && self.is_admin(peer.id(), now) {
            self.check_certificate(peer, now)?;
            return Ok(Capacity::Admin);
        }
        if access.downstream && self.is_downstream(peer.id(), now) {
            self.check_certificate(peer, now)?;
            return Ok(Capacity::Downstream(peer.id().clone()));
        }
        if access.agent {
            return self.authorize_agent(peer).await;
        }
        Err(Denied::Permission(None))
    }

    /// Checks an agent's certificate against what the index knows of the agent, and records the
    /// first use of a new one.
    pub async fn authorize_agent(&self, peer: &VerifiedPeer) -> Result<Capacity, Denied> {
        let now = self.clock.now();
        let mut first_use = self.admit(peer, now);
        if matches!(first_use, Err(reason) if reason != AgentReason::Expired) {
            self.state.catch_up().await;
            first_use = self.admit(peer, now);
        }
        let first_use = first_use.map_err(|reason| Denied::Permission(Some(reason)))?;
        self.check_certificate(peer, now)?;
        if first_use {
            self.note_first_use(peer, now).await;
            // A ban may have come in between.
            self.admit(peer, now)
                .map_err(|reason| Denied::Permission(Some(reason)))?;
        }
        Ok(Capacity::Agent(peer.id().clone()))
    }

    /// If the store takes no writes, the agent is let in all the same and the next call tries
    /// again: until then the old SVID too is good, and the same key could show its join token
    /// again, which it could before.
    async fn note_first_use(&self, peer: &VerifiedPeer, now: SystemTime) {
        let used = self
            .state
            .change(|snapshot| Ok::<_, StateError>((record_first_use(snapshot, peer, now), ())));
        if let Err(error) = used.await {
            let error = crate::api::types::chain(&error);
            tracing::warn!(spiffe_id = %peer.id(), error, "the first use of an agent's SVID was not recorded");
        }
    }

    fn admit(&self, peer: &VerifiedPeer, now: SystemTime) -> Result<bool, AgentReason> {
        let snapshot = self.state.read();
        let agent = snapshot.index.agent(peer.id()).map(AsRef::as_ref);
        let admission = signet_model::admit(agent, peer.serial(), peer.not_after(), now)?;
        Ok(agent.is_some_and(|agent| is_first_use(agent, admission)))
    }

    /// A connection may outlive its certificate, or the authority behind it.
    fn check_certificate(&self, peer: &VerifiedPeer, now: SystemTime) -> Result<(), Denied> {
        peer.recheck(&self.trust, now).map_err(|error| {
            tracing::info!(spiffe_id = %peer.id(), %error, "a caller's certificate is no longer good");
            Denied::Unauthenticated
        })
    }

    fn is_admin(&self, id: &SpiffeId, now: SystemTime) -> bool {
        self.settings.admin_ids.contains(id) || self.state.read().index.is_admin(id, now)
    }

    fn is_downstream(&self, id: &SpiffeId, now: SystemTime) -> bool {
        self.state.read().index.is_downstream(id, now)
    }
}

/// Makes the serial in use the current one and gives up the join token behind it, in one commit.
fn record_first_use(snapshot: &Snapshot, peer: &VerifiedPeer, now: SystemTime) -> Plan {
    let Some(agent) = snapshot.index.agent(peer.id()) else {
        return Plan::default();
    };
    match signet_model::admit(Some(agent), peer.serial(), peer.not_after(), now) {
        Ok(admission) if is_first_use(agent, admission) => {}
        _ => return Plan::default(),
    }
    let mut plan = Plan::default();
    if let Some(hold) = &agent.token {
        plan = plan.change(Change::DeleteToken(hold.token));
    }
    plan.change(Change::PutAgent(Arc::new(agent.promoted())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lets_each_class_in_where_spire_does() {
        assert_eq!(
            access("/spire.api.server.bundle.v1.Bundle/GetBundle"),
            ANYONE
        );
        assert_eq!(
            access("/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries"),
            AGENT
        );
        assert_eq!(
            access("/spire.api.server.entry.v1.Entry/BatchCreateEntry"),
            ADMIN
        );
        assert_eq!(access("/spire.api.server.svid.v1.SVID/MintX509SVID"), ADMIN);
        let both = access("/spire.api.server.bundle.v1.Bundle/GetFederatedBundle");
        assert_eq!(both, AGENT_OR_ADMIN);
        assert_eq!(
            access("/spire.api.server.logger.v1.Logger/GetLogger"),
            LOCAL
        );
        assert_eq!(access("/signet.sync.v1.Sync/Watch"), AGENT);
    }

    #[test]
    fn nobody_may_call_what_the_table_does_not_name() {
        for path in [
            "/",
            "",
            "/x",
            "/spire.api.server.other.v1.Other/Get",
            "/grpc.reflection/X",
        ] {
            assert_eq!(access(path), NOBODY, "{path}");
        }
    }
}
