//! Conversions that several records share. Zero stands for "none"; so that "at the epoch" or "no
//! time at all" never turn into "none", an optional time or duration is stored as one at least.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use signet_model::{Selector, SelectorSet, Taken};
use signet_proto::signet::store::v1 as wire;
use signet_spiffe::{PublicKey, SpiffeId, TrustDomain};

use super::FieldError;

pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn optional_seconds(time: Option<SystemTime>) -> i64 {
    time.map_or(0, |time| seconds(time).max(1))
}

pub(super) fn optional_duration(duration: Option<Duration>) -> i64 {
    let whole = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    duration.map_or(0, |duration| whole(duration).max(1))
}

pub(super) fn time(field: &'static str, seconds: i64) -> Result<SystemTime, FieldError> {
    let since = duration(field, seconds)?;
    UNIX_EPOCH
        .checked_add(since)
        .ok_or(FieldError::Time { field })
}

pub(super) fn optional_time(
    field: &'static str,
    seconds: i64,
) -> Result<Option<SystemTime>, FieldError> {
    (seconds != 0).then(|| time(field, seconds)).transpose()
}

pub(super) fn optional_seconds_of(
    field: &'static str,
    seconds: i64,
) -> Result<Option<Duration>, FieldError> {
    (seconds != 0).then(|| duration(field, seconds)).transpose()
}

pub(super) fn duration(field: &'static str, seconds: i64) -> Result<Duration, FieldError> {
    let seconds = u64::try_from(seconds).map_err(|_| FieldError::Time { field })?;
    Ok(Duration::from_secs(seconds))
}

pub(super) fn id(field: &'static str, text: &str) -> Result<SpiffeId, FieldError> {
    SpiffeId::parse(text).map_err(|source| FieldError::Id { field, source })
}

pub(super) fn trust_domain(field: &'static str, name: &str) -> Result<TrustDomain, FieldError> {
    TrustDomain::parse(name).map_err(|source| FieldError::TrustDomain { field, source })
}

pub(super) fn hash(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], FieldError> {
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| FieldError::Hash { field, length })
}

pub(super) fn public_key(spki: &[u8]) -> Result<PublicKey, FieldError> {
    PublicKey::from_spki_der(spki).map_err(FieldError::PublicKey)
}

pub(super) fn spki(key: &PublicKey) -> Bytes {
    Bytes::copy_from_slice(key.spki_der())
}

pub(super) fn selectors(set: &SelectorSet) -> Vec<wire::SelectorRecord> {
    let record = |selector: &Selector| wire::SelectorRecord {
        r#type: selector.kind().to_owned(),
        value: selector.value().to_owned(),
    };
    set.iter().map(record).collect()
}

pub(super) fn selector_set(records: &[wire::SelectorRecord]) -> Result<SelectorSet, FieldError> {
    let selector = |record: &wire::SelectorRecord| Selector::new(&record.r#type, &record.value);
    let set: Result<SelectorSet, _> = records.iter().map(selector).collect();
    set.map_err(FieldError::Selector)
}

pub(super) fn taken(taken: &Taken) -> wire::TokenTakenRecord {
    wire::TokenTakenRecord {
        key_hash: Bytes::copy_from_slice(&taken.key_hash),
        agent_id: taken.agent_id.to_string(),
    }
}

pub(super) fn read_taken(taken: wire::TokenTakenRecord) -> Result<Taken, FieldError> {
    Ok(Taken {
        key_hash: hash("taken.key_hash", &taken.key_hash)?,
        agent_id: id("taken.agent_id", &taken.agent_id)?,
    })
}
