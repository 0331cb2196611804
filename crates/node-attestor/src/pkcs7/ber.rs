//! Elements of BER (X.690) one after the other, over the reader of `asn1-rs`.
//!
//! Lengths may be indefinite. The nesting that is followed is limited there.

use x509_parser::asn1_rs::{Any, FromBer as _};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]` and `[1]` around or in place of what is constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;
pub(super) const CONTEXT_1: u8 = 0xa1;
/// `[0]` in place of what is primitive.
pub(super) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
/// An OCTET STRING in pieces.
const OCTET_STRINGS: u8 = 0x24;

/// What was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BerError(pub(super) &'static str);

/// One element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    tag: u8,
    /// What is inside.
    pub(super) content: &'a [u8],
    /// All of it.
    pub(super) whole: &'a [u8],
}

/// Reads the elements of `input` in turn.
pub(super) struct Reader<'a> {
    input: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` is named in errors.
    pub(super) fn new(input: &'a [u8], what: &'static str) -> Self {
        Self { input, what }
    }

    /// The next element, which must have this tag.
    pub(super) fn read(&mut self, tag: u8) -> Result<Element<'a>, BerError> {
        self.optional(tag)?.ok_or(BerError(self.what))
    }

    /// The next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, BerError> {
        if self.input.first() == Some(&tag) {
            self.next()
        } else {
            Ok(None)
        }
    }

    /// The next element, whatever it is.
    pub(super) fn next(&mut self) -> Result<Option<Element<'a>>, BerError> {
        let Some(&tag) = self.input.first() else {
            return Ok(None);
        };
        let (rest, any) = Any::from_ber(self.input).map_err(|_| BerError(self.what))?;
        let (whole, _) = self.input.split_at(self.input.len() - rest.len());
        self.input = rest;
        Ok(Some(Element {
            tag,
            content: any.as_bytes(),
            whole,
        }))
    }

    /// The elements inside the next one, which must have this tag.
    pub(super) fn enter(&mut self, tag: u8, what: &'static str) -> Result<Reader<'a>, BerError> {
        Ok(Reader::new(self.read(tag)?.content, what))
    }

    /// The bytes of the next element, an OCTET STRING whole or in pieces.
    pub(super) fn octets(&mut self) -> Result<Vec<u8>, BerError> {
        let found = self.next()?.ok_or(BerError(self.what))?;
        match found.tag {
            OCTET_STRING => Ok(found.content.to_vec()),
            OCTET_STRINGS => {
                let mut pieces = Reader::new(found.content, self.what);
                let mut all = Vec::with_capacity(found.content.len());
                while !pieces.input.is_empty() {
                    all.extend_from_slice(pieces.read(OCTET_STRING)?.content);
                }
                Ok(all)
            }
            _ => Err(BerError(self.what)),
        }
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), BerError> {
        self.input
            .is_empty()
            .then_some(())
            .ok_or(BerError(self.what))
    }
}
