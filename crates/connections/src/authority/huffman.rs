//! A compressed text (RFC 7541 section 5.2), followed bit by bit so far that it is known where a
//! character begins.

/// How many characters have a code of so many bits (appendix B). Codes are dealt out in order, shortest
/// first, so nothing else of the table is needed.
const CODES: [u32; 31] = [
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19,
    29, 0, 4,
];

/// `%` is 010101 and a space 010100; no other code begins so.
const PERCENT_OR_SPACE: (usize, u32) = (5, 0b01010);

/// Inside a character's code.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Huffman {
    bits: usize,
    code: u32,
    /// The first code of as many bits.
    first: u32,
}

impl Huffman {
    /// Takes the next byte. Where it has the fifth bit of a `%`, the bit is turned, which makes it a `.`
    /// of the same length; a space, as little allowed, becomes a `-`.
    pub(super) fn next(&mut self, byte: &mut u8) {
        for place in (0..8).rev() {
            self.bit(u32::from((*byte >> place) & 1));
            if (self.bits, self.code) == PERCENT_OR_SPACE {
                *byte ^= 1 << place;
            }
            self.end();
        }
    }

    fn bit(&mut self, bit: u32) {
        self.first = (self.first + CODES[self.bits]) << 1;
        self.bits += 1;
        self.code = (self.code << 1) | bit;
    }

    /// The longest codes fill what there is of 30 bits, so each ends.
    fn end(&mut self) {
        if self.code - self.first < CODES[self.bits] {
            *self = Self::default();
        }
    }
}
