//! Fields of a message that this program does not know, kept as they are.

use bytes::Bytes;
use prost::encoding::decode_varint;

/// The unknown top-level fields of a record, encoded. Appended to the record when it is rewritten.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Unknown(Bytes);

impl Unknown {
    /// Picks the fields of `message` whose number is not in `known` (which is sorted). `None` if it
    /// is no protobuf, or has groups.
    pub(super) fn scan(message: &[u8], known: &[u32]) -> Option<Self> {
        let mut rest = message;
        let mut unknown = Vec::new();
        while !rest.is_empty() {
            let (number, length) = field(rest)?;
            let (field, after) = rest.split_at_checked(length)?;
            if known.binary_search(&number).is_err() {
                unknown.extend_from_slice(field);
            }
            rest = after;
        }
        Some(Self(unknown.into()))
    }

    /// The encoded fields.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Their length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Shows the length only: nobody knows what is in it.
impl std::fmt::Debug for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unknown({} bytes)", self.len())
    }
}

/// Number and whole length of the first field. The length may exceed what is there.
fn field(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut rest = bytes;
    let tag = decode_varint(&mut rest).ok()?;
    let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
    let value = match tag & 7 {
        0 => {
            let before = rest.len();
            decode_varint(&mut rest).ok()?;
            before - rest.len()
        }
        1 => 8,
        2 => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
        5 => 4,
        _ => return None,
    };
    let head = bytes.len() - rest.len();
    // For a varint the value is behind `rest` already.
    let length = if tag & 7 == 0 {
        head
    } else {
        head.checked_add(value)?
    };
    Some((number, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Unknown;

    /// 1: varint 150; 2: "ab"; 3: fixed32; 4: fixed64.
    const MESSAGE: [u8; 21] = [
        0x08, 0x96, 0x01, 0x12, 2, b'a', b'b', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
    ];

    #[test]
    fn fields_that_are_known_are_left_out_whatever_their_type() {
        for (known, kept) in [
            (&[1, 2, 3, 4][..], &MESSAGE[21..]),
            (&[2, 3, 4], &MESSAGE[..3]),
            (&[1, 3, 4], &MESSAGE[3..7]),
            (&[1, 2, 4], &MESSAGE[7..12]),
            (&[1, 2, 3], &MESSAGE[12..]),
            (&[], &MESSAGE[..]),
        ] {
            let unknown = Unknown::scan(&MESSAGE, known).unwrap();
            assert_eq!(unknown.as_bytes(), kept);
        }
    }

    #[test]
    fn a_message_cut_short_anywhere_inside_a_field_is_refused() {
        for end in 0..MESSAGE.len() {
            let whole = [0, 3, 7, 12].contains(&end);
            assert_eq!(Unknown::scan(&MESSAGE[..end], &[]).is_some(), whole);
        }
    }

    #[test]
    fn groups_field_zero_and_endless_lengths_are_refused() {
        let endless = [
            0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ];
        for message in [&[0x0b, 0x0c][..], &[0x00, 0x01], &[0x0e], &endless] {
            assert_eq!(Unknown::scan(message, &[]), None);
        }
    }

    proptest! {
        #[test]
        fn scanning_random_bytes_never_panics_and_keeps_everything_unknown(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Some(unknown) = Unknown::scan(&bytes, &[]) {
                prop_assert_eq!(unknown.as_bytes(), &bytes[..]);
            }
        }
    }
}
