//! Bundles: our own and those of other trust domains.

use bytes::Bytes;
use signet_proto::signet::store::v1 as wire;
use signet_spiffe::{Bundle, JwtAuthority, X509Authority};

use super::{FieldError, Stored, fields, keys};

impl Stored for Bundle {
    type Wire = wire::BundleRecord;

    const TAGS: &'static [u32] = &[1, 2, 3, 4, 5, 6];

    fn to_wire(&self) -> Self::Wire {
        let x509 = |authority: &X509Authority| wire::X509AuthorityRecord {
            der: Bytes::copy_from_slice(&authority.der),
            tainted: authority.tainted,
        };
        let hint = self.refresh_hint.map(|hint| hint.as_secs());
        wire::BundleRecord {
            trust_domain: self.trust_domain.name().to_owned(),
            x509_authorities: self.x509_authorities.iter().map(x509).collect(),
            jwt_authorities: self.jwt_authorities.iter().map(key_to_wire).collect(),
            wit_authorities: self.wit_authorities.iter().map(key_to_wire).collect(),
            refresh_hint_seconds: hint.map(|hint| i64::try_from(hint).unwrap_or(i64::MAX)),
            sequence: self.sequence,
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, FieldError> {
        let x509 = |record: wire::X509AuthorityRecord| {
            let authority = X509Authority::from_der(&record.der);
            let authority = authority.map_err(FieldError::Authority)?;
            Ok(authority.with_taint(record.tainted))
        };
        let hint = wire.refresh_hint_seconds;
        let hint = hint.map(|hint| fields::duration("refresh_hint_seconds", hint));
        Ok(Self {
            trust_domain: fields::trust_domain("trust_domain", &wire.trust_domain)?,
            x509_authorities: all(wire.x509_authorities, x509)?,
            jwt_authorities: all(wire.jwt_authorities, key_from_wire)?,
            wit_authorities: all(wire.wit_authorities, key_from_wire)?,
            refresh_hint: hint.transpose()?,
            sequence: wire.sequence,
        })
    }

    fn key(&self) -> String {
        keys::bundle(&self.trust_domain)
    }
}

fn all<T, U>(from: Vec<T>, one: fn(T) -> Result<U, FieldError>) -> Result<Vec<U>, FieldError> {
    from.into_iter().map(one).collect()
}

fn key_to_wire(authority: &JwtAuthority) -> wire::KeyAuthorityRecord {
    wire::KeyAuthorityRecord {
        key_id: authority.key_id.clone(),
        public_key: fields::spki(&authority.public_key),
        expires_at: fields::optional_seconds(authority.expires_at),
        tainted: authority.tainted,
    }
}

fn key_from_wire(record: wire::KeyAuthorityRecord) -> Result<JwtAuthority, FieldError> {
    let public_key = fields::public_key(&record.public_key)?;
    let authority = JwtAuthority::new(record.key_id, public_key);
    Ok(JwtAuthority {
        expires_at: fields::optional_time("expires_at", record.expires_at)?,
        tainted: record.tainted,
        ..authority.map_err(FieldError::Authority)?
    })
}
