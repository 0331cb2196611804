//! JSON, judged by serde_json, and each refusal with its position.

use proptest::prelude::*;
use serde_json::Value as Judge;

use super::parse_json;
use crate::{Node, Position, Value};

fn fault(json: &str) -> String {
    parse_json(json).expect_err("refused")[0]
        .to_string()
        .trim()
        .to_owned()
}

/// Whether a value says the same as another library's reading of the text.
fn agrees(value: &Value, judge: &Judge) -> bool {
    match (&value.node, judge) {
        (Node::Bool(on), Judge::Bool(other)) => on == other,
        (Node::Number(text), Judge::Number(other)) => text.parse::<f64>().ok() == other.as_f64(),
        (Node::Text(text), Judge::String(other)) => text == other,
        (Node::List(items), Judge::Array(other)) => {
            let other = other.iter().filter(|item| !item.is_null());
            items
                .iter()
                .zip(other)
                .all(|(item, other)| agrees(item, other))
        }
        (Node::Map(members), Judge::Object(other)) => members.iter().rev().all(|member| {
            let last = members
                .iter()
                .rfind(|m| m.key == member.key)
                .expect("it is there");
            other
                .get(&member.key)
                .is_some_and(|o| o.is_null() || agrees(&last.value, o))
        }),
        _ => false,
    }
}

#[test]
fn positions_point_at_keys_and_values() {
    let top = parse_json("{\n  \"a\": [1,\n 2]}").expect("JSON parses");
    let Node::Map(members) = &top.node else {
        panic!("a map")
    };
    let Node::List(items) = &members[0].value.node else {
        panic!("a list")
    };
    assert_eq!(members[0].at, Position { line: 2, column: 3 });
    assert_eq!(items[1].at, Position { line: 3, column: 2 });
}

#[test]
fn a_member_that_is_null_is_not_there() {
    assert!(parse_json(r#"{"a": null, "b": [null]}"#) == parse_json(r#"{"b": []}"#));
}

#[test]
fn surrogate_pairs_become_one_character() {
    let pair = parse_json(r#"{"a": "\ud83d\ude00"}"#).expect("JSON parses");
    assert!(pair == parse_json(r#"{"a": "😀"}"#).expect("JSON parses"));
}

#[test]
fn faults_name_line_column_and_what_was_expected() {
    let cases = [
        ("", "1:1: expected \"{\" at the start, but the file ends"),
        ("[]", "1:1: expected \"{\" at the start, found '['"),
        ("{} x", "1:4: expected the end of the file, found 'x'"),
        ("{\"a\" 1}", "1:6: expected \":\" after the key, found '1'"),
        ("{\"a\":\n1,}", "2:3: expected a text in quotes, found '}'"),
        ("{\"a\": [1,]}", "1:10: expected a value, found ']'"),
        ("{\"a\": 01}", "1:7: not a number of JSON"),
        (
            "{\"a\": 1",
            "1:8: expected \",\" or \"}\", but the file ends",
        ),
        (
            "{\"a\": \"b\n\"}",
            "1:7: this text is not closed on its line",
        ),
        (
            "{\"a\": \"\\x41\"}",
            "1:9: an escape that JSON does not know",
        ),
        (
            "{\"a\": \"\\ud800\"}",
            "1:9: an escape that JSON does not know",
        ),
        ("{a: 1}", "1:2: expected a text in quotes, found 'a'"),
        (
            "{\"a\": 1 // c\n}",
            "1:9: expected \",\" or \"}\", found '/'",
        ),
    ];
    for (json, message) in cases {
        assert_eq!(fault(json), message, "{json}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for open in ["{\"a\":", "["] {
        let json = format!("{{\"a\":{}", open.repeat(100_000));
        assert!(fault(&json).contains("nested more than 32 deep"), "{open}");
    }
}

proptest! {
    #[test]
    fn another_library_reads_the_same(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u0041\\n\"", "\"\\ud83d\\ude00\"", "\"",
                "1", "-0", "0.5", "1e3", "01", "1.", "-", "true", "false", "null", " ", "\n", "é",
                "{\"a\":", "\"b\":[1,2]", "\"\\", "\u{1}",
            ]),
            0..12,
        ),
    ) {
        let text = format!("{{{}}}", parts.concat());
        match (parse_json(&text), serde_json::from_str::<Judge>(&text)) {
            (Ok(value), Ok(judge)) => prop_assert!(agrees(&value, &judge), "{}", text),
            (Err(_), Err(_)) => {}
            (ours, judge) => prop_assert!(false, "{}: {:?} against {:?}", text, ours, judge),
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = parse_json(&text);
        let _ = parse_json(&format!("{{\"a\":{text}"));
    }
}
