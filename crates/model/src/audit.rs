//! The record of one decision: something was issued, refused or administered.

use serde::Serialize;
use signet_spiffe::{Serial, SpiffeId};

use crate::entry::EntryId;

/// What kind of caller asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// The admin socket.
    Local,
    /// An attested agent.
    Agent,
    /// The holder of an admin entry or of an ID named in the configuration.
    Admin,
    /// The holder of a downstream entry.
    Downstream,
    /// A certificate that gives no rights here.
    Other,
    /// No certificate.
    Anonymous,
    /// The server itself: pruning, rotation.
    Server,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// What kind of caller it is.
    pub kind: ActorKind,
    /// Its verified SPIFFE ID, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SpiffeId>,
}

/// What was issued: enough to find it again, never the thing itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// Serial number of a certificate, in decimal.
    Serial(Serial),
    /// SHA-256 of a token's `jti`, or of the token where it has none, in hex.
    JtiHash(String),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It was issued or done.
    Granted,
    /// It was not.
    Refused,
}

/// One audit record. Time, sequence and the hash of the record before it are the audit log's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// The id that the call's log lines carry too.
    pub request_id: String,
    /// Who asked.
    pub caller: Actor,
    /// What was asked, in our words: `svid.x509.new`, `entry.create`, …
    pub action: &'static str,
    /// The entry that decided, and its revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<(EntryId, i64)>,
    /// Whom or what it is about: a SPIFFE ID, a trust domain, a token's hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// How it ended.
    pub decision: Decision,
    /// Why it was refused; may be empty for what was granted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{agent_id, serial};

    fn event() -> AuditEvent {
        AuditEvent {
            request_id: "r1".to_owned(),
            caller: Actor {
                kind: ActorKind::Agent,
                id: Some(agent_id("a")),
            },
            action: "svid.x509.new",
            entry: Some((EntryId::parse("e").unwrap(), 3)),
            target: Some("spiffe://example.org/web".to_owned()),
            credential: Some(Credential::Serial(serial(12))),
            decision: Decision::Granted,
            reason: String::new(),
        }
    }

    #[test]
    fn a_record_names_caller_entry_and_credential() {
        assert_eq!(
            serde_json::to_value(event()).unwrap(),
            serde_json::json!({
                "request_id": "r1",
                "caller": {"kind": "agent", "id": "spiffe://example.org/spire/agent/test/a"},
                "action": "svid.x509.new",
                "entry": ["e", 3],
                "target": "spiffe://example.org/web",
                "credential": {"serial": "12"},
                "decision": "granted",
            })
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let refusal = AuditEvent {
            caller: Actor {
                kind: ActorKind::Anonymous,
                id: None,
            },
            entry: None,
            target: None,
            credential: None,
            decision: Decision::Refused,
            reason: "not attested".to_owned(),
            ..event()
        };
        assert_eq!(
            serde_json::to_value(refusal).unwrap(),
            serde_json::json!({
                "request_id": "r1",
                "caller": {"kind": "anonymous"},
                "action": "svid.x509.new",
                "decision": "refused",
                "reason": "not attested",
            })
        );
    }
}
