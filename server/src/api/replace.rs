//! `signet.admin.v1.Admin/ReplaceAuthority`: the replacement's progress as a stream.

use super::{code_of, status_of, types};
use crate::audit;
use crate::authority::{AuthorityFault, Kind, LocalFault};
use crate::caller::Authorized;
use crate::issuer::Issuer;
use crate::replace::{Exposure, Progress, ReplaceFault, Replacement, Step, named};
use signet_proto::signet::admin::v1 as api;
use signet_proto::signet::admin::v1::replace_authority_progress::Step as WireStep;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// What goes to the caller.
pub(super) type Told = ReceiverStream<Result<api::ReplaceAuthorityProgress, Status>>;

/// Messages that may wait for a slow reader; then the replacement waits for it.
const UNREAD: usize = 16;
/// How long agents are waited for if the caller does not say.
const PATIENCE: Duration = Duration::from_secs(300);
/// A reason is a sentence or a ticket's number; the audit record holds it whole.
const MAX_REASON_BYTES: usize = 1024;

/// Begins what was asked for; it goes on while the stream is read.
pub(super) fn begin(
    issuer: &Arc<Issuer>,
    by: Authorized,
    request: &api::ReplaceAuthorityRequest,
) -> Result<Told, Status> {
    let wanted = read(issuer, request)?;
    let (sender, receiver) = mpsc::channel(UNREAD);
    let exposed = api::ReplaceAuthorityProgress {
        step: WireStep::Exposed.into(),
        exposure: Some(exposure(&issuer.exposure())),
        ..api::ReplaceAuthorityProgress::default()
    };
    sender
        .try_send(Ok(exposed))
        .map_err(|_| Status::internal("the stream is closed"))?;
    if request.drill {
        let record = audit::event(&by, "authority.drill");
        let kept = issuer.audit.record(record);
        kept.map_err(|error| status_of(Code::Unavailable, &error))?;
        return Ok(ReceiverStream::new(receiver));
    }
    let issuer = issuer.clone();
    let tasks = issuer.tasks.clone();
    tasks.spawn("authority replacement", async move {
        replace(&issuer, &by, &wanted, &sender).await;
    });
    Ok(ReceiverStream::new(receiver))
}

async fn replace(
    issuer: &Issuer,
    by: &Authorized,
    wanted: &Replacement,
    sender: &mpsc::Sender<Result<api::ReplaceAuthorityProgress, Status>>,
) {
    let (tell, mut told) = mpsc::channel(UNREAD);
    let pass_on = async {
        while let Some(step) = told.recv().await {
            if sender.send(Ok(progress(&step))).await.is_err() {
                return; // nobody reads: the replacement hears of it when it tells the next step
            }
        }
    };
    let (done, ()) = tokio::join!(issuer.replace_authorities(by, wanted, tell), pass_on);
    if let Err(fault) = done {
        let _nobody_reads = sender.send(Err(status(&fault))).await;
    }
}

fn read(issuer: &Issuer, request: &api::ReplaceAuthorityRequest) -> Result<Replacement, Status> {
    if request.reason.is_empty() && !request.drill {
        return Err(Status::invalid_argument("a reason is required"));
    }
    if request.reason.len() > MAX_REASON_BYTES {
        let text = format!("the reason is longer than {MAX_REASON_BYTES} bytes");
        return Err(Status::invalid_argument(text));
    }
    Ok(Replacement {
        kinds: read_kinds(issuer, &request.kinds)?,
        reason: request.reason.clone(),
        force: request.force,
        patience: match request.patience {
            0 => PATIENCE,
            seconds => Duration::from_secs(seconds.into()),
        },
    })
}

/// The kinds that are meant and on. An operator's "jwt" is all JWT keys.
fn read_kinds(issuer: &Issuer, wanted: &[String]) -> Result<Vec<Kind>, Status> {
    let known = [
        ("x509", Kind::X509),
        ("jwt", Kind::Jwt),
        ("jwt", Kind::JwtAlternative),
        ("wit", Kind::Wit),
    ];
    if let Some(other) = wanted
        .iter()
        .find(|word| known.iter().all(|(name, _)| name != word))
    {
        let text = format!("unknown kind of authority {other:?}: use x509, jwt or wit");
        return Err(Status::invalid_argument(text));
    }
    let is_on = |kind| issuer.rotation.specs.iter().any(|spec| spec.kind == kind);
    let meant = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let kinds: Vec<_> = known
        .into_iter()
        .filter(|(name, kind)| meant(name) && is_on(*kind))
        .map(|(_, kind)| kind)
        .collect();
    match kinds.is_empty() {
        true => Err(Status::failed_precondition(
            "this server has no authority of that kind",
        )),
        false => Ok(kinds),
    }
}

fn progress(told: &Progress) -> api::ReplaceAuthorityProgress {
    let (step, waiting) = match &told.step {
        Step::Condemned => (WireStep::Condemned, None),
        Step::Resumed => (WireStep::Resumed, None),
        Step::Prepared => (WireStep::Prepared, None),
        Step::Spreading(agents) => (WireStep::Spreading, Some(agents)),
        Step::Superseded => (WireStep::Superseded, None),
        Step::Draining(agents) => (WireStep::Draining, Some(agents)),
        Step::LeftBehind(agents) => (WireStep::LeftBehind, Some(agents)),
        Step::Revoked => (WireStep::Revoked, None),
    };
    let waiting = waiting.map_or(&[][..], Vec::as_slice);
    api::ReplaceAuthorityProgress {
        step: step.into(),
        kind: told.kind.word().to_owned(),
        authority_id: told.authority_id.clone(),
        successor_id: told.successor_id.clone(),
        waiting_for: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
        agents: named(waiting).collect(),
        elapsed_milliseconds: u64::try_from(told.elapsed.as_millis()).unwrap_or(u64::MAX),
        exposure: None,
    }
}

fn exposure(found: &Exposure) -> api::Exposure {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    api::Exposure {
        agents: count(found.agents),
        connected_agents: count(found.connected),
        svids: count(found.svids),
        downstream: found.downstream.iter().map(ToString::to_string).collect(),
        federated: found.federated.iter().map(ToString::to_string).collect(),
    }
}

fn status(fault: &ReplaceFault) -> Status {
    let code = match fault {
        ReplaceFault::Unconfirmed { .. } => Code::DeadlineExceeded,
        ReplaceFault::Restless { .. } => Code::Aborted,
        ReplaceFault::Abandoned => Code::Cancelled,
        ReplaceFault::Step { source, .. } => match source {
            LocalFault::Step(AuthorityFault::State(error)) => code_of(error),
            LocalFault::Step(_) | LocalFault::Audit(_) => Code::Unavailable,
            _ => Code::FailedPrecondition,
        },
    };
    Status::new(code, types::chain(fault))
}
