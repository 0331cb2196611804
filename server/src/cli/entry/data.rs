//! Entries and ids from JSON files: in the form SPIRE reads, and in the form `entry show` prints, in
//! which IDs are objects and 64-bit numbers strings. Both may stand in one file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use signet_cli::{Failure, files, value};
use signet_proto::spire::types;
use signet_proto::spire::types::entry::AdditionalAttributes;

/// A file of entries.
#[derive(Debug, Deserialize)]
pub(super) struct Entries {
    entries: Vec<EntryData>,
}

/// One entry. Field names are SPIRE's, one of them in another style than the rest; their aliases
/// are those of the output.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EntryData {
    #[serde(alias = "id")]
    entry_id: String,
    spiffe_id: Option<IdData>,
    parent_id: Option<IdData>,
    selectors: Vec<SelectorData>,
    x509_svid_ttl: i32,
    jwt_svid_ttl: i32,
    federates_with: Vec<String>,
    admin: bool,
    downstream: bool,
    store_svid: bool,
    #[serde(rename = "entryExpiry", alias = "entry_expiry", alias = "expires_at")]
    entry_expiry: LongData,
    dns_names: Vec<String>,
    hint: String,
    additional_attributes: Option<AttributesData>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// An ID as text, or as its two parts.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "an ID is a text or {\"trust_domain\": …, \"path\": …}"
)]
enum IdData {
    Text(String),
    Parts { trust_domain: String, path: String },
}

/// A number of 64 bits, which writers of JSON may put into a string.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a time is a number of seconds, or that number as a text"
)]
enum LongData {
    Number(i64),
    Text(String),
}

impl Default for LongData {
    fn default() -> Self {
        Self::Number(0)
    }
}

#[derive(Debug, Deserialize)]
struct SelectorData {
    r#type: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AttributesData {
    disable_x509_svid_prefetch: bool,
    jwt_svid_include_jti: bool,
}

#[derive(Debug, Deserialize)]
struct Ids {
    ids: Vec<String>,
}

/// What the server decides, whatever the file says; an entry that was exported has these.
const SERVERS_OWN: [&str; 2] = ["revision_number", "created_at"];

/// Reads a file of entries, or stdin for `-`.
pub(super) fn read(path: &Path) -> Result<Entries, Failure> {
    parse(path, &files::read_or_stdin(path)?)
}

/// Reads a file of entry ids, or stdin for `-`.
pub(super) fn read_ids(path: &Path) -> Result<Vec<String>, Failure> {
    parse::<Ids>(path, &files::read_or_stdin(path)?).map(|file| file.ids)
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Content {
        subject: path.display().to_string(),
        reason: error.to_string(),
    })
}

impl Entries {
    /// The entries for the wire, and warnings about fields that are ignored, as SPIRE ignores them.
    pub(super) fn into_entries(self) -> Result<(Vec<types::Entry>, String), Failure> {
        let mut warnings = String::new();
        let mut entries = Vec::new();
        for (index, data) in self.entries.into_iter().enumerate() {
            for name in data.others.keys() {
                if !SERVERS_OWN.contains(&name.as_str()) {
                    let line = format!("Warning: entry {index}: field {name:?} is ignored\n");
                    warnings.push_str(&line);
                }
            }
            let entry = data.into_entry();
            entries.push(entry.map_err(|reason| Failure::Content {
                subject: format!("entry {index} of the data"),
                reason,
            })?);
        }
        Ok((entries, warnings))
    }
}

impl EntryData {
    fn into_entry(self) -> Result<types::Entry, String> {
        let federates_with = self.federates_with.iter();
        Ok(types::Entry {
            id: self.entry_id,
            spiffe_id: Some(id("spiffe_id", self.spiffe_id)?),
            parent_id: Some(id("parent_id", self.parent_id)?),
            selectors: self.selectors.into_iter().map(Into::into).collect(),
            x509_svid_ttl: self.x509_svid_ttl,
            federates_with: federates_with
                .map(|name| value::trust_domain(name))
                .collect::<Result<_, _>>()?,
            admin: self.admin,
            downstream: self.downstream,
            expires_at: seconds(&self.entry_expiry)?,
            dns_names: self.dns_names,
            store_svid: self.store_svid,
            jwt_svid_ttl: self.jwt_svid_ttl,
            hint: self.hint,
            additional_attributes: self.additional_attributes.map(Into::into),
            revision_number: 0,
            created_at: 0,
        })
    }
}

fn id(field: &str, data: Option<IdData>) -> Result<types::Spiffeid, String> {
    let read = |text: &str| value::spiffe_id(text).map_err(|reason| format!("{field}: {reason}"));
    match data {
        None => read(""),
        Some(IdData::Text(text)) => read(&text),
        Some(IdData::Parts { trust_domain, path }) => {
            let id = read(&format!("spiffe://{trust_domain}{path}"))?;
            if (&id.trust_domain, &id.path) != (&trust_domain, &path) {
                return Err(format!(
                    "{field}: trust_domain and path are not those of an ID"
                ));
            }
            Ok(id)
        }
    }
}

fn seconds(data: &LongData) -> Result<i64, String> {
    match data {
        LongData::Number(seconds) => Ok(*seconds),
        LongData::Text(text) => {
            let seconds = text.parse();
            seconds.map_err(|_| format!("expires_at: {text:?} is no number of seconds"))
        }
    }
}

impl From<SelectorData> for types::Selector {
    fn from(data: SelectorData) -> Self {
        Self {
            r#type: data.r#type,
            value: data.value,
        }
    }
}

impl From<AttributesData> for AdditionalAttributes {
    fn from(data: AttributesData) -> Self {
        Self {
            disable_x509_svid_prefetch: data.disable_x509_svid_prefetch,
            jwt_svid_include_jti: data.jwt_svid_include_jti,
        }
    }
}
