//! What an entry of ours has beyond SPIRE's fields: disabled, owner, purpose, review.

use clap::Args;
use serde_json::{Value, json};
use signet_cli::{Answer, Failure, json as spire_json, text, value};
use signet_proto::signet::admin::v1::admin_client::AdminClient;
use signet_proto::signet::admin::v1::{
    EntryExtras, EntryExtrasMask, GetEntryExtrasRequest, SetEntryExtrasRequest,
};
use signet_proto::spire::types::Entry;
use tonic::Code;
use tonic::transport::Channel;

use super::text::entry as entry_text;
use super::wait::Expects;

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Extras {
    /// Nobody gets the identity until --disabled=false
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    disabled: Option<bool>,
    /// Who answers for the entry
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Why the entry exists
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// When somebody should look at it again: a date, an RFC 3339 time, Unix seconds, or never
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    review_by: Option<i64>,
}

impl Extras {
    pub(super) fn is_empty(&self) -> bool {
        self.mask() == EntryExtrasMask::default()
    }

    /// Whether anybody should serve the entry afterwards.
    pub(super) fn expects(&self) -> Expects {
        match self.disabled {
            Some(true) => Expects::Nobody,
            _ => Expects::Agents,
        }
    }

    fn mask(&self) -> EntryExtrasMask {
        EntryExtrasMask {
            disabled: self.disabled.is_some(),
            owner: self.owner.is_some(),
            purpose: self.purpose.is_some(),
            review_by: self.review_by.is_some(),
        }
    }

    /// Stores what was given, and gives back what holds now.
    pub(super) async fn store(self, channel: Channel, id: &str) -> Result<EntryExtras, Failure> {
        let request = SetEntryExtrasRequest {
            input_mask: Some(self.mask()),
            extras: Some(EntryExtras {
                entry_id: id.into(),
                disabled: self.disabled.unwrap_or_default(),
                owner: self.owner.unwrap_or_default(),
                purpose: self.purpose.unwrap_or_default(),
                review_by: self.review_by.unwrap_or_default(),
                revision_number: 0,
            }),
        };
        let response = AdminClient::new(channel).set_entry_extras(request).await;
        let response = response.map_err(Failure::call("change who answers for the entry"))?;
        Ok(response.into_inner())
    }
}

/// What is stored; nothing at a server that does not know of it, as SPIRE's.
pub(super) async fn stored(channel: Channel, id: &str) -> Result<EntryExtras, Failure> {
    let request = GetEntryExtrasRequest {
        entry_id: id.into(),
    };
    match AdminClient::new(channel).get_entry_extras(request).await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) if status.code() == Code::Unimplemented => Ok(EntryExtras::default()),
        Err(status) => Err(Failure::call("read who answers for the entry")(status)),
    }
}

/// One entry with its extras.
pub(super) fn answer(entry: &Entry, extras: &EntryExtras) -> Answer {
    let mut json = spire_json::entry(entry);
    json["extras"] = extras_json(extras);
    Answer::new(entry_text(entry, &lines(extras)), json)
}

pub(super) fn lines(extras: &EntryExtras) -> String {
    let mut lines = String::new();
    let mut line = |label: &str, value: &str| lines.push_str(&format!("{label:<17}: {value}\n"));
    if extras.disabled {
        line("Disabled", "true");
    }
    if !extras.owner.is_empty() {
        line("Owner", &extras.owner);
    }
    if !extras.purpose.is_empty() {
        line("Purpose", &extras.purpose);
    }
    if extras.review_by != 0 {
        line("Review by", &text::timestamp(extras.review_by));
    }
    lines
}

fn extras_json(extras: &EntryExtras) -> Value {
    json!({
        "disabled": extras.disabled,
        "owner": extras.owner,
        "purpose": extras.purpose,
        "review_by": spire_json::long(extras.review_by),
    })
}
