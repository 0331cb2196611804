//! Says of lifetimes that the server will cut: an SVID does not outlive its authority.

use signet_cli::text;
use signet_proto::signet::admin::v1::GetLifetimesRequest;
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::spire::types::Entry;
use tonic::transport::Channel;

/// A line for each lifetime of these entries that will be cut short. The server is asked only when
/// one was chosen; one that does not know, as SPIRE's, keeps nobody from writing the entries.
pub(super) async fn warnings(channel: &Channel, entries: &[Entry]) -> String {
    let chosen = |entry: &Entry| entry.x509_svid_ttl > 0 || entry.jwt_svid_ttl > 0;
    if !entries.iter().any(chosen) {
        return String::new();
    }
    let mut client = AdminClient::new(channel.clone());
    match client.get_lifetimes(GetLifetimesRequest {}).await {
        Ok(answer) => cut(entries, answer.into_inner().sure_seconds),
        Err(_) => String::new(),
    }
}

fn cut(entries: &[Entry], sure_seconds: i64) -> String {
    let mut lines = String::new();
    for entry in entries {
        let ttls = [
            ("X509-SVID", entry.x509_svid_ttl),
            ("JWT-SVID", entry.jwt_svid_ttl),
        ];
        for (kind, ttl) in ttls
            .into_iter()
            .filter(|(_, ttl)| i64::from(*ttl) > sure_seconds)
        {
            lines.push_str(&format!(
                "Warning: the {kind} TTL of {}, {ttl} s, will often be cut short: with this \
                 server's ca_ttl an SVID is sure of {sure_seconds} s only\n",
                name(entry)
            ));
        }
    }
    lines
}

fn name(entry: &Entry) -> String {
    match &entry.spiffe_id {
        Some(id) => text::spiffe_id(Some(id)),
        None => format!("entry {}", entry.id),
    }
}
