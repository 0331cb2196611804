//! Checks of the numbers and names that other programs rely on.

use prost::Message;

use crate::{signet, spire, workload};

#[test]
fn the_workload_api_has_no_package() {
    use workload::spiffe_workload_api_server::SERVICE_NAME;
    assert_eq!(SERVICE_NAME, "SpiffeWorkloadAPI");
}

#[test]
fn services_have_spires_names() {
    use spire::server;
    assert_eq!(
        server::svid::v1::svid_server::SERVICE_NAME,
        "spire.api.server.svid.v1.SVID"
    );
    assert_eq!(
        server::localauthority::v1::local_authority_server::SERVICE_NAME,
        "spire.api.server.localauthority.v1.LocalAuthority"
    );
    assert_eq!(
        spire::api::agent::delegatedidentity::v1::delegated_identity_server::SERVICE_NAME,
        "spire.api.agent.delegatedidentity.v1.DelegatedIdentity"
    );
    assert_eq!(
        spire::agent::debug::v1::debug_server::SERVICE_NAME,
        "spire.agent.debug.v1.Debug"
    );
}

#[test]
fn an_entry_encodes_with_spires_field_numbers() {
    let entry = spire::types::Entry {
        id: "e".into(),
        jwt_svid_ttl: 1,
        additional_attributes: Some(spire::types::entry::AdditionalAttributes {
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: true,
        }),
        ..Default::default()
    };
    let tag = |field: u8, wire: u8| field << 3 | wire;
    // Field 16 takes two bytes of tag.
    let expected = [
        tag(1, 2),
        1,
        b'e',
        tag(13, 0),
        1,
        0x82,
        0x01,
        2,
        tag(2, 0),
        1,
    ];
    assert_eq!(entry.encode_to_vec(), expected);
}

#[test]
fn a_permission_denied_detail_keeps_its_reason() {
    use spire::types::permission_denied_details::Reason;
    assert_eq!(Reason::AgentMustReattest as i32, 5);
}

#[test]
fn maps_encode_in_order() {
    let bundles = |names: [&str; 3]| workload::X509BundlesResponse {
        bundles: names.map(|name| (name.to_owned(), "x".into())).into(),
        ..Default::default()
    };
    assert_eq!(
        bundles(["a", "b", "c"]).encode_to_vec(),
        bundles(["c", "a", "b"]).encode_to_vec()
    );
}

#[test]
fn the_workload_descriptor_brings_its_imports() {
    let set = prost_types::FileDescriptorSet::decode(workload::FILE_DESCRIPTOR_SET)
        .expect("build.rs wrote it");
    let files: Vec<_> = set.file.iter().map(|file| file.name()).collect();
    assert_eq!(
        files,
        [
            "google/protobuf/struct.proto",
            "spiffe/workload/workload.proto"
        ]
    );
}

#[test]
fn a_watch_message_that_is_no_message_decodes_to_none() {
    let request = signet::sync::v1::WatchRequest::decode(&[][..]).expect("empty is valid");
    assert_eq!(request.message, None);
}
