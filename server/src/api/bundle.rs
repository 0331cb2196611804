//! `spire.api.server.bundle.v1.Bundle`.

use super::page::page;
use super::{authorized, status_of, types};
use crate::audit::{self, AuditEventExt};
use crate::bundles::{Addition, BundleFault, OnFederated, Write};
use crate::caller::Authorized;
use crate::issuer::Issuer;
use signet_proto::spire::server::bundle::v1::{self as api, bundle_server};
use signet_proto::spire::types as wire;
use signet_spiffe::{Bundle, TrustDomain};
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// The service.
#[derive(Debug, Clone)]
pub(super) struct BundleService(pub Arc<Issuer>);

#[tonic::async_trait]
impl bundle_server::Bundle for BundleService {
    async fn count_bundles(
        &self,
        _request: Request<api::CountBundlesRequest>,
    ) -> Result<Response<api::CountBundlesResponse>, Status> {
        let count = i32::try_from(self.0.bundle_count()).unwrap_or(i32::MAX);
        Ok(Response::new(api::CountBundlesResponse { count }))
    }

    async fn get_bundle(
        &self,
        request: Request<api::GetBundleRequest>,
    ) -> Result<Response<wire::Bundle>, Status> {
        let by = authorized(&request)?;
        let own = self.0.fetch_own_bundle(&by);
        let own = own.ok_or_else(|| Status::not_found("bundle not found"))?;
        Ok(Response::new(masked(
            &own,
            request.into_inner().output_mask.as_ref(),
        )))
    }

    async fn append_bundle(
        &self,
        request: Request<api::AppendBundleRequest>,
    ) -> Result<Response<wire::Bundle>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        if request.x509_authorities.is_empty() && request.jwt_authorities.is_empty() {
            return Err(Status::invalid_argument("no bundle fields were provided"));
        }
        let x509 = types::read_x509_authorities(&request.x509_authorities)?;
        let jwt = types::read_jwt_authorities(&request.jwt_authorities)?;
        let addition = Addition {
            x509,
            jwt,
            ..Addition::default()
        };
        let appended = self.0.append_bundle(&by, addition).await;
        let own = appended.map_err(|fault| status(&fault))?;
        Ok(Response::new(masked(&own, request.output_mask.as_ref())))
    }

    async fn publish_jwt_authority(
        &self,
        request: Request<api::PublishJwtAuthorityRequest>,
    ) -> Result<Response<api::PublishJwtAuthorityResponse>, Status> {
        let by = authorized(&request)?;
        let key = request.into_inner().jwt_authority;
        let key = key.ok_or_else(|| Status::invalid_argument("missing JWT authority"))?;
        let key = types::read_jwt_authority(&key)?;
        let published = self.0.publish_jwt(&by, key).await;
        let own = published.map_err(|fault| status(&fault))?;
        let jwt_authorities = own
            .jwt_authorities
            .iter()
            .map(types::jwt_authority)
            .collect();
        Ok(Response::new(api::PublishJwtAuthorityResponse {
            jwt_authorities,
        }))
    }

    async fn publish_wit_authority(
        &self,
        request: Request<api::PublishWitAuthorityRequest>,
    ) -> Result<Response<api::PublishWitAuthorityResponse>, Status> {
        let by = authorized(&request)?;
        let key = request.into_inner().wit_authority;
        let key = key.ok_or_else(|| Status::invalid_argument("missing WIT authority"))?;
        let key = types::read_wit_authority(&key)?;
        let published = self.0.publish_wit(&by, key).await;
        let own = published.map_err(|fault| status(&fault))?;
        let wit_authorities = own
            .wit_authorities
            .iter()
            .map(types::wit_authority)
            .collect();
        Ok(Response::new(api::PublishWitAuthorityResponse {
            wit_authorities,
        }))
    }

    async fn list_federated_bundles(
        &self,
        request: Request<api::ListFederatedBundlesRequest>,
    ) -> Result<Response<api::ListFederatedBundlesResponse>, Status> {
        let request = request.into_inner();
        let all = self.0.federated_bundles();
        let name = |bundle: &Arc<Bundle>| bundle.trust_domain.name().to_owned();
        let (found, next_page_token) = page(all, request.page_size, &request.page_token, name)?;
        let mask = request.output_mask.as_ref();
        let bundles = found.iter().map(|bundle| masked(bundle, mask)).collect();
        Ok(Response::new(api::ListFederatedBundlesResponse {
            bundles,
            next_page_token,
        }))
    }

    async fn get_federated_bundle(
        &self,
        request: Request<api::GetFederatedBundleRequest>,
    ) -> Result<Response<wire::Bundle>, Status> {
        let request = request.into_inner();
        let name =
            types::read_trust_domain("trust domain argument is not valid", &request.trust_domain)?;
        let bundle = self
            .0
            .federated_bundle(&name)
            .map_err(|fault| status(&fault))?;
        Ok(Response::new(masked(&bundle, request.output_mask.as_ref())))
    }

    async fn batch_create_federated_bundle(
        &self,
        request: Request<api::BatchCreateFederatedBundleRequest>,
    ) -> Result<Response<api::BatchCreateFederatedBundleResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let mut results = Vec::new();
        for given in &request.bundle {
            let written = self.write(&by, Write::Create, given, None).await;
            let (status, bundle) = item(written, request.output_mask.as_ref());
            results.push(api::batch_create_federated_bundle_response::Result { status, bundle });
        }
        Ok(Response::new(api::BatchCreateFederatedBundleResponse {
            results,
        }))
    }

    async fn batch_update_federated_bundle(
        &self,
        request: Request<api::BatchUpdateFederatedBundleRequest>,
    ) -> Result<Response<api::BatchUpdateFederatedBundleResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let mut results = Vec::new();
        for given in &request.bundle {
            let written = self
                .write(&by, Write::Update, given, request.input_mask.as_ref())
                .await;
            let (status, bundle) = item(written, request.output_mask.as_ref());
            results.push(api::batch_update_federated_bundle_response::Result { status, bundle });
        }
        Ok(Response::new(api::BatchUpdateFederatedBundleResponse {
            results,
        }))
    }

    async fn batch_set_federated_bundle(
        &self,
        request: Request<api::BatchSetFederatedBundleRequest>,
    ) -> Result<Response<api::BatchSetFederatedBundleResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let mut results = Vec::new();
        for given in &request.bundle {
            let written = self.write(&by, Write::Set, given, None).await;
            let (status, bundle) = item(written, request.output_mask.as_ref());
            results.push(api::batch_set_federated_bundle_response::Result { status, bundle });
        }
        Ok(Response::new(api::BatchSetFederatedBundleResponse {
            results,
        }))
    }

    async fn batch_delete_federated_bundle(
        &self,
        request: Request<api::BatchDeleteFederatedBundleRequest>,
    ) -> Result<Response<api::BatchDeleteFederatedBundleResponse>, Status> {
        use api::batch_delete_federated_bundle_request::Mode;
        let by = authorized(&request)?;
        let request = request.into_inner();
        let how = match Mode::try_from(request.mode) {
            Ok(Mode::Restrict) => OnFederated::Restrict,
            Ok(Mode::Delete) => OnFederated::Delete,
            Ok(Mode::Dissociate) => OnFederated::Dissociate,
            Err(_) => return Err(Status::invalid_argument("unhandled delete mode")),
        };
        let mut results = Vec::new();
        for trust_domain in request.trust_domains {
            let deleted = match self.read_name(&by, "bundle.delete", &trust_domain) {
                Ok(name) => self.0.delete_bundle(&by, &name, how).await,
                Err(fault) => Err(fault),
            };
            let status = match deleted {
                Ok(()) => types::item_ok(),
                Err(fault) => types::item_status(code(&fault), types::chain(&fault)),
            };
            results.push(api::batch_delete_federated_bundle_response::Result {
                status,
                trust_domain,
            });
        }
        Ok(Response::new(api::BatchDeleteFederatedBundleResponse {
            results,
        }))
    }
}

impl BundleService {
    async fn write(
        &self,
        by: &Authorized,
        how: Write,
        given: &wire::Bundle,
        mask: Option<&wire::BundleMask>,
    ) -> Result<Arc<Bundle>, BundleFault> {
        let name = self.read_name(by, "bundle.write", &given.trust_domain)?;
        let edit = |stored: Option<&Bundle>| {
            let read = types::read_bundle(given);
            let given = read.map_err(|error| BundleFault::Malformed(error.to_string()))?;
            Ok(merged(stored, given, mask))
        };
        self.0.write_bundle(by, &name, how, edit).await
    }

    fn read_name(
        &self,
        by: &Authorized,
        action: &'static str,
        name: &str,
    ) -> Result<TrustDomain, BundleFault> {
        let read = types::read_trust_domain("trust domain argument is not valid", name);
        read.map_err(|malformed| {
            let fault = BundleFault::Malformed(malformed.to_string());
            self.0
                .audit
                .refused(audit::event(by, action).because(&fault));
            fault
        })
    }
}

/// The fields that the mask names from the request, the others as stored.
fn merged(stored: Option<&Bundle>, given: Bundle, mask: Option<&wire::BundleMask>) -> Bundle {
    let (Some(stored), Some(mask)) = (stored, mask) else {
        return given;
    };
    let mut merged = stored.clone();
    if mask.x509_authorities {
        merged.x509_authorities = given.x509_authorities;
    }
    if mask.jwt_authorities {
        merged.jwt_authorities = given.jwt_authorities;
    }
    if mask.refresh_hint {
        merged.refresh_hint = given.refresh_hint;
    }
    if mask.sequence_number {
        merged.sequence = given.sequence;
    }
    merged
}

fn item(
    written: Result<Arc<Bundle>, BundleFault>,
    mask: Option<&wire::BundleMask>,
) -> (Option<wire::Status>, Option<wire::Bundle>) {
    match written {
        Ok(bundle) => (types::item_ok(), Some(masked(&bundle, mask))),
        Err(fault) => (types::item_status(code(&fault), types::chain(&fault)), None),
    }
}

fn masked(bundle: &Bundle, mask: Option<&wire::BundleMask>) -> wire::Bundle {
    let mut bundle = types::bundle(bundle);
    types::mask_bundle(&mut bundle, mask);
    bundle
}

fn code(fault: &BundleFault) -> Code {
    match fault {
        BundleFault::Malformed(_) | BundleFault::Own(_) => Code::InvalidArgument,
        BundleFault::NotFound => Code::NotFound,
        BundleFault::Exists | BundleFault::TakenKeyId(_) => Code::AlreadyExists,
        BundleFault::InUse(_) => Code::FailedPrecondition,
        BundleFault::Upstream(error) if error.is_transient() => Code::Unavailable,
        BundleFault::Upstream(_) => Code::Internal,
        BundleFault::State(error) => super::code_of(error),
        BundleFault::Audit(_) => Code::Internal,
    }
}

fn status(fault: &BundleFault) -> Status {
    status_of(code(fault), fault)
}
