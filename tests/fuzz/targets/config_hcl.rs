//! Whatever is accepted as HCL points into its text, nests no deeper than the reader goes, and can
//! be read with every getter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signet_config::sections::{HealthSettings, LogSettings, TelemetrySettings};
use signet_config::{Findings, Node, Section, Unknown, Value, parse_hcl};

const MAX_DEPTH: usize = 32;

fuzz_target!(|text: &str| {
    let Ok(top) = parse_hcl(text) else { return };
    let lines = text.matches('\n').count() + 1;
    check(&top, lines, 1);
    read(&top);
});

fn check(value: &Value, lines: usize, depth: usize) {
    assert!(depth <= MAX_DEPTH + 1);
    assert!((1..=lines).contains(&(value.at.line as usize)));
    match &value.node {
        Node::List(items) => items.iter().for_each(|item| check(item, lines, depth + 1)),
        Node::Map(members) => members.iter().for_each(|member| {
            assert!((1..=lines).contains(&(member.at.line as usize)));
            check(&member.value, lines, depth + 1);
        }),
        _ => {}
    }
}

fn read(top: &Value) {
    let findings = Findings::default();
    let root = Section::root(top, &findings);
    root.check(&[], Unknown::Refused);
    LogSettings::read(&root);
    HealthSettings::read(&root);
    TelemetrySettings::read(&root, "fuzz");
    for key in root.keys() {
        root.string(key);
        root.integer(key, i64::MIN..=i64::MAX);
        root.bool(key);
        root.duration(key);
        root.strings(key);
        root.labelled(key);
    }
}
