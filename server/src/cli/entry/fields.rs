//! The flags that describe one entry, shared by `create`, `update` and `patch`.

use clap::Args;
use signet_cli::value;
use signet_proto::spire::types::{Entry, EntryMask, Selector, Spiffeid};

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Fields {
    /// The id of the entry; the server makes one if it is left out at creation
    #[arg(long, value_name = "ID")]
    pub(super) entry_id: Option<String>,
    /// The identity: what the workload is called
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    pub(super) spiffe_id: Option<Spiffeid>,
    /// Who may hand out the identity: an agent, or a node alias
    #[arg(long, value_name = "SPIFFE_ID", value_parser = value::spiffe_id)]
    pub(super) parent_id: Option<Spiffeid>,
    /// What a workload must be attested to have, as unix:uid:1000; may be given several times
    #[arg(long, value_name = "SELECTOR", value_parser = value::selector)]
    pub(super) selector: Vec<Selector>,
    /// How long an X.509-SVID lives, in seconds; 0 for the server's default
    #[arg(long = "x509-svid-ttl", value_name = "SECONDS")]
    x509_svid_ttl: Option<i32>,
    /// How long a JWT-SVID lives, in seconds; 0 for the server's default
    #[arg(long, value_name = "SECONDS")]
    jwt_svid_ttl: Option<i32>,
    /// A trust domain whose bundle the workload gets too; may be given several times
    #[arg(long, value_name = "TRUST_DOMAIN", value_parser = listed_trust_domain)]
    federates_with: Vec<String>,
    /// The identity may administer the server
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    admin: Option<bool>,
    /// The identity is a downstream server's
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    downstream: Option<bool>,
    /// The X.509-SVID goes to the agent's SVID store, not to a workload
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    store_svid: Option<bool>,
    /// When the entry ends: Unix seconds, a date, an RFC 3339 time, or never
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    entry_expiry: Option<i64>,
    /// A DNS name in the X.509-SVID; may be given several times
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Tells workloads with several identities which one this is
    #[arg(long, value_name = "TEXT")]
    hint: Option<String>,
    /// Do not make X.509-SVIDs before a workload asks
    #[arg(long = "disable-x509-svid-prefetch", require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    pub(super) disable_x509_svid_prefetch: Option<bool>,
    /// Give each JWT-SVID an id of its own (jti)
    #[arg(long, require_equals = true, value_name = "BOOL", value_parser = value::boolean)]
    pub(super) jwt_svid_include_jti: Option<bool>,
}

/// An empty one is allowed: alone it stands for the empty list.
fn listed_trust_domain(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    value::trust_domain(text)
}

impl Fields {
    /// The entry, without additional attributes.
    pub(super) fn entry(self) -> Entry {
        Entry {
            id: self.entry_id.unwrap_or_default(),
            spiffe_id: self.spiffe_id,
            parent_id: self.parent_id,
            selectors: self.selector,
            x509_svid_ttl: self.x509_svid_ttl.unwrap_or_default(),
            jwt_svid_ttl: self.jwt_svid_ttl.unwrap_or_default(),
            federates_with: without_empty(self.federates_with),
            admin: self.admin.unwrap_or_default(),
            downstream: self.downstream.unwrap_or_default(),
            store_svid: self.store_svid.unwrap_or_default(),
            expires_at: self.entry_expiry.unwrap_or_default(),
            dns_names: without_empty(self.dns),
            hint: self.hint.unwrap_or_default(),
            ..Entry::default()
        }
    }

    /// Which fields were given.
    pub(super) fn mask(&self) -> EntryMask {
        EntryMask {
            spiffe_id: self.spiffe_id.is_some(),
            parent_id: self.parent_id.is_some(),
            selectors: !self.selector.is_empty(),
            x509_svid_ttl: self.x509_svid_ttl.is_some(),
            federates_with: !self.federates_with.is_empty(),
            admin: self.admin.is_some(),
            downstream: self.downstream.is_some(),
            expires_at: self.entry_expiry.is_some(),
            dns_names: !self.dns.is_empty(),
            store_svid: self.store_svid.is_some(),
            jwt_svid_ttl: self.jwt_svid_ttl.is_some(),
            hint: self.hint.is_some(),
            additional_attributes: self.names_attributes(),
            // These two are the server's.
            revision_number: false,
            created_at: false,
        }
    }

    /// Whether one of the additional attributes was given.
    pub(super) fn names_attributes(&self) -> bool {
        self.disable_x509_svid_prefetch.is_some() || self.jwt_svid_include_jti.is_some()
    }
}

fn without_empty(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !name.is_empty()).collect()
}
