//! `plugin_data_file`: the content of a plugin's `plugin_data` in a file of its own.
//!
//! The file is read where it is named, before anything is checked, and stands in for the block. All
//! its values get the position of the key that names it, because a problem has one file only.

use std::path::Path;

use crate::document::read_text;
use crate::{Findings, Member, Node, Position, Problem, Value, parse};

const FILE: &str = "plugin_data_file";
const DATA: &str = "plugin_data";

/// Puts the content of each file named under `plugins` in its place.
pub(crate) fn inline_plugin_files(top: &mut Value, findings: &Findings) {
    let Node::Map(blocks) = &mut top.node else {
        return;
    };
    for block in blocks
        .iter_mut()
        .filter(|block| block.key.eq_ignore_ascii_case("plugins"))
    {
        inline_below(&mut block.value, findings);
    }
}

/// A plugin's block stands two labels deep in HCL, with lists in between in JSON.
fn inline_below(value: &mut Value, findings: &Findings) {
    match &mut value.node {
        Node::List(items) => items
            .iter_mut()
            .for_each(|item| inline_below(item, findings)),
        Node::Map(members) => match members.iter().find(|member| names_a_file(member)) {
            Some(file) => {
                if let Some(data) = data_from(file, members, findings) {
                    members.push(data);
                }
            }
            None => members
                .iter_mut()
                .for_each(|m| inline_below(&mut m.value, findings)),
        },
        _ => {}
    }
}

fn names_a_file(member: &Member) -> bool {
    member.key.eq_ignore_ascii_case(FILE) && !member.value.is_off()
}

fn data_from(file: &Member, members: &[Member], findings: &Findings) -> Option<Member> {
    let problem = |message: String| {
        findings.problem(Problem {
            key_path: FILE.to_owned(),
            ..Problem::at(file.at, message)
        });
    };
    let Node::Text(path) = &file.value.node else {
        problem(format!("needs a text in quotes, not {}", file.value.kind()));
        return None;
    };
    if members
        .iter()
        .any(|member| member.key.eq_ignore_ascii_case(DATA))
    {
        problem(format!("stands beside {DATA}; give one of them"));
        return None;
    }
    match content(path) {
        Ok(data) => Some(Member {
            key: DATA.to_owned(),
            at: file.at,
            value: moved(data, file.at),
        }),
        Err(fault) => {
            problem(fault);
            None
        }
    }
}

fn content(path: &str) -> Result<Value, String> {
    let text =
        read_text(Path::new(path)).map_err(|error| format!("{path} cannot be read: {error}"))?;
    parse(&text).map_err(|problems| {
        let place = |p: &Problem| format!("{path}:{}:{}: {}", p.line, p.column, p.message);
        problems.first().map(place).unwrap_or_default()
    })
}

/// The value as if all of it stood at one place.
fn moved(value: Value, at: Position) -> Value {
    let node = match value.node {
        Node::List(items) => Node::List(items.into_iter().map(|item| moved(item, at)).collect()),
        Node::Map(members) => Node::Map(
            members
                .into_iter()
                .map(|member| Member {
                    at,
                    value: moved(member.value, at),
                    ..member
                })
                .collect(),
        ),
        scalar => scalar,
    };
    Value::new(node, at)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use crate::sections::{PluginKind, plugins};
    use crate::{Document, Key, Unknown};

    const KINDS: [PluginKind; 1] = [PluginKind {
        kind: "KeyManager",
        names: &[Key::implemented("disk")],
        many: false,
    }];

    /// What becomes of a plugin whose data stands in a file.
    fn with_file(name: &str, content: &str, more: &str) -> Result<Option<String>, String> {
        let directory = std::env::temp_dir();
        let path: PathBuf = directory.join(format!("signet-{}-{name}", std::process::id()));
        fs::write(&path, content).expect("written");
        let text = format!(
            "plugins {{\n KeyManager \"disk\" {{\n plugin_data_file = {path:?}\n {more} }} }}",
        );
        let document = Document::parse("s.conf", &text, None).expect("the text parses");
        let found = plugins(&document.root(), &KINDS);
        found[0]
            .data
            .check(&[&[Key::implemented("keys_path")]], Unknown::Refused);
        let keys_path = found[0].data.string("keys_path").map(str::to_owned);
        fs::remove_file(&path).expect("removed");
        let path = path.display().to_string();
        let (keys_path, _) = document
            .finish(Some(keys_path))
            .map_err(|error| error.to_string().replace(&path, "FILE"))?;
        Ok(keys_path)
    }

    #[test]
    fn the_file_stands_in_for_the_block_in_both_forms() {
        let expected = Ok(Some("/k".to_owned()));
        assert_eq!(with_file("hcl", "keys_path = \"/k\"", ""), expected);
        assert_eq!(with_file("json", "{\"keys_path\": \"/k\"}", ""), expected);
    }

    #[test]
    fn a_fault_in_the_file_names_the_file_and_the_key_that_named_it() {
        let expected = "s.conf:3: plugin_data_file: FILE:2:5: expected a value, but the file ends";
        assert_eq!(with_file("bad", "\na = ", ""), Err(expected.to_owned()));
        let expected = "s.conf:3: plugins.KeyManager \"disk\".plugin_data.key_path: unknown key; \
             did you mean \"keys_path\"?";
        assert_eq!(
            with_file("slip", "key_path = \"/k\"", ""),
            Err(expected.to_owned())
        );
    }

    #[test]
    fn a_file_beside_a_block_is_refused() {
        let expected = "s.conf:3: plugin_data_file: stands beside plugin_data; give one of them";
        assert_eq!(
            with_file("both", "", "plugin_data {}"),
            Err(expected.to_owned())
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let text = "plugins { KeyManager { disk { plugin_data_file = \"/nonexistent/x\" } } }";
        let document = Document::parse("s.conf", text, None).expect("the text parses");
        let error = document.finish(Some(())).expect_err("refused").to_string();
        assert!(error.contains("/nonexistent/x cannot be read: "), "{error}");
    }
}
