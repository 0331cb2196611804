//! Header fields, followed only so far that the bytes of an authority are known.

use super::huffman::Huffman;

/// The C core spells the name out; others give its number in the static table (RFC 7541 appendix A).
const AUTHORITY_NAME: &[u8] = b":authority";
const AUTHORITY: u8 = 1;
/// A length of more than four further bytes is larger than any frame.
const LONGEST_LENGTH: u32 = 28;

/// Where in a block of header fields the next byte is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fields {
    /// At the first byte of a field.
    Start,
    /// Inside a number whose value does not matter; then a text comes, or the next field.
    Number(Option<Text>),
    /// At the first byte of a text's length.
    Length(Text),
    /// Inside a long length.
    LongLength(Text, bool, usize, u32),
    /// Inside a text with so many bytes to come; as it is or compressed.
    Bytes(Text, Coding, usize),
    /// Where nothing is known any more.
    Lost,
}

/// How a text is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coding {
    Plain,
    Compressed(Huffman),
}

/// Which text of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The name, of which so many bytes are those of `:authority`; `None` when one was not.
    Name(Option<usize>),
    Value,
    Authority,
}

impl Text {
    /// A byte of the text has come.
    fn seen(self, byte: u8, plain: bool) -> Self {
        match self {
            Self::Name(Some(same)) if plain && AUTHORITY_NAME.get(same) == Some(&byte) => {
                Self::Name(Some(same + 1))
            }
            Self::Name(_) => Self::Name(None),
            text => text,
        }
    }

    /// What comes after the text.
    fn then(self) -> Fields {
        match self {
            Self::Name(Some(same)) if same == AUTHORITY_NAME.len() => {
                Fields::Length(Self::Authority)
            }
            Self::Name(_) => Fields::Length(Self::Value),
            Self::Value | Self::Authority => Fields::Start,
        }
    }
}

impl Fields {
    /// Takes the next byte, and changes it where it must not be.
    pub(super) fn next(&mut self, byte: &mut u8) {
        *self = match *self {
            Self::Start => Self::start(*byte),
            Self::Number(then) if *byte & 0x80 != 0 => Self::Number(then),
            Self::Number(then) => then.map_or(Self::Start, Self::Length),
            Self::Length(text) => {
                let (plain, length) = (*byte & 0x80 == 0, usize::from(*byte & 0x7f));
                if length == 0x7f {
                    Self::LongLength(text, plain, length, 0)
                } else {
                    Self::text(text, plain, length)
                }
            }
            Self::LongLength(_, _, _, LONGEST_LENGTH..) => Self::Lost,
            Self::LongLength(text, plain, length, shift) => {
                let length = length + (usize::from(*byte & 0x7f) << shift);
                if *byte & 0x80 != 0 {
                    Self::LongLength(text, plain, length, shift + 7)
                } else {
                    Self::text(text, plain, length)
                }
            }
            Self::Bytes(text, mut coding, left) => {
                if text == Text::Authority {
                    coding.mend(byte);
                }
                Self::rest(text.seen(*byte, coding.is_plain()), coding, left - 1)
            }
            Self::Lost => Self::Lost,
        };
    }

    /// RFC 7541 section 6: what kind of field, and where its name is.
    fn start(byte: u8) -> Self {
        let (mask, has_texts) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        let index = byte & mask;
        match (has_texts, index) {
            (false, _) if index == mask => Self::Number(None),
            (false, _) => Self::Start,
            (true, 0) => Self::Length(Text::Name(Some(0))),
            (true, AUTHORITY) => Self::Length(Text::Authority),
            (true, _) if index == mask => Self::Number(Some(Text::Value)),
            (true, _) => Self::Length(Text::Value),
        }
    }

    fn text(text: Text, plain: bool, length: usize) -> Self {
        let coding = match plain {
            true => Coding::Plain,
            false => Coding::Compressed(Huffman::default()),
        };
        Self::rest(text, coding, length)
    }

    fn rest(text: Text, coding: Coding, left: usize) -> Self {
        if left == 0 {
            text.then()
        } else {
            Self::Bytes(text, coding, left)
        }
    }
}

impl Coding {
    fn is_plain(self) -> bool {
        matches!(self, Self::Plain)
    }

    /// What HTTP allows, for the next byte of an authority.
    fn mend(&mut self, byte: &mut u8) {
        match self {
            Self::Plain if *byte == b'%' => *byte = b'-',
            Self::Plain => {}
            Self::Compressed(code) => code.next(byte),
        }
    }
}
