//! `signet.admin.v1.Admin`, on the admin socket only: what we add to SPIRE's API.

use super::{authorized, replace, status_of, types};
use crate::entries::EntryFault;
use crate::issuer::Issuer;
use signet_ca::rotation::longest_svid_life;
use signet_model::explain::{self, Question};
use signet_model::{Entry, EntryId, SelectorSet, Stewardship};
use signet_proto::signet::admin::v1 as api;
use signet_spiffe::SpiffeId;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// Entries that the explanation of an agent shows; there may be thousands.
const MAX_EXPLAINED: usize = 100;

/// The service.
#[derive(Debug, Clone)]
pub(super) struct AdminService(pub Arc<Issuer>);

#[tonic::async_trait]
impl api::admin_server::Admin for AdminService {
    type ReplaceAuthorityStream = replace::Told;

    async fn replace_authority(
        &self,
        request: Request<api::ReplaceAuthorityRequest>,
    ) -> Result<Response<replace::Told>, Status> {
        let by = authorized(&request)?;
        let told = replace::begin(&self.0, by, &request.into_inner())?;
        Ok(Response::new(told))
    }

    async fn why(
        &self,
        request: Request<api::WhyRequest>,
    ) -> Result<Response<api::WhyResponse>, Status> {
        let question = read_question(&request.into_inner())?;
        let explanation = {
            let snapshot = self.0.state.read();
            explain::server_wide(&snapshot.index, question, self.0.clock.now())
        };
        let json = serde_json::to_string(&explanation)
            .map_err(|error| Status::internal(format!("cannot write the answer: {error}")))?;
        Ok(Response::new(api::WhyResponse {
            text: explanation.render(),
            json,
        }))
    }

    async fn explain_agent(
        &self,
        request: Request<api::ExplainAgentRequest>,
    ) -> Result<Response<api::ExplainAgentResponse>, Status> {
        let id = SpiffeId::parse(&request.into_inner().spiffe_id)
            .map_err(|error| types::Malformed::new("invalid agent ID", error))?;
        let snapshot = self.0.state.read();
        let agent = snapshot
            .index
            .agent(&id)
            .ok_or_else(|| Status::not_found("agent not found"))?;
        let entries = snapshot.index.authorized(&id, self.0.clock.now());
        let shown = entries.iter().take(MAX_EXPLAINED);
        let attestation = agent.attestation.as_ref();
        Ok(Response::new(api::ExplainAgentResponse {
            agent: Some(types::agent(agent)),
            attested_at: attestation.map_or(0, |attestation| types::seconds(attestation.at)),
            proofs: attestation.map_or_else(Vec::new, |attestation| attestation.proofs.clone()),
            entries: shown.map(|entry| types::entry(entry)).collect(),
            entry_count: i64::try_from(entries.len()).unwrap_or(i64::MAX),
        }))
    }

    async fn get_entry_extras(
        &self,
        request: Request<api::GetEntryExtrasRequest>,
    ) -> Result<Response<api::EntryExtras>, Status> {
        let id = read_id(&request.into_inner().entry_id)?;
        let entry = self
            .0
            .entry(&id)
            .ok_or_else(|| Status::not_found("entry not found"))?;
        Ok(Response::new(extras(&entry)))
    }

    async fn set_entry_extras(
        &self,
        request: Request<api::SetEntryExtrasRequest>,
    ) -> Result<Response<api::EntryExtras>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let given = request
            .extras
            .ok_or_else(|| Status::invalid_argument("missing extras"))?;
        let mask = request.input_mask;
        let id = read_id(&given.entry_id)?;
        let edit = |old: &Entry| Ok(edited(old, &given, mask.as_ref()));
        let updated = self.0.update_entry(&by, &id, edit).await;
        let entry = updated.map_err(|fault| status_of(code(&fault), &fault))?;
        Ok(Response::new(extras(&entry)))
    }

    async fn wait_for_entries(
        &self,
        request: Request<api::WaitForEntriesRequest>,
    ) -> Result<Response<api::WaitForEntriesResponse>, Status> {
        let waited = super::wait::wait_for_entries(&self.0, request.get_ref()).await;
        waited.map(Response::new)
    }

    async fn get_lifetimes(
        &self,
        _: Request<api::GetLifetimesRequest>,
    ) -> Result<Response<api::Lifetimes>, Status> {
        let sure = longest_svid_life(self.0.settings.ca_ttl).as_secs();
        Ok(Response::new(api::Lifetimes {
            sure_seconds: i64::try_from(sure).unwrap_or(i64::MAX),
        }))
    }
}

fn read_question(request: &api::WhyRequest) -> Result<Question, Status> {
    let id = |what: &str, text: &str| match text {
        "" => Ok(None),
        text => SpiffeId::parse(text)
            .map(Some)
            .map_err(|error| types::Malformed::new(what, error)),
    };
    let selectors: SelectorSet = types::read_selectors(&request.selectors)?
        .into_iter()
        .collect();
    Ok(Question {
        spiffe_id: id("invalid SPIFFE ID", &request.spiffe_id)?,
        selectors: (!request.selectors.is_empty()).then_some(selectors),
        agent_id: id("invalid agent ID", &request.agent_id)?,
    })
}

pub(super) fn read_id(text: &str) -> Result<EntryId, Status> {
    EntryId::parse(text).map_err(|error| types::Malformed::new("invalid entry ID", error).into())
}

fn extras(entry: &Entry) -> api::EntryExtras {
    api::EntryExtras {
        entry_id: entry.id.to_string(),
        disabled: entry.disabled,
        owner: entry.stewardship.owner.clone(),
        purpose: entry.stewardship.purpose.clone(),
        review_by: entry.stewardship.review_by.map_or(0, types::seconds),
        revision_number: entry.revision_number,
    }
}

fn edited(old: &Entry, given: &api::EntryExtras, mask: Option<&api::EntryExtrasMask>) -> Entry {
    let takes = |field: fn(&api::EntryExtrasMask) -> bool| mask.is_none_or(field);
    let mut new = old.clone();
    if takes(|mask| mask.disabled) {
        new.disabled = given.disabled;
    }
    let stewardship: &mut Stewardship = &mut new.stewardship;
    if takes(|mask| mask.owner) {
        stewardship.owner.clone_from(&given.owner);
    }
    if takes(|mask| mask.purpose) {
        stewardship.purpose.clone_from(&given.purpose);
    }
    if takes(|mask| mask.review_by) {
        stewardship.review_by = types::instant(given.review_by);
    }
    new
}

fn code(fault: &EntryFault) -> Code {
    super::entry::item_code(fault)
}
