//! The `plugins` block: which plugin of which kind, and the block its own settings stand in.

use crate::{Class, Key, Section, Unknown};

const KEYS: [Key; 6] = [
    Key::implemented("enabled"),
    Key::implemented("plugin_data"),
    Key::implemented("plugin_data_file"),
    Key::refused(
        "plugin_cmd",
        "plugins cannot be external programs; use one that is built in",
    ),
    Key::ignored("plugin_args", "plugins cannot be external programs"),
    Key::ignored("plugin_checksum", "plugins cannot be external programs"),
];

/// A kind of plugin a program has, with a table of the names.
#[derive(Clone, Copy, Debug)]
pub struct PluginKind {
    /// The kind, such as `NodeAttestor`.
    pub kind: &'static str,
    /// The names known for it, in the classes of a key table.
    pub names: &'static [Key],
    /// Whether more than one may be configured.
    pub many: bool,
}

/// One plugin that is configured and switched on.
#[derive(Clone, Debug)]
pub struct Plugin<'a> {
    /// The kind, such as `NodeAttestor`.
    pub kind: &'static str,
    /// The name, one of the table's.
    pub name: &'static str,
    /// The `plugin_data` block; it is the plugin's to check.
    pub data: Section<'a>,
    /// The plugin's own block, for findings about the choice itself.
    pub block: Section<'a>,
}

/// Reads the `plugins` block: the implemented plugins, in the order of the file. Everything else in
/// it is a problem or a warning as its table says.
pub fn plugins<'a>(root: &Section<'a>, kinds: &[PluginKind]) -> Vec<Plugin<'a>> {
    let block = root.block("plugins");
    let known: Vec<_> = kinds
        .iter()
        .map(|kind| Key::implemented(kind.kind))
        .collect();
    block.check(&[&known], Unknown::Refused);
    kinds
        .iter()
        .flat_map(|kind| of_kind(&block, kind))
        .collect()
}

fn of_kind<'a>(plugins: &Section<'a>, kind: &PluginKind) -> Vec<Plugin<'a>> {
    let labelled = plugins.labelled(kind.kind);
    let enabled = labelled.into_iter().filter(|(_, block)| is_enabled(block));
    let found: Vec<_> = enabled
        .filter_map(|(name, block)| one(kind, name, block))
        .collect();
    for (index, plugin) in found.iter().enumerate() {
        let before = &found[..index];
        if before.iter().any(|other| other.name == plugin.name) {
            plugin.block.problem_here("is configured twice; remove one");
        } else if !kind.many && index > 0 {
            let message = format!("only one {} may be configured; remove one", kind.kind);
            plugin.block.problem_here(message);
        }
    }
    found
}

fn is_enabled(block: &Section<'_>) -> bool {
    block.bool("enabled").unwrap_or(true)
}

fn one<'a>(kind: &PluginKind, name: &str, block: Section<'a>) -> Option<Plugin<'a>> {
    block.check(&[&KEYS], Unknown::Refused);
    if block.is_set("plugin_cmd") {
        return None;
    }
    let names = kind.names.iter().map(|key| key.name);
    let Some(known) = kind.names.iter().find(|key| key.name == name) else {
        block.problem_here_near(format!("no such {}", kind.kind), name, names);
        return None;
    };
    match known.class {
        Class::Implemented => {
            let data = block.block("plugin_data");
            Some(Plugin {
                kind: kind.kind,
                name: known.name,
                data,
                block,
            })
        }
        Class::Refused(note) => {
            block.problem_here(format!("not supported yet: {note}"));
            None
        }
        Class::Ignored(note) => {
            block.warn_here(format!("has no effect: {note}"));
            None
        }
    }
}
