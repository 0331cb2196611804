//! HCL 1 as SPIRE's files use it, judged against the same value in JSON.

use proptest::prelude::*;

use super::parse_hcl;
use crate::{Node, Position, Value, parse_json};

fn same(hcl: &str, json: &str) {
    let hcl = parse_hcl(hcl).expect("HCL parses");
    let json = parse_json(json).expect("JSON parses");
    assert!(hcl == json, "{hcl:?} is not {json:?}");
}

fn fault(hcl: &str) -> String {
    parse_hcl(hcl).expect_err("refused")[0]
        .to_string()
        .trim()
        .to_owned()
}

fn text(hcl: &str) -> String {
    let Value {
        node: Node::Map(members),
        ..
    } = parse_hcl(hcl).expect("HCL parses")
    else {
        panic!("the top is a map");
    };
    match &members[0].value.node {
        Node::Text(text) => text.clone(),
        other => panic!("not a text: {other:?}"),
    }
}

#[test]
fn blocks_on_one_line_commas_and_quoted_keys_are_read() {
    same("a { b = 1, c = 2 }", r#"{"a": {"b": 1, "c": 2}}"#);
    same("a { b = 1 c = 2 }", r#"{"a": {"b": 1, "c": 2}}"#);
    same(r#""a b" = "c""#, r#"{"a b": "c"}"#);
    same("a = { b = true }\n", r#"{"a": {"b": true}}"#);
    same("", "{}");
}

#[test]
fn labels_nest_and_blocks_repeat() {
    same(r#"N "join_token" {}"#, r#"{"N": {"join_token": {}}}"#);
    same(r#"a "b" c { d = 1 }"#, r#"{"a": {"b": {"c": {"d": 1}}}}"#);
    same(
        "a { b = 1 }\na { c = 2 }",
        r#"{"a": {"b": 1}, "a": {"c": 2}}"#,
    );
}

#[test]
fn lists_hold_anything_and_may_end_with_a_comma() {
    same(
        r#"a = ["b", 1, true, [2], {c = 3},]"#,
        r#"{"a": ["b", 1, true, [2], {"c": 3}]}"#,
    );
    same("a = [\n  1, # one\n  2\n]", r#"{"a": [1, 2]}"#);
}

#[test]
fn three_forms_of_comment_are_skipped() {
    same(
        "# x\na = 1 // y\n/* z\n = */ b = /* in between */ 2 #",
        r#"{"a": 1, "b": 2}"#,
    );
    same(
        "a = \"# no // comment /* here\"",
        r##"{"a": "# no // comment /* here"}"##,
    );
}

#[test]
fn numbers_keep_their_text() {
    same("a = -1.5e3, b = 8081", r#"{"a": -1.5e3, "b": 8081}"#);
    let hexadecimal = parse_hcl("a = 0x1F").expect("HCL parses");
    let Node::Map(members) = &hexadecimal.node else {
        panic!("a map")
    };
    assert!(members[0].value.node == Node::Number("0x1F".to_owned()));
}

#[test]
fn escapes_are_resolved() {
    let written = r#"a = "\n\t\"\\\x41\u00e9\U0001F600\101""#;
    assert_eq!(text(written), "\n\t\"\\Aé😀A");
}

#[test]
fn interpolation_stays_as_written() {
    let written = r#"x ${ y("z\q") } {{ .PluginName }} $5"#;
    assert_eq!(text(&format!("a = \"{written}\"")), written);
}

#[test]
fn heredocs_keep_their_lines() {
    assert_eq!(text("a = <<EOF\none\n  two\nEOF\nb = 1"), "one\n  two\n");
    assert_eq!(text("a = <<EOF\nEOF"), "");
    assert_eq!(
        text("a = <<-EOF\n    one\n      two\n    EOF\n"),
        "one\n  two\n"
    );
    assert_eq!(text("a = <<-EOF\none\n    EOF\n"), "one\n");
    assert_eq!(text("a = <<EOF\r\none\r\nEOF\r\n"), "one\r\n");
}

#[test]
fn positions_point_at_keys_and_values() {
    let top = parse_hcl("a {\n  bind_port = 8081\n}").expect("HCL parses");
    let Node::Map(members) = &top.node else {
        panic!("a map")
    };
    let Node::Map(inner) = &members[0].value.node else {
        panic!("a block")
    };
    assert_eq!(members[0].value.at, Position { line: 1, column: 3 });
    assert_eq!(inner[0].at, Position { line: 2, column: 3 });
    assert_eq!(
        inner[0].value.at,
        Position {
            line: 2,
            column: 15
        }
    );
}

#[test]
fn faults_name_line_column_and_what_was_expected() {
    let cases = [
        (
            "a",
            "1:2: expected \"=\" or \"{\" after the key, but the file ends",
        ),
        ("a = ", "1:5: expected a value, but the file ends"),
        (
            "a {\n b = 1\n",
            "3:1: expected a key or \"}\", but the file ends",
        ),
        ("}", "1:1: expected a key, found '}'"),
        ("a = 1 }", "1:7: expected a key, found '}'"),
        ("a = 1,, b = 2", "1:7: expected a key, found ','"),
        (
            "a \"b\" = 1",
            "1:7: expected \"=\" or \"{\" after the key, found '='",
        ),
        (
            "a = [1 2]",
            "1:8: expected \",\" or \"]\" in the list, found '2'",
        ),
        ("a = yes", "1:5: a bare word; a text needs quotes around it"),
        ("a = 12abc", "1:5: not a number that HCL knows"),
        ("a = \"b\nc\"", "1:5: this text is not closed on its line"),
        ("a = \"\\q\"", "1:7: an escape that HCL does not know"),
        ("a = \"\\ud800\"", "1:7: an escape that HCL does not know"),
        ("a = \"${b\"", "1:6: this \"${\" is not closed by \"}\""),
        ("a = 1 /* b", "1:7: this comment is never closed by \"*/\""),
        ("a = <<EOF\nb\n", "1:5: no line \"EOF\" closes this text"),
        (
            "a = << EOF\n",
            "1:7: expected a word and the end of the line after \"<<\", found ' '",
        ),
    ];
    for (hcl, message) in cases {
        assert_eq!(fault(hcl), message, "{hcl}");
    }
}

#[test]
fn nesting_without_end_is_refused_in_every_form() {
    let deep = 100_000;
    for (open, start) in [
        ("[", "a = "),
        ("{ a = ", "a = "),
        ("a {", ""),
        ("\"a\" ", "a "),
    ] {
        let hcl = format!("{start}{}", open.repeat(deep));
        assert!(fault(&hcl).contains("nested more than 32 deep"), "{open}");
    }
}

fn tree() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|on| on.to_string()),
        any::<i32>().prop_map(|number| number.to_string()),
        "[ -~é\n\t]{0,12}".prop_map(|text| quoted(&text)),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| format!("{key:?}: {value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

/// A text in quotes that means the same in both forms.
fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "S");
    format!("\"{}\"", escaped.replace('\n', "\\n").replace('\t', "\\t"))
}

/// The same tree in HCL's notation.
fn as_hcl(value: &Value, out: &mut String) {
    match &value.node {
        Node::Bool(on) => out.push_str(&on.to_string()),
        Node::Number(number) => out.push_str(number),
        Node::Text(text) => out.push_str(&quoted(text)),
        Node::List(items) => {
            out.push('[');
            for item in items {
                as_hcl(item, out);
                out.push_str(", ");
            }
            out.push(']');
        }
        Node::Map(members) => {
            out.push_str("{\n");
            for member in members {
                out.push_str(&member.key);
                out.push_str(if matches!(member.value.node, Node::Map(_)) {
                    " "
                } else {
                    " = "
                });
                as_hcl(&member.value, out);
                out.push_str("\n# next\n");
            }
            out.push('}');
        }
    }
}

proptest! {
    #[test]
    fn the_same_tree_in_both_forms_is_the_same_value(tree in tree()) {
        let json = parse_json(&format!("{{\"top\": {tree}}}")).expect("JSON parses");
        let Node::Map(members) = &json.node else { panic!("a map") };
        let mut hcl = "top = ".to_owned();
        as_hcl(&members[0].value, &mut hcl);
        prop_assert!(parse_hcl(&hcl).expect("HCL parses") == json, "{}", hcl);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = parse_hcl(&text);
    }

    #[test]
    fn no_text_made_of_hcl_makes_the_parser_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "a", "\"", "=", "{", "}", "[", "]", ",", "\n", " ", "<<", "<<-", "EOF", "${", "$",
                "\\", "/*", "*/", "#", "//", "-", "0x", "1", ".", "e", "true", "\\u12", "é", "\r",
            ]),
            0..40,
        ),
    ) {
        let _ = parse_hcl(&parts.concat());
    }
}
