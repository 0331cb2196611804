//! The additional attributes: one message on the wire, so that changing one of them needs the
//! other's present value.

use signet_cli::Failure;
use signet_proto::spire::server::entry::v1::GetEntryRequest;
use signet_proto::spire::server::entry::v1::entry_client::EntryClient;
use signet_proto::spire::types::EntryMask;
use signet_proto::spire::types::entry::AdditionalAttributes;
use tonic::transport::Channel;

use super::fields::Fields;

/// What was given, on top of what is there. `None` when nothing was given.
pub(super) fn merged(
    fields: &Fields,
    present: Option<AdditionalAttributes>,
) -> Option<AdditionalAttributes> {
    if !fields.names_attributes() {
        return None;
    }
    let present = present.unwrap_or_default();
    Some(AdditionalAttributes {
        disable_x509_svid_prefetch: fields
            .disable_x509_svid_prefetch
            .unwrap_or(present.disable_x509_svid_prefetch),
        jwt_svid_include_jti: fields
            .jwt_svid_include_jti
            .unwrap_or(present.jwt_svid_include_jti),
    })
}

/// The same for a stored entry, asking the server only when needed.
pub(super) async fn merged_with_stored(
    fields: &Fields,
    client: &mut EntryClient<Channel>,
    entry_id: &str,
) -> Result<Option<AdditionalAttributes>, Failure> {
    if !fields.names_attributes() {
        return Ok(None);
    }
    let request = GetEntryRequest {
        id: entry_id.into(),
        output_mask: Some(EntryMask {
            additional_attributes: true,
            ..EntryMask::default()
        }),
    };
    let stored = client.get_entry(request).await;
    let stored = stored.map_err(Failure::call("read the entry"))?;
    Ok(merged(fields, stored.into_inner().additional_attributes))
}
