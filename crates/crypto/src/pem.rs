//! PEM text (RFC 7468): finding the blocks, and writing one.
//!
//! Text between blocks is skipped, as files made by other tools carry comments there. Headers
//! inside a block (encrypted keys of old tools) are refused.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::SecretBytes;

/// Most blocks in one text: far above any bundle or chain, low enough to bound the work.
pub const MAX_BLOCKS: usize = 4096;

const LINE: usize = 64;

/// One block. The content is treated as secret since it may be a private key.
#[derive(Debug)]
pub struct Block {
    /// What stands after `BEGIN`, such as `CERTIFICATE`.
    pub label: String,
    /// The decoded content.
    pub content: SecretBytes,
}

/// The text is not PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// A block begins on this line and does not end with the same label.
    #[error("PEM block that begins on line {line} has no matching end")]
    Unfinished {
        /// Line of `-----BEGIN`, from 1.
        line: usize,
    },
    /// The content of a block is not base64.
    #[error("PEM block that begins on line {line} is not base64")]
    NotBase64 {
        /// Line of `-----BEGIN`, from 1.
        line: usize,
    },
    /// More than [`MAX_BLOCKS`].
    #[error("more than {MAX_BLOCKS} PEM blocks")]
    TooMany,
}

/// All blocks of the text, in order. None is not an error here: the caller knows what it needs.
pub fn parse(text: &str) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(label) = marker(line, "-----BEGIN ") else {
            continue;
        };
        if blocks.len() == MAX_BLOCKS {
            return Err(PemError::TooMany);
        }
        let content = content(label, index + 1, lines.by_ref().map(|(_, line)| line))?;
        let label = label.to_owned();
        blocks.push(Block { label, content });
    }
    Ok(blocks)
}

/// One block of text, with lines of 64 characters.
#[must_use]
pub fn encode(label: &str, content: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(content);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(LINE));
        writeln!(out, "{line}").expect("writing to a String cannot fail");
        rest = tail;
    }
    writeln!(out, "-----END {label}-----").expect("writing to a String cannot fail");
    out
}

fn content<'a>(
    label: &str,
    begins_on: usize,
    lines: impl Iterator<Item = &'a str>,
) -> Result<SecretBytes, PemError> {
    let mut body = zeroize::Zeroizing::new(String::new());
    for line in lines {
        match marker(line, "-----END ") {
            Some(end) if end == label => {
                return BASE64_STANDARD
                    .decode(body.as_bytes())
                    .map(SecretBytes::new)
                    .map_err(|_| PemError::NotBase64 { line: begins_on });
            }
            Some(_) => break,
            None => body.push_str(line.trim()),
        }
    }
    Err(PemError::Unfinished { line: begins_on })
}

fn marker<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.trim().strip_prefix(start)?.strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = format!(
            "subject=x\r\n{}\n\n# comment\n{}",
            encode("CERTIFICATE", &[1; 100]).replace('\n', "\r\n"),
            encode("PRIVATE KEY", &[2]),
        );
        let blocks = parse(&text).unwrap();
        let found = blocks
            .iter()
            .map(|block| (block.label.as_str(), block.content.expose()))
            .collect::<Vec<_>>();
        assert_eq!(
            found,
            [("CERTIFICATE", &[1; 100][..]), ("PRIVATE KEY", &[2][..])]
        );
    }

    #[test]
    fn text_without_blocks_has_none() {
        assert!(parse("hello").unwrap().is_empty());
    }

    #[test]
    fn broken_blocks_are_refused_with_their_line() {
        let unfinished = PemError::Unfinished { line: 2 };
        for bad in [
            "\n-----BEGIN A-----\nAQ==\n",
            "\n-----BEGIN A-----\nAQ==\n-----END B-----\n",
        ] {
            assert_eq!(parse(bad).unwrap_err(), unfinished);
        }
        let header = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAQ==\n-----END A-----\n";
        assert_eq!(parse(header).unwrap_err(), PemError::NotBase64 { line: 1 });
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        let text = encode("A", &[]).repeat(MAX_BLOCKS + 1);
        assert_eq!(parse(&text).unwrap_err(), PemError::TooMany);
    }
}
