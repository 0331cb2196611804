//! `spire.api.server.svid.v1.SVID`.

use super::agent::x509_svid;
use super::{authorized, source, status_of, types};
use crate::issue::{IssueFault, ProofKeyWanted, WitWanted, X509Wanted};
use crate::issuer::Issuer;
use bytes::Bytes;
use futures::StreamExt;
use signet_ca::{IssuedJwt, IssuedWit};
use signet_model::Refusal;
use signet_proto::spire::server::svid::v1::{self as api, svid_server};
use signet_proto::spire::types as wire;
use signet_spiffe::SpiffeId;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request, Response, Status};

/// SVIDs of one batch that are signed at the same time: enough for both cores of a small server,
/// few enough that one agent's batch does not starve the others.
const CONCURRENT_SIGNINGS: usize = 4;

/// The service.
#[derive(Debug, Clone)]
pub(super) struct SvidService(pub Arc<Issuer>);

#[tonic::async_trait]
impl svid_server::Svid for SvidService {
    async fn mint_x509svid(
        &self,
        request: Request<api::MintX509svidRequest>,
    ) -> Result<Response<api::MintX509svidResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        if request.csr.is_empty() {
            return Err(Status::invalid_argument("missing CSR"));
        }
        let minted = self
            .0
            .mint_x509(&by, &request.csr, wanted_ttl(request.ttl))
            .await;
        let (svid, id) = minted.map_err(|fault| status(&fault))?;
        Ok(Response::new(api::MintX509svidResponse {
            svid: Some(x509_svid(&id, &svid)),
        }))
    }

    async fn mint_jwtsvid(
        &self,
        request: Request<api::MintJwtsvidRequest>,
    ) -> Result<Response<api::MintJwtsvidResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let id = types::read_spiffe_id("invalid SPIFFE ID", request.id.as_ref())?;
        let ttl = wanted_ttl(request.ttl);
        let minted = self
            .0
            .mint_jwt(&by, id.clone(), request.audience, ttl)
            .await;
        let jwt = minted.map_err(|fault| status(&fault))?;
        Ok(Response::new(api::MintJwtsvidResponse {
            svid: Some(jwt_svid(&id, jwt)),
        }))
    }

    async fn mint_witsvid(
        &self,
        request: Request<api::MintWitsvidRequest>,
    ) -> Result<Response<api::MintWitsvidResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let id = types::read_spiffe_id("invalid SPIFFE ID", request.id.as_ref())?;
        let ttl = wanted_ttl(request.ttl);
        let proof_key = ProofKeyWanted {
            public_key: request.public_key,
            algorithm: request.signing_algorithm,
        };
        let minted = self.0.mint_wit(&by, id.clone(), &proof_key, ttl).await;
        let wit = minted.map_err(|fault| status(&fault))?;
        Ok(Response::new(api::MintWitsvidResponse {
            svid: Some(wit_svid(&id, wit)),
        }))
    }

    async fn batch_new_x509svid(
        &self,
        request: Request<api::BatchNewX509svidRequest>,
    ) -> Result<Response<api::BatchNewX509svidResponse>, Status> {
        let by = authorized(&request)?;
        let agent = by.agent().ok_or_else(not_an_agent)?;
        let source = source(&by);
        let params = request.into_inner().params;
        if params.is_empty() {
            return Err(Status::invalid_argument("missing parameters"));
        }
        self.0.limits.csr(source, params.len()).await?;
        let results = futures::stream::iter(params)
            .map(|params| async {
                let wanted = X509Wanted {
                    entry_id: params.entry_id,
                    csr: params.csr,
                };
                let issued = self.0.issue_x509(&by, agent, &wanted).await;
                match issued {
                    Ok((svid, id)) => api::batch_new_x509svid_response::Result {
                        status: types::item_ok(),
                        svid: Some(x509_svid(&id, &svid)),
                    },
                    Err(fault) => api::batch_new_x509svid_response::Result {
                        status: types::item_status(code(&fault), types::chain(&fault)),
                        svid: None,
                    },
                }
            })
            .buffered(CONCURRENT_SIGNINGS)
            .collect()
            .await;
        Ok(Response::new(api::BatchNewX509svidResponse { results }))
    }

    async fn new_jwtsvid(
        &self,
        request: Request<api::NewJwtsvidRequest>,
    ) -> Result<Response<api::NewJwtsvidResponse>, Status> {
        let by = authorized(&request)?;
        let agent = by.agent().ok_or_else(not_an_agent)?;
        self.0.limits.jwt(source(&by)).await?;
        let request = request.into_inner();
        let issued = self
            .0
            .issue_jwt(&by, agent, &request.entry_id, request.audience)
            .await;
        let (jwt, id) = issued.map_err(|fault| status(&fault))?;
        Ok(Response::new(api::NewJwtsvidResponse {
            svid: Some(jwt_svid(&id, jwt)),
        }))
    }

    async fn batch_new_witsvid(
        &self,
        request: Request<api::BatchNewWitsvidRequest>,
    ) -> Result<Response<api::BatchNewWitsvidResponse>, Status> {
        let by = authorized(&request)?;
        let agent = by.agent().ok_or_else(not_an_agent)?;
        if !self.0.issues_wits() {
            return Err(status(&IssueFault::WitDisabled));
        }
        let source = source(&by);
        let params = request.into_inner().params;
        if params.is_empty() {
            return Err(Status::invalid_argument("missing parameters"));
        }
        self.0.limits.wit(source, params.len()).await?;
        let results = futures::stream::iter(params)
            .map(|params| async {
                let wanted = wit_wanted(params);
                wit_result(self.0.issue_wit(&by, agent, &wanted).await)
            })
            .buffered(CONCURRENT_SIGNINGS)
            .collect()
            .await;
        Ok(Response::new(api::BatchNewWitsvidResponse { results }))
    }

    async fn new_downstream_x509ca(
        &self,
        request: Request<api::NewDownstreamX509caRequest>,
    ) -> Result<Response<api::NewDownstreamX509caResponse>, Status> {
        let by = authorized(&request)?;
        let server = by.downstream().ok_or_else(not_downstream)?;
        self.0.limits.csr(source(&by), 1).await?;
        let request = request.into_inner();
        if request.csr.is_empty() {
            return Err(Status::invalid_argument("missing CSR"));
        }
        let ttl = wanted_ttl(request.preferred_ttl);
        let issued = self
            .0
            .issue_downstream_ca(&by, server, &request.csr, ttl)
            .await;
        let ca = issued.map_err(|fault| status(&fault))?;
        let own = self.0.own_bundle();
        let roots = own.iter().flat_map(|bundle| &bundle.x509_authorities);
        Ok(Response::new(api::NewDownstreamX509caResponse {
            ca_cert_chain: ca.chain.into_iter().map(Bytes::from).collect(),
            x509_authorities: roots
                .map(|root| Bytes::copy_from_slice(&root.der))
                .collect(),
        }))
    }
}

fn not_downstream() -> Status {
    Status::permission_denied("caller is not a downstream server")
}

fn not_an_agent() -> Status {
    Status::permission_denied("caller is not an agent")
}

/// Seconds asked for; 0 and less mean the default.
fn wanted_ttl(seconds: i32) -> Option<Duration> {
    u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

fn jwt_svid(id: &SpiffeId, jwt: IssuedJwt) -> wire::Jwtsvid {
    wire::Jwtsvid {
        token: jwt.token.expose().to_owned(),
        id: Some(types::spiffe_id(id)),
        expires_at: types::seconds(jwt.expires_at),
        issued_at: types::seconds(jwt.issued_at),
        hint: String::new(),
    }
}

fn wit_wanted(params: api::NewWitsvidParams) -> WitWanted {
    WitWanted {
        entry_id: params.entry_id,
        proof_key: ProofKeyWanted {
            public_key: params.public_key,
            algorithm: params.signing_algorithm,
        },
    }
}

/// SPIRE leaves the status of what went well unset; here it says OK, as in other batches.
fn wit_result(
    issued: Result<(IssuedWit, SpiffeId), IssueFault>,
) -> api::batch_new_witsvid_response::Result {
    match issued {
        Ok((wit, id)) => api::batch_new_witsvid_response::Result {
            status: types::item_ok(),
            svid: Some(wit_svid(&id, wit)),
        },
        Err(fault) => api::batch_new_witsvid_response::Result {
            status: types::item_status(code(&fault), types::chain(&fault)),
            svid: None,
        },
    }
}

fn wit_svid(id: &SpiffeId, wit: IssuedWit) -> wire::Witsvid {
    wire::Witsvid {
        token: wit.token.expose().to_owned(),
        id: Some(types::spiffe_id(id)),
        expires_at: types::seconds(wit.expires_at),
        issued_at: types::seconds(wit.issued_at),
        hint: String::new(),
    }
}

fn code(fault: &IssueFault) -> Code {
    match fault {
        IssueFault::NoEntryId
        | IssueFault::Csr(_)
        | IssueFault::ProofKey(_)
        | IssueFault::ProofAlgorithm(_) => Code::InvalidArgument,
        IssueFault::NotDownstream => Code::PermissionDenied,
        IssueFault::NotAuthorized
        | IssueFault::PodElsewhere
        | IssueFault::PodUnplaced
        | IssueFault::Refused(Refusal::Disabled) => Code::NotFound,
        IssueFault::PodNowhere => Code::Unavailable,
        IssueFault::Refused(refusal) if !refusal.is_ours() => Code::InvalidArgument,
        IssueFault::JwtDisabled | IssueFault::WitDisabled => Code::Unimplemented,
        IssueFault::SignX509(error) if error.is_transient() => Code::Unavailable,
        IssueFault::SignJwt(error) if error.is_transient() => Code::Unavailable,
        IssueFault::SignWit(error) if error.is_transient() => Code::Unavailable,
        IssueFault::Refused(_)
        | IssueFault::SignX509(_)
        | IssueFault::ComposeJwt(_)
        | IssueFault::SignJwt(_)
        | IssueFault::SignWit(_) => Code::Internal,
        IssueFault::NoAuthority(_) | IssueFault::Audit(_) => Code::Unavailable,
    }
}

fn status(fault: &IssueFault) -> Status {
    status_of(code(fault), fault)
}
