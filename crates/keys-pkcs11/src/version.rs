//! Which of several keys of the same label is the current one.
//!
//! A new key is made beside the old one, which is removed afterwards. A crash between leaves both,
//! and the newer one counts: it was made whole, and nothing refers to it yet. The `CKA_ID` of both
//! halves of a pair says how new it is, and which half belongs to which.

use signet_crypto::Random;

const COUNTER_LEN: usize = 4;

/// Long enough that two keys of a token never have the same: tools find pairs by `CKA_ID` alone.
const LEN: usize = 16;

/// The `CKA_ID` of a key pair: a counter, and randomness. Ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u8; LEN]);

impl Version {
    /// A version after `last`.
    pub(crate) fn after(last: Option<Self>, random: &dyn Random) -> Self {
        let counter = last.map_or(0, Self::counter).saturating_add(1);
        let mut bytes = [0; LEN];
        bytes[..COUNTER_LEN].copy_from_slice(&counter.to_be_bytes());
        random.fill(&mut bytes[COUNTER_LEN..]);
        Self(bytes)
    }

    /// `None` for objects that were not made here.
    pub(crate) fn from_id(id: &[u8]) -> Option<Self> {
        id.try_into().ok().map(Self)
    }

    pub(crate) fn id(self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn counter(self) -> u32 {
        let (counter, _) = self.0.split_at(COUNTER_LEN);
        u32::from_be_bytes(counter.try_into().expect("split at its length"))
    }
}

#[cfg(test)]
mod tests {
    use signet_crypto::SystemRandom;

    use super::*;

    #[test]
    fn each_version_is_newer_than_the_one_before() {
        let random = SystemRandom::new();
        let mut last = Version::after(None, &random);
        for _ in 0..300 {
            let next = Version::after(Some(last), &random);
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn a_version_is_read_back_and_other_ids_are_not() {
        let version = Version::after(None, &SystemRandom::new());
        assert_eq!(Version::from_id(&version.id()), Some(version));
        for id in [&[][..], &[1], &[0; 15], &[0; 20]] {
            assert_eq!(Version::from_id(id), None);
        }
    }
}
