//! Entries in the pretty output, in SPIRE's shape.

use signet_cli::{Answer, json, text};
use signet_proto::spire::types::{Entry, Status};

/// One entry, a line for each value, with further lines at its end, and a blank line.
pub(super) fn entry(entry: &Entry, further: &str) -> String {
    let mut lines = String::new();
    let mut line = |label: &str, value: &str| lines.push_str(&format!("{label:<17}: {value}\n"));
    let id = if entry.id.is_empty() {
        "(none)"
    } else {
        &entry.id
    };
    line("Entry ID", id);
    line("SPIFFE ID", &text::spiffe_id(entry.spiffe_id.as_ref()));
    line("Parent ID", &text::spiffe_id(entry.parent_id.as_ref()));
    line("Revision", &entry.revision_number.to_string());
    if entry.downstream {
        line("Downstream", "true");
    }
    line("X509-SVID TTL", &ttl(entry.x509_svid_ttl));
    line("JWT-SVID TTL", &ttl(entry.jwt_svid_ttl));
    if entry.expires_at != 0 {
        line("Expiration time", &text::timestamp(entry.expires_at));
    }
    for selector in &entry.selectors {
        line(
            "Selector",
            &format!("{}:{}", selector.r#type, selector.value),
        );
    }
    for trust_domain in &entry.federates_with {
        line("FederatesWith", trust_domain);
    }
    for name in &entry.dns_names {
        line("DNS name", name);
    }
    if entry.admin {
        line("Admin", "true");
    }
    if entry.store_svid {
        line("StoreSvid", "true");
    }
    if !entry.hint.is_empty() {
        line("Hint", &entry.hint);
    }
    let attributes = entry.additional_attributes.unwrap_or_default();
    if attributes.disable_x509_svid_prefetch {
        line("Prefetch", "disabled");
    }
    if attributes.jwt_svid_include_jti {
        line("JWT-SVID jti", "true");
    }
    lines + further + "\n"
}

fn ttl(seconds: i32) -> String {
    match seconds {
        0 => "default".into(),
        seconds => seconds.to_string(),
    }
}

/// The ids of the entries that were written.
pub(super) fn written(results: &[(Option<Status>, Option<Entry>)]) -> Vec<String> {
    let written = results
        .iter()
        .filter(|(status, _)| !text::failed(status.as_ref()));
    let entries = written.filter_map(|(_, entry)| entry.as_ref());
    entries.map(|entry| entry.id.clone()).collect()
}

/// What a batch of creations or updates came to. Failed items are named on stderr.
pub(super) fn batch(
    verb: &str,
    asked: &[Entry],
    results: Vec<(Option<Status>, Option<Entry>)>,
    warnings: String,
) -> Answer {
    let mut answer = Answer {
        problems: warnings,
        ..Answer::default()
    };
    for (index, (status, stored)) in results.iter().enumerate() {
        let shown = stored.as_ref().or_else(|| asked.get(index));
        let shown = shown.map_or_else(String::new, |shown| entry(shown, ""));
        match status.as_ref().filter(|status| text::failed(Some(status))) {
            None => answer.text.push_str(&shown),
            Some(status) => {
                let status = text::status(status);
                let line = format!("Failed to {verb} the following entry ({status}):\n{shown}");
                answer.problems.push_str(&line);
                answer.failed = true;
            }
        }
    }
    if answer.failed {
        let line = format!("Error: failed to {verb} one or more entries\n");
        answer.problems.push_str(&line);
    }
    answer.json = Some(json::results(
        &results,
        |result| result.0.as_ref(),
        "entry",
        |result| json::optional(result.1.as_ref(), json::entry),
    ));
    answer
}
