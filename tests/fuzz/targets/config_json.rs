//! Our JSON parser accepts what another library accepts, refuses what it refuses, and reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value as Judge;
use signet_config::{Node, Value, parse_json};

fuzz_target!(|text: &str| {
    let judged = serde_json::from_str::<Judge>(text);
    match (parse_json(text), judged) {
        (Ok(value), Ok(judge)) => assert!(agrees(&value, &judge)),
        (Ok(_), Err(error)) => assert!(is_ours_alone(text, &error), "{error}"),
        (Err(problems), Ok(judge)) => {
            assert!(!judge.is_object() || problems[0].message.starts_with("nested more than"));
        }
        (Err(_), Err(_)) => {}
    }
});

/// A byte order mark, and numbers too large for a float, which we keep as text.
fn is_ours_alone(text: &str, error: &serde_json::Error) -> bool {
    text.starts_with('\u{feff}') || error.to_string().starts_with("number out of range")
}

fn agrees(value: &Value, judge: &Judge) -> bool {
    match (&value.node, judge) {
        (Node::Bool(on), Judge::Bool(other)) => on == other,
        (Node::Number(text), Judge::Number(other)) => text
            .parse()
            .ok()
            .zip(other.as_f64())
            .is_some_and(|(a, b)| is_near(a, b)),
        (Node::Text(text), Judge::String(other)) => text == other,
        (Node::List(items), Judge::Array(other)) => {
            let other: Vec<_> = other.iter().filter(|item| !item.is_null()).collect();
            items.len() == other.len() && items.iter().zip(other).all(|(i, o)| agrees(i, o))
        }
        // Of a key given twice the other library keeps the last, be it null.
        (Node::Map(members), Judge::Object(other)) => members.iter().all(|member| {
            let last = members
                .iter()
                .rfind(|m| m.key == member.key)
                .unwrap_or(member);
            other
                .get(&member.key)
                .is_some_and(|o| o.is_null() || agrees(&last.value, o))
        }),
        _ => false,
    }
}

/// The other library may round the last digit the other way.
fn is_near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= a.abs() * 1e-14
}
