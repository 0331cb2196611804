//! The RPC edge: caller → convert → use case → convert. Nothing is decided here.

mod admin;
mod agent;
mod authorize;
mod bundle;
mod entry;
mod health;
mod localauthority;
mod page;
mod replace;
mod svid;
mod sync;
pub mod types;
mod wait;

pub use authorize::{AuthorizeLayer, Origin};

use crate::caller::Authorized;
use crate::entries::Match;
use crate::issuer::Issuer;
use crate::limits::{Exceeded, Source};
use crate::state::StateError;
use signet_model::Selector;
use signet_proto::signet::admin::v1::admin_server::AdminServer;
use signet_proto::signet::sync::v1::sync_server::SyncServer;
use signet_proto::spire::server::agent::v1::agent_server::AgentServer;
use signet_proto::spire::server::bundle::v1::bundle_server::BundleServer;
use signet_proto::spire::server::entry::v1::entry_server::EntryServer;
use signet_proto::spire::server::localauthority::v1::local_authority_server::LocalAuthorityServer;
use signet_proto::spire::server::svid::v1::svid_server::SvidServer;
use signet_proto::spire::types as wire;
use signet_runtime::Stop;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Code, Request, Status};

/// The largest message a caller may send: a batch of 500 CSRs with RSA-4096 keys is under 1 MiB.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// The services of both listeners.
fn common(issuer: &Arc<Issuer>, stop: &Stop) -> RoutesBuilder {
    let mut routes = RoutesBuilder::default();
    macro_rules! add {
        ($server:ident, $service:expr) => {
            routes.add_service($server::new($service).max_decoding_message_size(MAX_MESSAGE))
        };
    }
    add!(AgentServer, agent::AgentService(issuer.clone()));
    add!(BundleServer, bundle::BundleService(issuer.clone()));
    add!(EntryServer, entry::EntryService(issuer.clone()));
    add!(
        LocalAuthorityServer,
        localauthority::LocalAuthorityService(issuer.clone())
    );
    add!(SvidServer, svid::SvidService(issuer.clone()));
    add!(
        SyncServer,
        sync::SyncService::new(issuer.clone(), stop.clone())
    );
    routes
}

/// The services for agents and remote administrators.
pub fn remote_routes(issuer: &Arc<Issuer>, stop: &Stop) -> Routes {
    common(issuer, stop).routes()
}

/// The services of the admin socket.
pub fn local_routes(issuer: &Arc<Issuer>, stop: &Stop) -> Routes {
    let mut routes = common(issuer, stop);
    routes.add_service(AdminServer::new(admin::AdminService(issuer.clone())));
    routes.add_service(health::server(issuer.clone()));
    routes.routes()
}

/// Who calls, as the authorization layer let them in.
fn authorized<T>(request: &Request<T>) -> Result<Authorized, Status> {
    let found = request.extensions().get::<Authorized>().cloned();
    found.ok_or_else(|| Status::internal("the call passed no authorization"))
}

/// In whose bucket a call counts.
fn source(by: &Authorized) -> Source {
    use crate::caller::Caller;
    match &by.caller {
        Caller::Peer { peer, .. } => Source::Identity(peer.id().clone()),
        Caller::Anonymous { address } => Source::Address(address.map(|address| address.ip())),
        Caller::Local { .. } => Source::Address(None),
    }
}

impl From<Exceeded> for Status {
    fn from(exceeded: Exceeded) -> Self {
        Self::resource_exhausted(exceeded.to_string())
    }
}

/// The status code of a change that was not made.
fn code_of(error: &StateError) -> Code {
    match error {
        StateError::Store(store) if store.is_transient() => Code::Unavailable,
        StateError::Contended => Code::Aborted,
        StateError::Stopping => Code::Unavailable,
        StateError::Store(_) | StateError::Record(_) => Code::Internal,
    }
}

/// What a peer learns of a fault: its class and the outline; the log has the rest.
fn status_of(code: Code, fault: &dyn std::error::Error) -> Status {
    Status::new(code, types::chain(fault))
}

fn read_selector_match(given: wire::SelectorMatch) -> Result<(Match, BTreeSet<Selector>), Status> {
    use wire::selector_match::MatchBehavior as B;
    let how = match B::try_from(given.r#match) {
        Ok(B::MatchExact) => Match::Exact,
        Ok(B::MatchSubset) => Match::Subset,
        Ok(B::MatchSuperset) => Match::Superset,
        Ok(B::MatchAny) => Match::Any,
        Err(_) => return Err(Status::invalid_argument("unknown match behavior")),
    };
    if given.selectors.is_empty() {
        let text = "malformed selectors filter: empty selector set";
        return Err(Status::invalid_argument(text));
    }
    Ok((
        how,
        types::read_selectors(&given.selectors)?
            .into_iter()
            .collect(),
    ))
}
