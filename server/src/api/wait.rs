//! `WaitForEntries`: what is asked and how the agents stand, from and to the wire.

use super::types;
use crate::issuer::Issuer;
use crate::wait::{LONGEST, Standing};
use signet_model::EntryId;
use signet_proto::signet::admin::v1 as api;
use signet_spiffe::SpiffeId;
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Status;

pub(super) async fn wait_for_entries(
    issuer: &Issuer,
    request: &api::WaitForEntriesRequest,
) -> Result<api::WaitForEntriesResponse, Status> {
    let entries = request.entry_ids.iter().map(|id| super::admin::read_id(id));
    let entries: Vec<EntryId> = entries.collect::<Result<_, _>>()?;
    let agents = request.agent_ids.iter().map(|id| read_agent(id));
    let agents: Vec<SpiffeId> = agents.collect::<Result<_, _>>()?;
    let limit = read_limit(request.timeout_milliseconds)?;
    let standing = issuer.wait_for_entries(&entries, agents, limit).await;
    Ok(response(&standing))
}

fn read_agent(text: &str) -> Result<SpiffeId, Status> {
    SpiffeId::parse(text).map_err(|error| types::Malformed::new("invalid agent ID", error).into())
}

fn read_limit(milliseconds: i64) -> Result<Duration, Status> {
    let limit = u64::try_from(milliseconds).map(Duration::from_millis);
    limit
        .ok()
        .filter(|limit| *limit <= LONGEST)
        .ok_or_else(|| Status::invalid_argument("the timeout must be between 0 and one hour"))
}

fn response(standing: &Standing) -> api::WaitForEntriesResponse {
    let texts = |agents: &BTreeSet<SpiffeId>| agents.iter().map(ToString::to_string).collect();
    api::WaitForEntriesResponse {
        ready: texts(&standing.ready),
        missing: texts(&standing.missing),
        offline: texts(&standing.offline),
    }
}
