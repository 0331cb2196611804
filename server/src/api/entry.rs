//! `spire.api.server.entry.v1.Entry`.

use super::page::page;
use super::{authorized, types};
use crate::caller::Authorized;
use crate::entries::{EntryFault, EntryFilter, Match};
use crate::issuer::Issuer;
use futures::StreamExt;
use signet_model::role::{self, RoleError};
use signet_model::{Entry, EntryId};
use signet_proto::spire::server::entry::v1::{self as api, entry_server};
use signet_proto::spire::types as wire;
use signet_spiffe::{SpiffeId, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

/// Entries in one message of a sync stream: SPIRE's constant, which its agents take as chunk size.
const SYNC_PAGE: usize = 500;
/// Items of a batch that are written at the same time, so that they share a sync of the disk.
const CONCURRENT_WRITES: usize = 64;

/// The service.
#[derive(Debug, Clone)]
pub(super) struct EntryService(pub Arc<Issuer>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl entry_server::Entry for EntryService {
    async fn count_entries(
        &self,
        request: Request<api::CountEntriesRequest>,
    ) -> Result<Response<api::CountEntriesResponse>, Status> {
        let filter = request
            .into_inner()
            .filter
            .map(|filter| api::list_entries_request::Filter {
                by_spiffe_id: filter.by_spiffe_id,
                by_parent_id: filter.by_parent_id,
                by_selectors: filter.by_selectors,
                by_federates_with: filter.by_federates_with,
                by_hint: filter.by_hint,
                by_downstream: filter.by_downstream,
            });
        let count = self
            .0
            .find_entries(&read_filter(filter, &self.0.trust_domain)?)
            .len();
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        Ok(Response::new(api::CountEntriesResponse { count }))
    }

    async fn list_entries(
        &self,
        request: Request<api::ListEntriesRequest>,
    ) -> Result<Response<api::ListEntriesResponse>, Status> {
        let request = request.into_inner();
        let found = self
            .0
            .find_entries(&read_filter(request.filter, &self.0.trust_domain)?);
        let (found, next_page_token) =
            page(found, request.page_size, &request.page_token, |entry| {
                order(entry)
            })?;
        let mask = request.output_mask.as_ref();
        let entries = found.iter().map(|entry| masked(entry, mask)).collect();
        Ok(Response::new(api::ListEntriesResponse {
            entries,
            next_page_token,
        }))
    }

    async fn get_entry(
        &self,
        request: Request<api::GetEntryRequest>,
    ) -> Result<Response<wire::Entry>, Status> {
        let request = request.into_inner();
        if request.id.is_empty() {
            return Err(Status::invalid_argument("missing ID"));
        }
        let found = EntryId::parse(&request.id)
            .ok()
            .and_then(|id| self.0.entry(&id));
        let entry = found.ok_or_else(|| Status::not_found("entry not found"))?;
        Ok(Response::new(masked(&entry, request.output_mask.as_ref())))
    }

    async fn batch_create_entry(
        &self,
        request: Request<api::BatchCreateEntryRequest>,
    ) -> Result<Response<api::BatchCreateEntryResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let mask = request.output_mask.as_ref();
        let results = futures::stream::iter(request.entries)
            .map(|entry| self.create(&by, entry, mask))
            .buffered(CONCURRENT_WRITES)
            .collect()
            .await;
        Ok(Response::new(api::BatchCreateEntryResponse { results }))
    }

    async fn batch_update_entry(
        &self,
        request: Request<api::BatchUpdateEntryRequest>,
    ) -> Result<Response<api::BatchUpdateEntryResponse>, Status> {
        let by = authorized(&request)?;
        let request = request.into_inner();
        let masks = (request.input_mask.as_ref(), request.output_mask.as_ref());
        let results = futures::stream::iter(request.entries)
            .map(|entry| self.update(&by, entry, masks.0, masks.1))
            .buffered(CONCURRENT_WRITES)
            .collect()
            .await;
        Ok(Response::new(api::BatchUpdateEntryResponse { results }))
    }

    async fn batch_delete_entry(
        &self,
        request: Request<api::BatchDeleteEntryRequest>,
    ) -> Result<Response<api::BatchDeleteEntryResponse>, Status> {
        let by = authorized(&request)?;
        let ids = request.into_inner().ids;
        let results = futures::stream::iter(ids)
            .map(|id| self.delete(&by, id))
            .buffered(CONCURRENT_WRITES)
            .collect()
            .await;
        Ok(Response::new(api::BatchDeleteEntryResponse { results }))
    }

    async fn get_authorized_entries(
        &self,
        request: Request<api::GetAuthorizedEntriesRequest>,
    ) -> Result<Response<api::GetAuthorizedEntriesResponse>, Status> {
        let authorized = self.authorized_entries(&authorized(&request)?)?;
        let mask = request.into_inner().output_mask;
        let entries = authorized
            .iter()
            .map(|entry| masked(entry, mask.as_ref()))
            .collect();
        Ok(Response::new(api::GetAuthorizedEntriesResponse { entries }))
    }

    type SyncAuthorizedEntriesStream = Answers<api::SyncAuthorizedEntriesResponse>;

    async fn sync_authorized_entries(
        &self,
        request: Request<Streaming<api::SyncAuthorizedEntriesRequest>>,
    ) -> Result<Response<Self::SyncAuthorizedEntriesStream>, Status> {
        let entries = self.authorized_entries(&authorized(&request)?)?;
        let mut requests = request.into_inner();
        let Some(first) = requests.message().await? else {
            return Err(Status::unknown("the stream ended before the first request"));
        };
        let mask = check_first(first)?;
        let first = first_answers(&entries, mask.as_ref());
        if entries.len() <= SYNC_PAGE {
            return Ok(Response::new(Box::pin(tokio_stream::iter(
                first.into_iter().map(Ok),
            ))));
        }
        let by_id: BTreeMap<_, _> = entries
            .into_iter()
            .map(|entry| (entry.id.to_string(), entry))
            .collect();
        let later = requests.flat_map(move |request| {
            let answers = match request {
                Ok(request) => asked_for(&by_id, &request.ids, mask.as_ref()),
                Err(status) => vec![Err(status)],
            };
            tokio_stream::iter(answers)
        });
        let all = tokio_stream::iter(first.into_iter().map(Ok)).chain(later);
        Ok(Response::new(Box::pin(all)))
    }
}

impl EntryService {
    fn authorized_entries(&self, by: &Authorized) -> Result<Vec<Arc<Entry>>, Status> {
        let agent = by
            .agent()
            .ok_or_else(|| Status::permission_denied("caller is not an agent"))?;
        Ok(self
            .0
            .state
            .read()
            .index
            .authorized(agent, self.0.clock.now()))
    }

    async fn create(
        &self,
        by: &Authorized,
        entry: wire::Entry,
        mask: Option<&wire::EntryMask>,
    ) -> api::batch_create_entry_response::Result {
        let outcome = match types::read_entry(&entry, || self.new_id()) {
            Err(malformed) => Err(self.refused(by, "entry.create", &entry.id, malformed)),
            Ok(entry) => self
                .0
                .create_entry(by, entry)
                .await
                .map_err(|fault| item_of(&fault)),
        };
        match outcome {
            Ok(created) => api::batch_create_entry_response::Result {
                status: types::item_ok(),
                entry: Some(masked(&created, mask)),
            },
            Err((status, similar)) => api::batch_create_entry_response::Result {
                status,
                entry: similar.map(|entry| masked(&entry, mask)),
            },
        }
    }

    async fn update(
        &self,
        by: &Authorized,
        entry: wire::Entry,
        input: Option<&wire::EntryMask>,
        output: Option<&wire::EntryMask>,
    ) -> api::batch_update_entry_response::Result {
        let outcome = match EntryId::parse(&entry.id) {
            Err(error) => {
                let malformed = types::Malformed::new("invalid entry ID", error);
                Err(self.refused(by, "entry.update", &entry.id, malformed))
            }
            Ok(id) => {
                let edit = |old: &Entry| edited(old, &entry, input);
                self.0
                    .update_entry(by, &id, edit)
                    .await
                    .map_err(|fault| item_of(&fault))
            }
        };
        match outcome {
            Ok(updated) => api::batch_update_entry_response::Result {
                status: types::item_ok(),
                entry: Some(masked(&updated, output)),
            },
            Err((status, _)) => api::batch_update_entry_response::Result {
                status,
                entry: None,
            },
        }
    }

    async fn delete(
        &self,
        by: &Authorized,
        id: String,
    ) -> api::batch_delete_entry_response::Result {
        let status = match EntryId::parse(&id) {
            Err(_) if id.is_empty() => {
                self.refused(
                    by,
                    "entry.delete",
                    &id,
                    types::Malformed::new("missing entry ID", ""),
                )
                .0
            }
            Err(error) => {
                let malformed = types::Malformed::new("invalid entry ID", error);
                let _recorded = self.refused(by, "entry.delete", &id, malformed);
                types::item_status(Code::NotFound, "entry not found")
            }
            Ok(parsed) => match self.0.delete_entry(by, &parsed).await {
                Ok(()) => types::item_ok(),
                Err(fault) => item_of(&fault).0,
            },
        };
        api::batch_delete_entry_response::Result { status, id }
    }

    fn new_id(&self) -> EntryId {
        EntryId::parse(&self.0.ordered_uuid().to_string()).expect("a UUID is an entry ID")
    }

    /// An item that could not even be read is a refusal too.
    fn refused(
        &self,
        by: &Authorized,
        action: &'static str,
        id: &str,
        malformed: types::Malformed,
    ) -> (Option<wire::Status>, Option<Arc<Entry>>) {
        use crate::audit::AuditEventExt;
        let event = crate::audit::event(by, action).because(&malformed);
        let event = match EntryId::parse(id) {
            Ok(id) => event.of_entry_id(&id),
            Err(_) => event,
        };
        self.0.audit.refused(event);
        (
            types::item_status(Code::InvalidArgument, malformed.to_string()),
            None,
        )
    }
}

/// The status code of a fault.
pub(super) fn item_code(fault: &EntryFault) -> Code {
    match fault {
        EntryFault::Invalid(_) | EntryFault::Malformed(_) => Code::InvalidArgument,
        EntryFault::Similar(_) | EntryFault::IdTaken => Code::AlreadyExists,
        EntryFault::NotFound => Code::NotFound,
        EntryFault::NoBundle(_) | EntryFault::Audit(_) => Code::Internal,
        EntryFault::State(error) => super::code_of(error),
    }
}

/// The item status of a fault, and the entry that stood in the way.
fn item_of(fault: &EntryFault) -> (Option<wire::Status>, Option<Arc<Entry>>) {
    let similar = match fault {
        EntryFault::Similar(entry) => Some(entry.clone()),
        _ => None,
    };
    (
        types::item_status(item_code(fault), types::chain(fault)),
        similar,
    )
}

/// The stored entry with the fields that the mask names taken from the request; without a mask
/// all that SPIRE knows. What we add stays.
fn edited(
    old: &Entry,
    given: &wire::Entry,
    mask: Option<&wire::EntryMask>,
) -> Result<Entry, EntryFault> {
    let mut merged = types::entry(old);
    macro_rules! take {
        ($($field:ident),*) => {
            $(if mask.is_none_or(|mask| mask.$field) { merged.$field = given.$field.clone(); })*
        };
    }
    take!(
        spiffe_id,
        parent_id,
        selectors,
        x509_svid_ttl,
        federates_with,
        admin,
        downstream,
        expires_at,
        dns_names,
        store_svid,
        jwt_svid_ttl,
        hint,
        additional_attributes
    );
    let read = types::read_entry(&merged, || old.id.clone());
    let new = read.map_err(|malformed| EntryFault::Malformed(malformed.to_string()))?;
    Ok(Entry {
        disabled: old.disabled,
        stewardship: old.stewardship.clone(),
        ..new
    })
}

/// Sorts as the index lists: by creation, then id.
fn order(entry: &Entry) -> String {
    format!("{:020}/{}", types::seconds(entry.created_at), entry.id)
}

/// An entry for the wire, with the fields of the mask.
pub(super) fn masked(entry: &Entry, mask: Option<&wire::EntryMask>) -> wire::Entry {
    let mut entry = types::entry(entry);
    types::mask_entry(&mut entry, mask);
    entry
}

/// What a role says to an ID in a trust domain.
type Role = fn(&SpiffeId, &TrustDomain) -> Result<(), RoleError>;

fn read_filter(
    filter: Option<api::list_entries_request::Filter>,
    trust_domain: &TrustDomain,
) -> Result<EntryFilter, Status> {
    let Some(filter) = filter else {
        return Ok(EntryFilter::default());
    };
    let id = |what: &str, id: Option<wire::Spiffeid>, role: Role| {
        let Some(id) = id else { return Ok(None) };
        let id = types::read_spiffe_id(what, Some(&id))?;
        role(&id, trust_domain).map_err(|error| types::Malformed::new(what, error))?;
        Ok::<_, Status>(Some(id))
    };
    let parent = filter.by_parent_id;
    Ok(EntryFilter {
        spiffe_id: id(
            "malformed SPIFFE ID filter",
            filter.by_spiffe_id,
            role::workload,
        )?,
        parent_id: id("malformed parent ID filter", parent, role::member)?,
        selectors: filter
            .by_selectors
            .map(super::read_selector_match)
            .transpose()?,
        federates_with: filter
            .by_federates_with
            .map(read_federates_with)
            .transpose()?,
        hint: filter.by_hint.filter(|hint| !hint.is_empty()),
        // As in SPIRE, false filters nothing.
        downstream: filter.by_downstream.unwrap_or_default(),
    })
}

fn read_federates_with(
    given: wire::FederatesWithMatch,
) -> Result<(Match, BTreeSet<TrustDomain>), Status> {
    use wire::federates_with_match::MatchBehavior as B;
    let how = match B::try_from(given.r#match) {
        Ok(B::MatchExact) => Match::Exact,
        Ok(B::MatchSubset) => Match::Subset,
        Ok(B::MatchSuperset) => Match::Superset,
        Ok(B::MatchAny) => Match::Any,
        Err(_) => return Err(Status::invalid_argument("unknown match behavior")),
    };
    if given.trust_domains.is_empty() {
        let text = "malformed federates with filter: empty trust domain set";
        return Err(Status::invalid_argument(text));
    }
    let read = |name: &String| types::read_trust_domain("malformed federates with filter", name);
    let names = given
        .trust_domains
        .iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    Ok((how, names))
}

/// The first request of a sync carries the mask for the whole stream.
fn check_first(
    first: api::SyncAuthorizedEntriesRequest,
) -> Result<Option<wire::EntryMask>, Status> {
    if !first.ids.is_empty() {
        return Err(Status::invalid_argument(
            "specifying IDs on initial request is not supported",
        ));
    }
    if first
        .output_mask
        .as_ref()
        .is_some_and(|mask| !mask.revision_number)
    {
        return Err(Status::invalid_argument("revision number cannot be masked"));
    }
    Ok(first.output_mask)
}

fn first_answers(
    entries: &[Arc<Entry>],
    mask: Option<&wire::EntryMask>,
) -> Vec<api::SyncAuthorizedEntriesResponse> {
    if entries.len() <= SYNC_PAGE {
        let entries = entries.iter().map(|entry| masked(entry, mask)).collect();
        return vec![api::SyncAuthorizedEntriesResponse {
            entries,
            ..Default::default()
        }];
    }
    let pages = entries.chunks(SYNC_PAGE);
    let last = pages.len() - 1;
    let answer = |(number, page): (usize, &[Arc<Entry>])| api::SyncAuthorizedEntriesResponse {
        entry_revisions: page.iter().map(|entry| revision(entry)).collect(),
        entries: Vec::new(),
        more: number < last,
    };
    pages.enumerate().map(answer).collect()
}

fn revision(entry: &Entry) -> api::EntryRevision {
    api::EntryRevision {
        id: entry.id.to_string(),
        revision_number: entry.revision_number,
        created_at: types::seconds(entry.created_at),
    }
}

fn asked_for(
    entries: &BTreeMap<String, Arc<Entry>>,
    ids: &[String],
    mask: Option<&wire::EntryMask>,
) -> Vec<Result<api::SyncAuthorizedEntriesResponse, Status>> {
    let found: Vec<_> = ids.iter().filter_map(|id| entries.get(id)).collect();
    let pages = found.len().div_ceil(SYNC_PAGE).max(1);
    let answer = |number: usize| {
        let page = found.iter().skip(number * SYNC_PAGE).take(SYNC_PAGE);
        Ok(api::SyncAuthorizedEntriesResponse {
            entry_revisions: Vec::new(),
            entries: page.map(|entry| masked(entry, mask)).collect(),
            more: number + 1 < pages,
        })
    };
    (0..pages).map(answer).collect()
}
