//! Answers in XML: only elements by name and their text.

use roxmltree::{Document, Node, ParsingOptions};

/// More nodes are refused: the largest answer here describes one instance or a hundred roles.
const MAX_NODES: u32 = 100_000;

/// Reads an answer with `read`, which is given its outermost element. `None` if it is not XML, has
/// a document type, or has too many nodes.
pub(crate) fn read<T>(
    body: &[u8],
    read: impl for<'a, 'i> FnOnce(Node<'a, 'i>) -> Option<T>,
) -> Option<T> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(std::str::from_utf8(body).ok()?, options).ok()?;
    read(document.root_element())
}

/// The first child element of this name.
pub(crate) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children()
        .find(|child| child.is_element() && child.tag_name().name() == name)
}

/// The element at the end of these names.
pub(crate) fn at<'a, 'i>(node: Node<'a, 'i>, path: &[&str]) -> Option<Node<'a, 'i>> {
    path.iter().try_fold(node, |node, name| child(node, name))
}

/// The text of the element at the end of these names.
pub(crate) fn text(node: Node<'_, '_>, path: &[&str]) -> Option<String> {
    let text = at(node, path)?.text().unwrap_or_default().trim();
    Some(text.to_owned())
}

/// The elements `item` (EC2) or `member` (others) of the list at the end of these names.
pub(crate) fn items<'a, 'i>(
    node: Node<'a, 'i>,
    path: &[&str],
) -> impl Iterator<Item = Node<'a, 'i>> {
    at(node, path)
        .into_iter()
        .flat_map(|list| list.children())
        .filter(|item| matches!(item.tag_name().name(), "item" | "member"))
}
