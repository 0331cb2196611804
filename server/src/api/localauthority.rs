//! `spire.api.server.localauthority.v1.LocalAuthority`.

use super::{authorized, code_of, status_of, types};
use crate::authority::{AuthorityFault, Kind, LocalAuthorities, LocalAuthority, LocalFault};
use crate::issuer::Issuer;
use signet_proto::spire::server::localauthority::v1 as api;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// The service.
#[derive(Debug, Clone)]
pub(super) struct LocalAuthorityService(pub Arc<Issuer>);

/// The methods differ in nothing but their messages: which authorities are meant, and what is done.
macro_rules! state {
    ($self:ident, $kind:expr, $response:ident) => {{
        let found = $self.0.local_authorities($kind);
        let found = found.map_err(|fault| status(&fault))?;
        let (active, prepared, old) = states(&found);
        Ok(Response::new(api::$response {
            active,
            prepared,
            old,
        }))
    }};
}
macro_rules! prepare {
    ($self:ident, $request:ident, $kind:expr, $response:ident) => {{
        let by = authorized(&$request)?;
        let prepared = $self.0.prepare_authority(&by, $kind).await;
        Ok(Response::new(api::$response {
            prepared_authority: state(prepared)?,
        }))
    }};
}
macro_rules! act {
    ($self:ident, $request:ident, $kind:expr, $act:ident, $response:ident { $field:ident }) => {{
        let by = authorized(&$request)?;
        let id = $request.into_inner().authority_id;
        let kind = $self.named($kind, &id);
        let done = $self.0.$act(&by, kind, &id).await;
        Ok(Response::new(api::$response {
            $field: state(done)?,
        }))
    }};
}
macro_rules! upstream {
    ($self:ident, $request:ident, $act:ident, $response:ident) => {{
        let by = authorized(&$request)?;
        let id = $request.into_inner().subject_key_id;
        let done = $self.0.$act(&by, &id).await;
        Ok(Response::new(api::$response {
            upstream_authority_subject_key_id: done.map_err(|fault| status(&fault))?,
        }))
    }};
}

impl LocalAuthorityService {
    /// SPIRE's messages know one JWT key; the ID tells which of ours is meant.
    fn named(&self, kind: Kind, id: &str) -> Kind {
        match kind {
            Kind::Jwt => self.0.rotation.jwt_kind_of(id),
            other => other,
        }
    }
}

#[tonic::async_trait]
impl api::local_authority_server::LocalAuthority for LocalAuthorityService {
    async fn get_jwt_authority_state(
        &self,
        _request: Request<api::GetJwtAuthorityStateRequest>,
    ) -> Result<Response<api::GetJwtAuthorityStateResponse>, Status> {
        state!(self, Kind::Jwt, GetJwtAuthorityStateResponse)
    }

    async fn prepare_jwt_authority(
        &self,
        request: Request<api::PrepareJwtAuthorityRequest>,
    ) -> Result<Response<api::PrepareJwtAuthorityResponse>, Status> {
        prepare!(self, request, Kind::Jwt, PrepareJwtAuthorityResponse)
    }

    async fn activate_jwt_authority(
        &self,
        request: Request<api::ActivateJwtAuthorityRequest>,
    ) -> Result<Response<api::ActivateJwtAuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::Jwt,
            activate_authority,
            ActivateJwtAuthorityResponse {
                activated_authority
            }
        )
    }

    async fn taint_jwt_authority(
        &self,
        request: Request<api::TaintJwtAuthorityRequest>,
    ) -> Result<Response<api::TaintJwtAuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::Jwt,
            taint_authority,
            TaintJwtAuthorityResponse { tainted_authority }
        )
    }

    async fn revoke_jwt_authority(
        &self,
        request: Request<api::RevokeJwtAuthorityRequest>,
    ) -> Result<Response<api::RevokeJwtAuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::Jwt,
            revoke_authority,
            RevokeJwtAuthorityResponse { revoked_authority }
        )
    }

    async fn get_x509_authority_state(
        &self,
        _request: Request<api::GetX509AuthorityStateRequest>,
    ) -> Result<Response<api::GetX509AuthorityStateResponse>, Status> {
        state!(self, Kind::X509, GetX509AuthorityStateResponse)
    }

    async fn prepare_x509_authority(
        &self,
        request: Request<api::PrepareX509AuthorityRequest>,
    ) -> Result<Response<api::PrepareX509AuthorityResponse>, Status> {
        prepare!(self, request, Kind::X509, PrepareX509AuthorityResponse)
    }

    async fn activate_x509_authority(
        &self,
        request: Request<api::ActivateX509AuthorityRequest>,
    ) -> Result<Response<api::ActivateX509AuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::X509,
            activate_authority,
            ActivateX509AuthorityResponse {
                activated_authority
            }
        )
    }

    async fn taint_x509_authority(
        &self,
        request: Request<api::TaintX509AuthorityRequest>,
    ) -> Result<Response<api::TaintX509AuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::X509,
            taint_authority,
            TaintX509AuthorityResponse { tainted_authority }
        )
    }

    async fn revoke_x509_authority(
        &self,
        request: Request<api::RevokeX509AuthorityRequest>,
    ) -> Result<Response<api::RevokeX509AuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::X509,
            revoke_authority,
            RevokeX509AuthorityResponse { revoked_authority }
        )
    }

    async fn taint_x509_upstream_authority(
        &self,
        request: Request<api::TaintX509UpstreamAuthorityRequest>,
    ) -> Result<Response<api::TaintX509UpstreamAuthorityResponse>, Status> {
        upstream!(
            self,
            request,
            taint_upstream_authority,
            TaintX509UpstreamAuthorityResponse
        )
    }

    async fn revoke_x509_upstream_authority(
        &self,
        request: Request<api::RevokeX509UpstreamAuthorityRequest>,
    ) -> Result<Response<api::RevokeX509UpstreamAuthorityResponse>, Status> {
        upstream!(
            self,
            request,
            revoke_upstream_authority,
            RevokeX509UpstreamAuthorityResponse
        )
    }

    async fn get_wit_authority_state(
        &self,
        _request: Request<api::GetWitAuthorityStateRequest>,
    ) -> Result<Response<api::GetWitAuthorityStateResponse>, Status> {
        state!(self, Kind::Wit, GetWitAuthorityStateResponse)
    }

    async fn prepare_wit_authority(
        &self,
        request: Request<api::PrepareWitAuthorityRequest>,
    ) -> Result<Response<api::PrepareWitAuthorityResponse>, Status> {
        prepare!(self, request, Kind::Wit, PrepareWitAuthorityResponse)
    }

    async fn activate_wit_authority(
        &self,
        request: Request<api::ActivateWitAuthorityRequest>,
    ) -> Result<Response<api::ActivateWitAuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::Wit,
            activate_authority,
            ActivateWitAuthorityResponse {
                activated_authority
            }
        )
    }

    async fn taint_wit_authority(
        &self,
        request: Request<api::TaintWitAuthorityRequest>,
    ) -> Result<Response<api::TaintWitAuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::Wit,
            taint_authority,
            TaintWitAuthorityResponse { tainted_authority }
        )
    }

    async fn revoke_wit_authority(
        &self,
        request: Request<api::RevokeWitAuthorityRequest>,
    ) -> Result<Response<api::RevokeWitAuthorityResponse>, Status> {
        act!(
            self,
            request,
            Kind::Wit,
            revoke_authority,
            RevokeWitAuthorityResponse { revoked_authority }
        )
    }
}

type State = Option<api::AuthorityState>;

fn states(found: &LocalAuthorities) -> (State, State, State) {
    let one = |authority: &Option<LocalAuthority>| authority.as_ref().map(state_of);
    (
        Some(state_of(&found.active)),
        one(&found.prepared),
        one(&found.old),
    )
}

fn state(done: Result<LocalAuthority, LocalFault>) -> Result<State, Status> {
    match done {
        Ok(authority) => Ok(Some(state_of(&authority))),
        Err(fault) => Err(status(&fault)),
    }
}

fn state_of(authority: &LocalAuthority) -> api::AuthorityState {
    api::AuthorityState {
        authority_id: authority.authority_id.clone(),
        expires_at: authority.expires_at.map_or(0, types::seconds),
        upstream_authority_subject_key_id: authority.upstream_authority_id.clone(),
    }
}

fn status(fault: &LocalFault) -> Status {
    let code = match fault {
        LocalFault::Disabled(_) => Code::Unimplemented,
        LocalFault::Initializing | LocalFault::Audit(_) => Code::Unavailable,
        LocalFault::NoId
        | LocalFault::NotNext
        | LocalFault::Active
        | LocalFault::Prepared
        | LocalFault::Unknown
        | LocalFault::OtherUpstream => Code::InvalidArgument,
        LocalFault::NotPrepared | LocalFault::AlreadyTainted | LocalFault::NotTainted => {
            Code::Internal
        }
        LocalFault::HasUpstream | LocalFault::NoUpstream | LocalFault::UpstreamHas { .. } => {
            Code::FailedPrecondition
        }
        LocalFault::Step(AuthorityFault::State(error)) => code_of(error),
        LocalFault::Step(_) => Code::Internal,
    };
    status_of(code, fault)
}
