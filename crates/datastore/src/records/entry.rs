//! Entries.

use signet_model::{Entry, EntryId, Stewardship};
use signet_proto::signet::store::v1 as wire;

use super::{FieldError, Stored, fields, keys};

impl Stored for Entry {
    type Wire = wire::EntryRecord;

    const TAGS: &'static [u32] = &[
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    ];

    fn to_wire(&self) -> Self::Wire {
        let domains = self.federates_with.iter();
        wire::EntryRecord {
            id: self.id.as_str().to_owned(),
            spiffe_id: self.spiffe_id.to_string(),
            parent_id: self.parent_id.to_string(),
            selectors: fields::selectors(&self.selectors),
            x509_svid_ttl_seconds: fields::optional_duration(self.x509_svid_ttl),
            jwt_svid_ttl_seconds: fields::optional_duration(self.jwt_svid_ttl),
            federates_with: domains.map(|td| td.name().to_owned()).collect(),
            admin: self.admin,
            downstream: self.downstream,
            store_svid: self.store_svid,
            expires_at: fields::optional_seconds(self.expires_at),
            dns_names: self.dns_names.clone(),
            hint: self.hint.clone(),
            revision_number: self.revision_number,
            created_at: fields::seconds(self.created_at),
            disable_x509_svid_prefetch: self.disable_x509_svid_prefetch,
            jwt_svid_include_jti: self.jwt_svid_include_jti,
            disabled: self.disabled,
            stewardship: stewardship_to_wire(&self.stewardship),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError> {
        let domains = wire.federates_with.iter();
        let domain = |name: &String| fields::trust_domain("federates_with", name);
        let ttl = fields::optional_seconds_of;
        Ok(Self {
            id: EntryId::parse(&wire.id).map_err(FieldError::EntryId)?,
            spiffe_id: fields::id("spiffe_id", &wire.spiffe_id)?,
            parent_id: fields::id("parent_id", &wire.parent_id)?,
            selectors: fields::selector_set(&wire.selectors)?,
            x509_svid_ttl: ttl("x509_svid_ttl_seconds", wire.x509_svid_ttl_seconds)?,
            jwt_svid_ttl: ttl("jwt_svid_ttl_seconds", wire.jwt_svid_ttl_seconds)?,
            federates_with: domains.map(domain).collect::<Result<_, _>>()?,
            admin: wire.admin,
            downstream: wire.downstream,
            store_svid: wire.store_svid,
            expires_at: fields::optional_time("expires_at", wire.expires_at)?,
            dns_names: wire.dns_names,
            hint: wire.hint,
            revision_number: wire.revision_number,
            created_at: fields::time("created_at", wire.created_at)?,
            disable_x509_svid_prefetch: wire.disable_x509_svid_prefetch,
            jwt_svid_include_jti: wire.jwt_svid_include_jti,
            disabled: wire.disabled,
            stewardship: stewardship_from_wire(wire.stewardship.unwrap_or_default())?,
        })
    }

    fn key(&self) -> String {
        keys::entry(&self.id)
    }
}

fn stewardship_to_wire(stewardship: &Stewardship) -> Option<wire::StewardshipRecord> {
    let none = *stewardship == Stewardship::default();
    (!none).then(|| wire::StewardshipRecord {
        owner: stewardship.owner.clone(),
        purpose: stewardship.purpose.clone(),
        review_by: fields::optional_seconds(stewardship.review_by),
    })
}

fn stewardship_from_wire(wire: wire::StewardshipRecord) -> Result<Stewardship, FieldError> {
    Ok(Stewardship {
        owner: wire.owner,
        purpose: wire.purpose,
        review_by: fields::optional_time("review_by", wire.review_by)?,
    })
}
