//! The key manager `pkcs11`.

use signet_crypto::SecretString;
use signet_keys_pkcs11::{Pin, TokenName};

use super::*;

fn plugin(data: &str) -> String {
    with_plugins(&format!(
        "KeyManager \"pkcs11\" {{\nplugin_data {{\n{data}\n}}\n}}"
    ))
}

#[test]
fn a_token_is_named_by_label_with_a_pin_in_a_file() {
    let text = plugin("module_path = \"/m.so\"\ntoken_label = \"signet\"\npin_path = \"/pin\"");
    let expected = Pkcs11Settings {
        module_path: "/m.so".into(),
        token: TokenName::Label("signet".into()),
        pin: Pin::File("/pin".into()),
        identifier: None,
    };
    assert_eq!(quiet(&text).keys, KeySettings::Pkcs11(expected));
}

#[test]
fn a_token_is_named_by_slot_with_a_pin_that_does_not_print() {
    let config = quiet(&plugin(
        "module_path = \"/m.so\"\nslot_id = 7\npin = \"4711\"\nkey_identifier_value = \"one\"",
    ));
    let expected = Pkcs11Settings {
        module_path: "/m.so".into(),
        token: TokenName::Slot(7),
        pin: Pin::Given(std::sync::Arc::new(SecretString::new("4711".into()))),
        identifier: Some("one".parse().unwrap()),
    };
    assert!(!format!("{config:?}").contains("4711"));
    assert_eq!(config.keys, KeySettings::Pkcs11(expected));
}

#[test]
fn what_is_missing_doubled_or_unknown_is_named() {
    let at = |line: u32, key: &str, problem: &str| {
        format!("server.conf:{line}: plugins.KeyManager \"pkcs11\".plugin_data.{key}: {problem}")
    };
    let found = problems(&plugin(""));
    let expected = [
        at(4, "module_path", "is required"),
        at(4, "token_label", "is required, or slot_id"),
        at(4, "pin_path", "is required, or pin"),
    ];
    assert_eq!(found, expected);
    let found = problems(&plugin(
        "module_path = \"/m.so\"\ntoken_label = \"a\"\nslot_id = 1\npin = \"4711\"\npin_path = \"/pin\"\nkey_identifier_value = \"a/b\"\nuser_pin = \"4711\"",
    ))
    .join("\n");
    for part in [
        "slot_id: stands beside token_label",
        "pin: stands beside pin_path",
        "key_identifier_value: should be 1 to 40 letters",
        "user_pin",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert!(!found.contains("4711"), "{found}");
}
