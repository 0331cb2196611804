//! The few pieces of DER (X.690) that keys and signatures need, read strictly and written.
//!
//! Strict means: definite lengths in their shortest form, single-byte tags, nothing left over.
//! Certificates and requests are read elsewhere, with a full parser.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The input is not the DER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed DER")]
pub struct DerError;

/// Reads one element after the other.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn read(&mut self, tag: u8) -> Result<&'a [u8], DerError> {
        let (&found, rest) = self.0.split_first().ok_or(DerError)?;
        if found != tag {
            return Err(DerError);
        }
        let (len, rest) = read_length(rest)?;
        let (content, rest) = rest.split_at_checked(len).ok_or(DerError)?;
        self.0 = rest;
        Ok(content)
    }

    /// The magnitude of the next element, a non-negative INTEGER, without a leading zero.
    pub(crate) fn read_unsigned(&mut self) -> Result<&'a [u8], DerError> {
        match self.read(INTEGER)? {
            [0] => Ok(&[]),
            [0, rest @ ..] if rest[0] & 0x80 != 0 => Ok(rest),
            [first, ..] if first & 0x80 != 0 || *first == 0 => Err(DerError),
            [] => Err(DerError),
            magnitude => Ok(magnitude),
        }
    }

    /// The bytes of the next element, a BIT STRING of whole bytes.
    pub(crate) fn read_bytes_in_bits(&mut self) -> Result<&'a [u8], DerError> {
        match self.read(BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(DerError),
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), DerError> {
        self.0.is_empty().then_some(()).ok_or(DerError)
    }
}

/// The content of `input`, which must be exactly one element with this tag.
pub(crate) fn only(input: &[u8], tag: u8) -> Result<&[u8], DerError> {
    let mut reader = Reader::new(input);
    let content = reader.read(tag)?;
    reader.finish()?;
    Ok(content)
}

fn read_length(input: &[u8]) -> Result<(usize, &[u8]), DerError> {
    let (&first, rest) = input.split_first().ok_or(DerError)?;
    let count = usize::from(first & 0x7f);
    if first < 0x80 {
        return Ok((count, rest));
    }
    // Four length bytes address more than any limit here lets in.
    if count == 0 || count > 4 {
        return Err(DerError);
    }
    let (bytes, rest) = rest.split_at_checked(count).ok_or(DerError)?;
    let len = bytes
        .iter()
        .fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
    let shortest = bytes[0] != 0 && len >= 0x80;
    shortest.then_some((len, rest)).ok_or(DerError)
}

/// One element: tag, length, and the parts as its content.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(len + 6);
    out.push(tag);
    write_length(len, &mut out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A non-negative INTEGER from its big-endian magnitude; leading zeros are dropped.
pub(crate) fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let magnitude = trim_zeros(magnitude);
    let pad: &[u8] = match magnitude.first() {
        Some(first) if first & 0x80 == 0 => &[],
        _ => &[0],
    };
    element(INTEGER, &[pad, magnitude])
}

pub(crate) fn trim_zeros(magnitude: &[u8]) -> &[u8] {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    &magnitude[zeros..]
}

fn write_length(len: usize, out: &mut Vec<u8>) {
    if len < 0x80 {
        out.push(u8::try_from(len).expect("below 128"));
        return;
    }
    let bytes = len.to_be_bytes();
    let bytes = trim_zeros(&bytes);
    out.push(0x80 | u8::try_from(bytes.len()).expect("a usize has at most 8 bytes"));
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for len in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; len];
            assert_eq!(
                only(&element(OCTET_STRING, &[&content]), OCTET_STRING),
                Ok(&content[..])
            );
        }
    }

    #[test]
    fn lengths_in_another_form_than_the_shortest_are_refused() {
        for bad in [
            &[0x04, 0x81, 0x01, 0xaa][..],
            &[0x04, 0x82, 0x00, 0x80],
            &[0x04, 0x80, 0, 0],
            &[0x04, 0x85, 0, 0, 0, 0, 1, 0xaa],
            &[0x04, 0x02, 0xaa],
            &[0x04],
            &[],
        ] {
            assert_eq!(only(bad, OCTET_STRING), Err(DerError), "{bad:02x?}");
        }
    }

    #[test]
    fn integers_are_non_negative_and_shortest() {
        let read = |bytes: &[u8]| Reader::new(bytes).read_unsigned().map(<[u8]>::to_vec);
        assert_eq!(read(&[2, 1, 0]), Ok(vec![]));
        assert_eq!(read(&[2, 2, 0, 0x80]), Ok(vec![0x80]));
        for bad in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1], &[2, 2, 0, 0]] {
            assert_eq!(read(bad), Err(DerError), "{bad:02x?}");
        }
        assert_eq!(unsigned(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
    }

    #[test]
    fn nothing_may_follow() {
        assert_eq!(only(&[0x05, 0, 0], NULL), Err(DerError));
    }
}
