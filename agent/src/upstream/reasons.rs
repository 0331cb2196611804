//! Sorts the status of a failed call by what to do about it, and reads the reason for which the
//! server refuses the agent: `spire.api.types.PermissionDeniedDetails` inside the
//! `google.rpc.Status` of `grpc-status-details-bin`.

use super::CallError;
use prost::Message;
use signet_model::AgentReason;
use signet_proto::spire::types::{PermissionDeniedDetails, permission_denied_details::Reason};
use tonic::{Code, Status};

/// The type of the detail that carries the reason.
const DETAIL: &str = "spire.api.types.PermissionDeniedDetails";

/// `google.rpc.Status`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// Why the server refuses this agent, if that is what the status says.
pub fn reason_of(status: &Status) -> Option<AgentReason> {
    if status.code() != Code::PermissionDenied {
        return None;
    }
    let rpc = RpcStatus::decode(status.details()).ok()?;
    let mut details = rpc.details.iter();
    let detail = details.find(|any| any.type_url.rsplit('/').next() == Some(DETAIL))?;
    let detail = PermissionDeniedDetails::decode(detail.value.as_slice()).ok()?;
    match detail.reason() {
        Reason::AgentExpired => Some(AgentReason::Expired),
        Reason::AgentNotAttested => Some(AgentReason::NotAttested),
        Reason::AgentNotActive => Some(AgentReason::NotActive),
        Reason::AgentBanned => Some(AgentReason::Banned),
        Reason::AgentMustReattest => Some(AgentReason::MustReattest),
        Reason::Unknown => None,
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        if let Some(reason) = reason_of(&status) {
            return Self::Agent(reason);
        }
        let message = status.message().to_owned();
        match status.code() {
            Code::Unimplemented => Self::Unimplemented { message },
            code @ (Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange) => Self::Final { code, message },
            _ => Self::Transient { message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code, type_url: &str, reason: Reason) -> Status {
        let detail = PermissionDeniedDetails {
            reason: reason.into(),
        };
        let rpc = RpcStatus {
            code: code.into(),
            message: "no".to_owned(),
            details: vec![prost_types::Any {
                type_url: type_url.to_owned(),
                value: detail.encode_to_vec(),
            }],
        };
        Status::with_details(code, "no", rpc.encode_to_vec().into())
    }

    const URL: &str = "type.googleapis.com/spire.api.types.PermissionDeniedDetails";

    #[test]
    fn each_reason_is_read_from_the_details() {
        let pairs = [
            (Reason::AgentExpired, AgentReason::Expired),
            (Reason::AgentNotAttested, AgentReason::NotAttested),
            (Reason::AgentNotActive, AgentReason::NotActive),
            (Reason::AgentBanned, AgentReason::Banned),
            (Reason::AgentMustReattest, AgentReason::MustReattest),
        ];
        for (wire, ours) in pairs {
            let status = refused(Code::PermissionDenied, URL, wire);
            assert_eq!(reason_of(&status), Some(ours));
        }
    }

    #[test]
    fn another_code_another_type_and_garbage_are_no_reason() {
        let reason = Reason::AgentBanned;
        assert_eq!(reason_of(&refused(Code::Internal, URL, reason)), None);
        assert_eq!(
            reason_of(&refused(Code::PermissionDenied, "a/b", reason)),
            None
        );
        let garbage = Status::with_details(Code::PermissionDenied, "no", vec![0xff; 9].into());
        assert_eq!(reason_of(&garbage), None);
        let plain = Status::permission_denied("no");
        assert!(CallError::from(plain).is_transient());
    }

    #[test]
    fn a_refusal_of_the_call_itself_is_final_and_an_outage_is_not() {
        assert!(!CallError::from(Status::not_found("entry")).is_transient());
        assert!(CallError::from(Status::unavailable("gone")).is_transient());
    }
}
