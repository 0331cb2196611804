//! Agents in the pretty output, in SPIRE's shape.

use signet_cli::text;
use signet_proto::spire::types::Agent;

/// One agent, a line for each value, and a blank line.
pub(super) fn agent(agent: &Agent) -> String {
    let mut lines = String::new();
    let mut line = |label: &str, value: &str| lines.push_str(&format!("{label:<18}: {value}\n"));
    line("SPIFFE ID", &text::spiffe_id(agent.id.as_ref()));
    line("Attestation type", &agent.attestation_type);
    line(
        "Expiration time",
        &text::timestamp(agent.x509svid_expires_at),
    );
    if agent.banned {
        line("Banned", "true");
    } else {
        line("Serial number", &agent.x509svid_serial_number);
    }
    line("Can re-attest", &agent.can_reattest.to_string());
    line("Agent version", &agent.agent_version);
    lines + "\n"
}
